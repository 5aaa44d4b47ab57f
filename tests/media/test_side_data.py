"""Side data of pictures."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def test_pictures_with_a_colour_profile_do_not_break_the_program() -> None:
    """The bindings free the name of a profile twice: seen as a crash when the program ends."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    photo = Path(spec.origin).parent / "data" / "astronaut.png"
    code = f"import streamfx; r = streamfx.open({str(photo)!r}); print(r.info.width, len(list(r))); r.close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, ["512", "1"]), done.stderr
