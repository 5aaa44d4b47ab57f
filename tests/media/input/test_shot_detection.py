"""Cuts are detected at shot changes, not at changes of light, camera motion or object motion."""

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
    """An image [H, W] 0..255 with large and small structures."""
    random = np.random.default_rng(seed)
    image = np.full((height, width), 110.0)
    for blocks, contrast in ((45, 45), (20, 25), (5, 15)):
        rough = random.normal(0, contrast, (height // blocks + 1, width // blocks + 1))
        image += np.kron(rough, np.ones((blocks, blocks)))[:height, :width]
    return image.clip(16, 235)


def still(seed, count=8, noise=2.5):
    random = np.random.default_rng(seed + 100)
    return [texture(seed) + random.normal(0, noise, SIZE) for _ in range(count)]


def pan(seed, count=8, step=24):
    wide = texture(seed, width=SIZE[1] + count * step)
    return [wide[:, number * step : number * step + SIZE[1]] for number in range(count)]


def faded(frames, start, end):
    return [frame * gain for frame, gain in zip(frames, np.linspace(start, end, len(frames)))]


def cuts_of(images):
    detector = CutDetector()
    cuts = []
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image.clip(0, 255).astype(np.uint8)), "gray")
        if detector.is_cut(frame.reformat(format="yuv420p")):
            cuts.append(number)
    return cuts


def test_hard_cuts_between_still_and_panned_shots():
    shots = [still(1), pan(2), still(3), pan(4), still(5, noise=6)]
    assert cuts_of([frame for shot in shots for frame in shot]) == [8, 16, 24, 32]


@pytest.mark.parametrize("flash", [lambda p: p * 0 + 255, lambda p: p + 90, lambda p: p * 2.2, lambda p: p * 0.3])
def test_a_flash_is_not_a_cut(flash):
    frames = still(1, count=12)
    frames[5] = flash(frames[5])
    frames[8:10] = [flash(frame) for frame in frames[8:10]]
    assert cuts_of(frames) == []


def test_a_fade_through_black_is_a_cut_where_a_new_shot_appears():
    black = [np.full(SIZE, 0.0)] * 4
    cuts = cuts_of([*still(1), *faded(still(1), 1, 0), *black, *faded(still(2), 0, 1), *still(2)])
    assert len(cuts) == 1
    assert 20 <= cuts[0] < 28
    assert cuts_of([*still(1), *faded(still(1), 1, 0), *black, *faded(still(1), 0, 1), *still(1)]) == []


def test_dissolve_zoom_and_noise_are_not_cuts():
    first, second = texture(1), texture(2)
    assert cuts_of([first * (1 - mix) + second * mix for mix in np.linspace(0, 1, 25)]) == []
    large = texture(3, height=360, width=640)
    zoomed = [large[side : 360 - side, side * 16 // 9 : 640 - side * 16 // 9][::1] for side in range(0, 60, 6)]
    assert cuts_of([frame[: SIZE[0], : SIZE[1]] for frame in zoomed]) == []
    assert cuts_of(still(4, count=20, noise=15)) == []


def test_a_large_moving_object_is_not_a_cut():
    frames = still(1, count=12)
    for number, frame in enumerate(frames):
        frame[:, number * 28 : number * 28 + 140] = 40
    assert cuts_of(frames) == []


def clip_frames(path, count=None):
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == count:
                return
            yield frame.reformat(SIZE[1], SIZE[0], "gray").to_ndarray().astype(float)


def test_real_cuts(real_clip):
    cuts = cuts_of(clip_frames(real_clip("bikes.mp4")))
    assert cuts == [30, 76, 137, 187, 242]  # checked by eye; at frame 99 a car suddenly fills the image
    assert cuts_of(clip_frames(real_clip("bigbuckbunny.mp4"))) == []
    assert cuts_of(clip_frames(real_clip("carphone_pristine.mp4"))) == []


def test_a_montage_of_real_clips(real_clip):
    names = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
    shots = [list(clip_frames(real_clip(name), 25)) for name in names]
    assert cuts_of([frame for shot in shots for frame in shot]) == [25, 50]


def test_frames_are_marked_as_cuts(real_clip):
    with streamfx.open(real_clip("bikes.mp4"), end=4) as reader:  # 25 frames a second
        assert [number for number, frame in enumerate(reader) if frame.cut] == [30, 76]
    with streamfx.open(real_clip("bikes.mp4"), start=2, end=6) as reader:
        assert [number for number, frame in enumerate(reader) if frame.cut] == [26, 87]


def test_cuts_are_detected_after_filters(real_clip):
    with streamfx.open(real_clip("bikes.mp4"), end=4) as reader:
        frames = reader.frames([Filter("fps", "12.5"), Filter("hflip")])
        assert [number for number, frame in enumerate(frames) if frame.cut] == [15, 38]


def test_detection_is_fast_and_does_not_import_torch():
    frame = av.VideoFrame.from_ndarray(texture(1, 1080, 1280).astype(np.uint8), "yuv420p")  # 1280x720
    detector, times = CutDetector(), []
    for _ in range(30):
        start = time.process_time()
        detector.is_cut(frame)
        times.append(time.process_time() - start)
    assert np.median(times) < 0.005  # seconds; typically under 0.001
    code = "import sys, streamfx.media.input.shot_detection; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
