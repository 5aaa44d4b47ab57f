"""No command looks up a name, opens a connection, or writes outside its output, its cache and its work folder."""

import json
import os
import subprocess
import sys

from streamfx.cli import app

RUNS = [  # one process runs all of them, in this order, in a folder with INPUTS
    ["run", "in.mkv", "run.mkv", "--chain", "hflip,mirror"],
    ["style", "in.mkv", "style.mkv", "--quality", "fast"],
    ["style", "in.png", "optimise.png", "--method", "optimise", "--iterations", "1"],
    ["dream", "in.mkv", "dream.mkv", "--steps", "1", "--octaves", "1"],
    ["dream", "--start", "in.png", "image-dream.png", "--steps", "1", "--octaves", "1"],
    ["dream", "--start", "in.png", "--audio", "in.mkv", "feedback.mkv", "--size", "64x48", "--duration", "0.1"],
    ["render", "timeline.toml", "render.mkv"],
    ["demo", "demo.mp4", "--seconds", "0.2", "--size", "64x48"],
    ["sheet", "in.png", "sheet.png", "--preset", "vangogh", "--quality", "fast"],
    ["explore", "in.png", "layers", "--steps", "1", "--octaves", "1", "--layers", "block1", "--channels", "0:1"],
    ["measure", "in.mkv", "run.mkv", "--json", "--plot", "plot.png"],
    ["train", "painting.png", "--out", "mine", "--minutes", "0.01", "--quality", "fast"],
    ["batch", "in.mkv", "batched", "--chain", "mirror"],
    ["live", "in.mkv", "hls:live", "--chain", "mirror"],
    ["doctor"],
    ["models"],
    ["presets"],
    ["effects", "style"],
]
INPUTS = {"in.mkv", "in.png", "painting.png", "timeline.toml"}
OUTPUTS = {
    *("run.mkv", "style.mkv", "optimise.png", "dream.mkv", "image-dream.png", "feedback.mkv", "render.mkv"),
    *("demo.mp4", "demo-source.mp4", "sheet.png", "layers", "plot.png", "mine", "live", "batched", "found.json"),
}
TIMELINE = """kind = "timeline"
size = [64, 48]
fps = 10
[pictures]
begin = "in.png"
[defaults]
octaves = 1
layer = "block1"
[[section]]
name = "one"
start = "begin"
to = 2
"""
PROGRAM = """
import json, sys
events = []
def watch(event, arguments):
    if event.startswith("socket.") and event.split(".")[1] not in ("__new__", "bind", "gethostname"):
        events.append([event, str(arguments)])
sys.addaudithook(watch)
from streamfx.cli import main
codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["streamfx", *arguments]
    try:
        main()
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
names = [name for name in sys.modules if name.startswith("openvino_telemetry")]
open("found.json", "w").write(json.dumps([codes, events, names]))
"""


def test_every_command_is_run():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name or group.typer_instance.info.name for group in app.registered_groups}
    assert commands | groups == {run[0] for run in RUNS} | {"studio"}  # which listens; see tests/studio/test_guard.py


def test_nothing_is_sent_or_written_elsewhere(tmp_path, ffmpeg, moving, tone):
    folders = {name: tmp_path / name for name in ("work", "home", "cache", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    work = folders["work"]
    ffmpeg(*moving(seconds="0.4"), *tone("0.4"), work / "in.mkv")
    ffmpeg(*moving(), "-frames:v", "1", work / "in.png")
    ffmpeg(*moving("96x96"), "-frames:v", "1", work / "painting.png")
    (work / "timeline.toml").write_text(TIMELINE)
    environment = {
        "HOME": str(folders["home"]),
        "XDG_CACHE_HOME": str(folders["cache"]),
        "TMPDIR": str(folders["temporary"]),
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps([[*run] for run in RUNS])]
    done = subprocess.run(command, cwd=work, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes, events, telemetry = json.loads((work / "found.json").read_text())
    assert dict(zip(map(" ".join, RUNS), codes)) == dict.fromkeys(map(" ".join, RUNS), 0), done.stderr
    assert (events, telemetry) == ([], [])
    assert {path.name for path in work.iterdir()} == INPUTS | OUTPUTS
    for name in ("home", "temporary"):
        assert [path.name for path in folders[name].iterdir()] == []
    assert {path.name for path in folders["cache"].iterdir()} == {"streamfx"}
