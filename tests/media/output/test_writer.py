"""The writer: files appear when complete, errors name the output, and alpha is flattened with a warning."""

import os
import resource
import threading
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

import streamfx
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.encoding import Output
from streamfx.media.filters.graph import Filter
from streamfx.media.input.reader import Reader
from streamfx.media.output.segments import Segments
from streamfx.media.output.writer import Writer

ALPHA = torch.linspace(0, 1, 12).expand(1, 8, 12)


def frames(count, rate=25, height=8, width=12, alpha=None):
    """Gray frames that become brighter."""
    images = [torch.full((3, height, width), n / 100) for n in range(count)]
    return [Frame(image, Fraction(n, rate), 1 / Fraction(rate), alpha=alpha) for n, image in enumerate(images)]


def noise(number, size=128):
    return Frame(torch.rand(3, size, size), Fraction(number, 25), Fraction(1, 25))


def write(sink, images, error=None):
    """Write the frames, then raise the error."""
    for frame in images:
        sink.write(frame)
    if error is not None:
        raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- complete files


def test_a_file_appears_when_complete(tmp_path, times):
    target = tmp_path / "out.mkv"
    with Writer(target) as writer:
        assert writer.encoder is None
        write(writer, frames(5))
        assert writer.atomic
        assert names(tmp_path) == [f".out.mkv.{os.getpid()}.part"]
        assert (writer.encoder, writer.written) == ("libx264", 5)
    assert names(tmp_path) == ["out.mkv"]
    assert len(times(target)) == 5


def test_only_regular_files_are_atomic(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for target, form in ((tmp_path / "pipe", "nut"), ("/dev/null", "nut"), (tmp_path / "%d.png", None)):
        assert not Writer(target, None, Output(format=form)).atomic
    assert Writer(tmp_path / "100%.png").atomic


def test_a_link_stays_a_link(tmp_path, times):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.mkv").symlink_to("disk/video.mkv")
    with Writer(tmp_path / "out.mkv") as writer:
        write(writer, frames(5))
        assert names(tmp_path / "disk") == [f".video.mkv.{os.getpid()}.part"]
    assert (tmp_path / "out.mkv").is_symlink()
    assert names(tmp_path / "disk") == ["video.mkv"]
    assert len(times(tmp_path / "disk" / "video.mkv")) == 5


def test_a_private_file_stays_private(tmp_path):
    target = tmp_path / "out.mkv"
    target.touch()
    target.chmod(0o600)
    with Writer(target, None, Output(overwrite=True)) as writer:
        write(writer, frames(2))
        assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyboardInterrupt), Writer(target, None, Output(overwrite=True)) as writer:
        write(writer, frames(2), KeyboardInterrupt())
    assert (tmp_path / "out.partial.mkv").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_replaced_only_by_a_complete_one(tmp_path, times):
    target = tmp_path / "out.mkv"
    target.write_bytes(b"old")
    with pytest.raises(StreamfxError, match=r"out\.mkv' exists; give -y"):
        Writer(target)
    with pytest.raises(ZeroDivisionError), Writer(target, None, Output(overwrite=True)) as writer:
        write(writer, frames(5), ZeroDivisionError)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["out.mkv"]
    with Writer(target, None, Output(overwrite=True)) as writer:
        write(writer, frames(3))
    assert len(times(target)) == 3


def test_an_interrupt_keeps_the_frames_written_so_far(tmp_path, times):
    target = tmp_path / "out.mkv"
    with pytest.raises(KeyboardInterrupt), Writer(target) as writer:
        write(writer, frames(7), KeyboardInterrupt)
    assert writer.partial_path == tmp_path / "out.partial.mkv"
    assert names(tmp_path) == ["out.partial.mkv"]
    assert len(times(writer.partial_path)) == 7


def test_an_interrupt_before_the_first_frame_keeps_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "out.mkv") as writer:
        raise KeyboardInterrupt
    assert writer.partial_path is None
    assert names(tmp_path) == []


def test_numbered_images_written_before_an_error_are_kept(tmp_path):
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "%d.png") as writer:
        write(writer, frames(50), ZeroDivisionError)
    kept = names(tmp_path)
    assert "1.png" in kept  # the encoder's threads may hold back the last ones
    assert set(kept) <= {f"{number}.png" for number in range(1, 51)}


def test_a_list_of_frames_becomes_a_video(tmp_path, times, video_stream):
    for name, rate in (("a.mp4", 25), ("b.mkv", Fraction(24000, 1001))):
        with streamfx.create(tmp_path / name) as sink:
            write(sink, frames(10, rate))
        assert len(times(tmp_path / name)) == 10
        assert Fraction(video_stream(tmp_path / name)["r_frame_rate"]) == rate


def test_changing_frame_sizes_are_an_error(tmp_path):
    mixed = [*frames(2), *frames(2, height=16)[1:]]
    with pytest.raises(StreamfxError, match="from 12x8 to 12x16"), streamfx.create(tmp_path / "out.mp4") as sink:
        write(sink, mixed)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_are_an_error(tmp_path):
    with pytest.raises(StreamfxError, match="produced no frames"), streamfx.create(tmp_path / "out.mp4") as sink:
        write(sink, [])
    assert list(tmp_path.iterdir()) == []


def test_an_image_holds_one_frame(video, convert, tmp_path):
    with pytest.raises(StreamfxError, match="is a still image, but the chain produced more frames"):
        convert(video, "out.png")
    assert list(tmp_path.iterdir()) == []


def test_filters_change_the_sample_aspect_ratio(clip, moving, convert, video_stream):
    source = clip("wide.mkv", *moving(), "-vf", "setsar=64/45", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    for chain in ("setsar=2", "mirror,setsar=2", "setsar=2,mirror"):
        assert video_stream(convert(source, "b.mp4", chain, overwrite=True).path)["sample_aspect_ratio"] == "2:1"


def test_devices_and_fifos_are_written_directly(video, convert, tmp_path, probe):
    convert(video, "/dev/null", format="nut")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    received = []

    def read():
        with open(fifo, "rb") as stream:
            received.append(stream.read())

    reader = threading.Thread(target=read)
    reader.start()
    convert(video, fifo, format="matroska")
    reader.join(timeout=10)
    assert fifo.is_fifo()
    (tmp_path / "received.mkv").write_bytes(received[0])
    assert len(probe(tmp_path / "received.mkv")["streams"]) == 2


@pytest.mark.parametrize("target", ["out.mp4", "out.ts", "out.jpg"])
@pytest.mark.parametrize("chain", ["null", "mirror,mirror"])
def test_flattening_alpha_warns(target, chain, transparent, convert, rgb):
    made = convert(transparent("still.png" if target == "out.jpg" else "png.mov"), target, chain)
    assert [line for line in made.warnings if "flattened on black" in line] == made.warnings
    assert len(made.warnings) == 1
    image = rgb(made.path)[0].astype(int)
    assert np.abs(image[8:-8, 8:24] - [254, 0, 0]).max() <= 6
    assert np.abs(image[8:-8, 40:56] - [80, 0, 0]).max() <= 6


def test_opaque_alpha_is_dropped_silently(clip, moving, convert):
    source = clip("opaque.mov", *moving(seconds="0.2"), "-c:v", "qtrle", "-pix_fmt", "argb")
    assert convert(source, "out.mp4", "null").warnings == []


@pytest.mark.parametrize("target", ["out.mp4", "out.jpg"])
def test_alpha_of_tensors_is_flattened(target, tmp_path, rgb, caplog):
    white = [Frame(torch.ones(3, 8, 12), frame.pts, frame.duration, alpha=ALPHA) for frame in frames(1)]
    with Writer(tmp_path / target) as writer:
        write(writer, white)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"'{tmp_path / target}' does not support transparency: flattened on black"]
    assert np.abs(rgb(tmp_path / target)[0, 4, :, 0].astype(int) - (ALPHA[0, 4] * 255).numpy()).max() < 12


def test_alpha_of_tensors_is_written(tmp_path, caplog):
    with Writer(tmp_path / "out.png") as writer:
        write(writer, frames(1, alpha=ALPHA))
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA"
        alpha = np.asarray(image)[4, :, 3]
    np.testing.assert_array_equal(alpha, (ALPHA[0, 4] * 255).round().numpy())
    assert not caplog.records


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_effects_may_add_color_to_a_gray_source(pix_fmt, clip, moving, tmp_path):
    source = clip(f"{pix_fmt}.mkv", *moving(seconds="0.04"), "-c:v", "ffv1", "-pix_fmt", pix_fmt)
    target = tmp_path / "out.png"
    with Reader(source) as reader, Writer(target, reader, Output(audio=False)) as writer:
        image = next(iter(reader)).image * torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
        writer.write(Frame(image, Fraction(0), Fraction(1, 25)))
    with Reader(target) as reader:
        result = next(iter(reader)).image
    assert result[0].std() > 0.1
    assert result[2].max() < 0.01
    torch.testing.assert_close(result[1], result[0] / 2, atol=0.01, rtol=0)


# --- filters


def test_filters_run_before_encoding_and_are_flushed(tmp_path, times, video_stream):
    with Writer(tmp_path / "out.mkv") as writer:
        writer.filters = [Filter("fps", "5"), Filter("scale", "24:16")]
        write(writer, frames(25))
    assert times(tmp_path / "out.mkv") == [Fraction(n, 5) for n in range(5)]
    stream = video_stream(tmp_path / "out.mkv")
    assert (stream["width"], stream["height"], stream["r_frame_rate"]) == (24, 16, "5/1")


def test_filters_that_pass_no_frame_are_an_error(tmp_path):
    writer = Writer(tmp_path / "out.mkv")
    writer.filters = [Filter("select", "0")]
    with pytest.raises(StreamfxError, match=r"the chain produced no frames; '.*out\.mkv' was not written"), writer:
        write(writer, frames(5))
    assert names(tmp_path) == []


# --- errors while writing


def test_a_full_disk_is_an_error():
    message = "cannot write '/dev/full': No space left on device$"
    with pytest.raises(StreamfxError, match=message), Writer("/dev/full", None, Output(format="nut")) as writer:
        write(writer, map(noise, range(50)))


@pytest.fixture
def small_files():
    """Limits files written by this process to 50 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_an_incomplete_file_is_deleted(tmp_path):
    message = r"cannot write '.*out\.nut': File too large; nothing was kept"
    with pytest.raises(StreamfxError, match=message), Writer(tmp_path / "out.nut") as writer:
        write(writer, map(noise, range(10)))
    assert names(tmp_path) == []


def test_a_reader_that_exits_is_no_error_of_ours(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def read_a_little():
        with open(tmp_path / "pipe", "rb") as stream:
            stream.read(1000)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    with pytest.raises(BrokenPipeError), Writer(tmp_path / "pipe", None, Output(format="nut")) as writer:
        write(writer, map(noise, range(50)))
    reader.join(timeout=10)


# --- segments


@pytest.fixture
def segmented(tmp_path):
    """A writer of out.nut in segments, and the folder of the segments."""
    folder = tmp_path / "segments"
    folder.mkdir()
    writer = Writer(tmp_path / "out.nut")
    writer.use_segments(Segments(folder))
    return writer, folder


def test_segments_are_joined(segmented, tmp_path, times):
    writer, folder = segmented
    images = frames(12)
    for part in (images[:5], images[5:7]):
        write(writer, part)
        assert writer.close_segment().written == len(part)
        assert not (tmp_path / "out.nut").exists()
    write(writer, images[7:])
    assert len(list(folder.glob("*.packets"))) == 2
    writer.finish()
    assert times(tmp_path / "out.nut") == [Fraction(n, 25) for n in range(12)]


def test_closed_segments_are_joined_into_a_partial_file(segmented, tmp_path, times):
    writer, _ = segmented
    assert writer.join_partial() is None
    write(writer, frames(5))
    writer.close_segment()
    write(writer, frames(8)[5:])
    writer.abandon(keep=True)
    assert writer.partial_path is None  # the closed segments are kept instead
    partial = writer.join_partial()
    assert partial == tmp_path / "out.partial.nut"
    assert len(times(partial)) == 5


def test_an_open_segment_is_kept_if_it_is_the_first(segmented, tmp_path, times):
    writer, _ = segmented
    write(writer, frames(6))
    writer.abandon(keep=True)
    assert writer.partial_path == tmp_path / "out.partial.nut"
    assert len(times(writer.partial_path)) == 6


def test_a_segment_without_frames_is_not_kept(segmented):
    writer, folder = segmented
    write(writer, frames(2))
    writer.close_segment()
    assert writer.close_segment() is None
    assert len(list(folder.glob("*.packets"))) == 1
