"""The same command twice, by two processes: the same frames, bit for bit."""

import os

import pytest

EFFECTS = "hue=s=1.2,style=vangogh:quality=fast,trails,dream=steps=1:octaves=1,mirror,timeslice,vignette"


@pytest.fixture
def twice(streamfx, video, ffmpeg):
    """twice(command): the hashes of the frames of two videos that a command makes."""

    def twice(command, **options):
        (streamfx.home / "in.mp4").write_bytes(video.read_bytes())
        videos = []
        for target in ("one.nut", "two.nut"):
            done = streamfx(*command.replace("OUT", target).split(), "--device", "cpu", **options)
            assert done.returncode == 0, done.stderr
            hashed = ffmpeg(
                "-i", streamfx.home / target, "-map", "0:v", "-f", "framehash", "-hash", "md5", "-"
            ).decode()
            videos.append([line.split(",")[-1] for line in hashed.splitlines() if not line.startswith("#")])
        assert len(set(videos[0])) > 1  # frames that differ from each other
        return videos

    return twice


def test_a_chain_of_effects_with_and_without_networks_in_the_cache(twice, streamfx):
    """The first run finds no compiled network, the second the one that the first has cached."""
    empty_cache = {**os.environ, "XDG_CACHE_HOME": str(streamfx.home / "cache")}
    first, second = twice(f"run in.mp4 OUT --chain {EFFECTS} --duration 0.2", env=empty_cache)
    assert first == second


@pytest.mark.parametrize(
    "command",
    [
        "style in.mp4 OUT --preset munch:0.5,seurat:0.5 --coherence full --duration 0.16",
        "dream --start in.mp4 OUT --size 96x64 --duration 0.1 --octaves 1 --zoom 1.02+0.1*noise(t)",
    ],
    ids=["style", "feedback"],
)
def test_commands(command, twice):
    first, second = twice(command)
    assert first == second
