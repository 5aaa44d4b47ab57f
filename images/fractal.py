"""Draws fractal.png, the picture that the README's dream starts from: python images/fractal.py fractal.png"""

import sys

import numpy as np
from PIL import Image

HEIGHT, WIDTH, FINE = 540, 960, 3  # pixels; samples a pixel each way
JULIA = 0.285 + 0.0115j
CENTRE, SPAN = 0.05 + 0.0j, 1.5  # of the plane; how much of it the width shows
TURN = np.exp(0.35j)
STEPS, FAR = 600, 1e4  # how long is iterated, and from where on a point counts as escaped
STRIPES = 3.0
COLORS = 200


def main(target):
    rows, columns = np.mgrid[: HEIGHT * FINE, : WIDTH * FINE] + 0.5
    z = CENTRE + SPAN / (WIDTH * FINE) * (columns - WIDTH * FINE / 2 + 1j * (rows - HEIGHT * FINE / 2)) * TURN
    image = paint(*escape(z.ravel())).reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(axis=(1, 3))
    picture = Image.fromarray((image.clip(0, 1) ** (1 / 1.6) * 255).round().astype(np.uint8))
    picture = picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    picture.save(target, optimize=True)


def escape(z):
    """For each point: the smooth time until it escapes, the stripes along its way, and how near it came to 0.

    Stripes are the mean of a wave round the origin (stripe average colouring, Harkonen 2007).
    """
    time, stripes, trap = np.zeros(len(z)), np.zeros(len(z)), np.full(len(z), 9.0)
    total, live = np.zeros(len(z)), np.arange(len(z))
    for step in range(1, STEPS + 1):
        z = z * z + JULIA
        size = np.abs(z)
        wave = 0.5 + 0.5 * np.sin(STRIPES * np.angle(z))
        trap[live] = np.minimum(trap[live], size)
        out = size > FAR
        part = 1 + np.log2(np.log(FAR) / np.log(np.maximum(size, FAR)))  # of the last step
        time[live] = step + part - 1
        stripes[live] = (total[live] + part * wave) / time[live].clip(1)
        total[live] += wave
        live, z = live[~out], z[~out]
        if not len(live):
            break
    return time, stripes, trap


def paint(time, stripes, trap):
    """Colours go round with the logarithm of the time, stripes shade them, and what came near 0 glows."""
    round_ = 2.1 * np.log(time.clip(1))[:, None] + 2.2 * stripes[:, None]
    base = 0.5 + 0.5 * np.cos(2 * np.pi * (0.62 * round_ + np.array([0.0, 0.22, 0.42])))
    shade = 0.12 + 0.88 * stripes[:, None] ** 1.5
    glow = np.exp(-((trap[:, None] / 0.16) ** 2)) * np.array([1.0, 0.62, 0.18])
    return (base * shade + 0.8 * glow) * 0.9


if __name__ == "__main__":
    main(sys.argv[1])
