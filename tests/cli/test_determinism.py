"""The same command twice, by two processes: the same frames, bit for bit."""

import pytest

EFFECTS = "hue=s=1.2,style=vangogh:quality=fast,trails,dream=steps=1:octaves=1,mirror,timeslice,vignette"
COMMANDS = {
    "chain": f"run film.mp4 OUT --chain {EFFECTS} --duration 0.2",
    "style": "style film.mp4 OUT --preset munch:0.5,seurat:0.5 --coherence full --duration 0.16",
    "feedback": "dream --start film.mp4 OUT --size 96x64 --duration 0.1 --octaves 1 --zoom 1.02+0.1*noise(t)",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_the_same_command_makes_the_same_frames(command, streamfx, film, ffmpeg, monkeypatch):
    """The first run finds nothing in the caches of compiled networks, the second what the first has left there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(streamfx.home / "cache"))
    (streamfx.home / "film.mp4").write_bytes(film.read_bytes())
    made = []
    for target in ("one.nut", "two.nut"):
        done = streamfx(*command.replace("OUT", target).split(), "--device", "cpu")
        assert done.returncode == 0, done.stderr
        shown = ["-i", streamfx.home / target, "-map", "0:v", "-f", "framehash", "-hash", "md5", "-"]
        made.append([line.split(",")[-1] for line in ffmpeg(*shown).decode().splitlines() if not line.startswith("#")])
    assert made[0] == made[1]
    assert len(set(made[0])) > 2  # and they differ from each other
