"""Cuts are found where shots change, and not where the light, the camera or a mover does."""

import subprocess
import sys
import time

import av
import numpy as np
import pytest

import streamfx
from streamfx.media.filters.graph import Filter
from streamfx.media.input.shot_detection import CutDetector

SIZE = 180, 320


def texture(seed, height=SIZE[0], width=SIZE[1]):
    """A picture [H, W] 0..255 with large and small things in it."""
    random = np.random.default_rng(seed)
    picture = np.full((height, width), 110.0)
    for blocks, contrast in ((45, 45), (20, 25), (5, 15)):
        rough = random.normal(0, contrast, (height // blocks + 1, width // blocks + 1))
        picture += np.kron(rough, np.ones((blocks, blocks)))[:height, :width]
    return picture.clip(16, 235)


def still(seed, count=8, noise=2.5):
    random = np.random.default_rng(seed + 100)
    return [texture(seed) + random.normal(0, noise, SIZE) for _ in range(count)]


def pan(seed, count=8, step=24):
    wide = texture(seed, width=SIZE[1] + count * step)
    return [wide[:, number * step : number * step + SIZE[1]] for number in range(count)]


def faded(pictures, start, end):
    return [picture * share for picture, share in zip(pictures, np.linspace(start, end, len(pictures)))]


def cuts_of(pictures):
    detector = CutDetector()
    found = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8)), "gray")
        if detector.is_cut(frame.reformat(format="yuv420p")):
            found.append(number)
    return found


def test_hard_cuts_between_still_and_panned_shots():
    shots = [still(1), pan(2), still(3), pan(4), still(5, noise=6)]
    assert cuts_of([picture for shot in shots for picture in shot]) == [8, 16, 24, 32]


@pytest.mark.parametrize("flash", [lambda p: p * 0 + 255, lambda p: p + 90, lambda p: p * 2.2, lambda p: p * 0.3])
def test_a_flash_is_no_cut(flash):
    pictures = still(1, count=12)
    pictures[5] = flash(pictures[5])
    pictures[8:10] = [flash(picture) for picture in pictures[8:10]]
    assert cuts_of(pictures) == []


def test_a_fade_through_black_is_one_cut_at_most_where_the_new_shot_appears():
    black = [np.full(SIZE, 0.0)] * 4
    found = cuts_of([*still(1), *faded(still(1), 1, 0), *black, *faded(still(2), 0, 1), *still(2)])
    assert len(found) == 1
    assert 20 <= found[0] < 28
    assert cuts_of([*still(1), *faded(still(1), 1, 0), *black, *faded(still(1), 0, 1), *still(1)]) == []


def test_a_dissolve_a_zoom_and_noise_are_no_cuts():
    first, second = texture(1), texture(2)
    assert cuts_of([first * (1 - share) + second * share for share in np.linspace(0, 1, 25)]) == []
    large = texture(3, height=360, width=640)
    zoomed = [large[side : 360 - side, side * 16 // 9 : 640 - side * 16 // 9][::1] for side in range(0, 60, 6)]
    assert cuts_of([picture[: SIZE[0], : SIZE[1]] for picture in zoomed]) == []
    assert cuts_of(still(4, count=20, noise=15)) == []


def test_a_mover_across_half_the_picture_is_no_cut():
    pictures = still(1, count=12)
    for number, picture in enumerate(pictures):
        picture[:, number * 28 : number * 28 + 140] = 40
    assert cuts_of(pictures) == []


def clip_pictures(path, count=None):
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == count:
                return
            yield frame.reformat(SIZE[1], SIZE[0], "gray").to_ndarray().astype(float)


def test_real_cuts(real_clip):
    found = cuts_of(clip_pictures(real_clip("bikes.mp4")))
    assert found == [30, 76, 137, 187, 242]  # seen by eye; at 99, a car fills the picture from one frame to the next
    assert cuts_of(clip_pictures(real_clip("bigbuckbunny.mp4"))) == []
    assert cuts_of(clip_pictures(real_clip("carphone_pristine.mp4"))) == []


def test_a_montage_of_real_clips(real_clip):
    names = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
    shots = [list(clip_pictures(real_clip(name), 25)) for name in names]
    assert cuts_of([picture for shot in shots for picture in shot]) == [25, 50]


def test_frames_tell_of_cuts(real_clip):
    with streamfx.open(real_clip("bikes.mp4")) as reader:
        found = [number for number, frame in enumerate(reader) if frame.cut]
    assert found == [30, 76, 137, 187, 242]
    with streamfx.open(real_clip("bikes.mp4"), start=2) as reader:  # 25 frames a second
        assert [number for number, frame in enumerate(reader) if frame.cut] == [26, 87, 137, 192]


def test_cuts_are_those_of_the_pictures_behind_filters(real_clip):
    with streamfx.open(real_clip("bikes.mp4"), end=4) as reader:
        frames = reader.frames([Filter("fps", "12.5"), Filter("hflip")])
        assert [number for number, frame in enumerate(frames) if frame.cut] == [15, 38]


def test_it_is_quick_and_loads_without_torch():
    picture = av.VideoFrame.from_ndarray(texture(1, 1080, 1280).astype(np.uint8), "yuv420p")  # 1280x720
    detector, times = CutDetector(), []
    for _ in range(30):
        began = time.process_time()
        detector.is_cut(picture)
        times.append(time.process_time() - began)
    assert np.median(times) < 0.005  # seconds; under 0.001 where it was written
    code = "import sys, streamfx.media.input.shot_detection; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
