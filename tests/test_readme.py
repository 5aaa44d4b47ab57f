"""The README's code does what it says."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_python_example_runs(tmp_path: Path) -> None:
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "streamfx.open" in block)
    clip = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.5", "-f", "lavfi", "-i", "sine=d=0.5"]
    subprocess.run([*clip, "in.mp4"], cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    probe = ["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets"]
    streams = subprocess.run([*probe, "-of", "csv=p=0", "out.mp4"], cwd=tmp_path, capture_output=True, text=True)
    assert [line.split(",")[0] for line in streams.stdout.split()] == ["h264", "aac"]
    assert streams.stdout.startswith("h264,12")  # fps=24 of half a second


def test_chains_shown_can_be_built() -> None:
    from streamfx.chain import build_chain

    chains = re.findall(r'--chain "([^"]+)"', README)
    assert chains
    for chain in chains:
        assert build_chain(chain)
