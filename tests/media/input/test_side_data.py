"""Side data of frames."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def test_images_with_an_icc_profile_do_not_crash() -> None:
    """PyAV frees the name of a profile twice, which shows as a crash when the program exits."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    photo = Path(spec.origin).parent / "data" / "astronaut.png"
    code = f"import streamfx; r = streamfx.open({str(photo)!r}); print(r.info.width, len(list(r))); r.close()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.split()) == (0, ["512", "1"]), result.stderr
