"""Files of PyTorch's example fast_neural_style give the results of the original network."""

import pickle

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.presets import ImportedNetwork
from streamfx.styletransfer.importing.network import ImportedStylizer
from streamfx.styletransfer.importing.transformer_net import load_network, read_pth, save_network


@pytest.mark.parametrize("how", ["new", "old", "parallel", "in a checkpoint"])
def test_the_result_is_the_original_ones(how, original, old_state, photo, tmp_path):
    state = old_state if how == "old" else original.state_dict()
    if how == "parallel":
        state = {f"module.{name}": weight for name, weight in state.items()}
    saved = {"epoch": 2, "state_dict": state} if how == "in a checkpoint" else state
    torch.save(saved, tmp_path / "candy.pth", _use_new_zipfile_serialization=how != "old")
    images = photo[None] * 255
    assert torch.allclose(read_pth(tmp_path / "candy.pth")(images), original(images), atol=1e-2)


def test_openvino_gives_the_same_and_weights_are_kept_exactly(original, old_state, photo, tmp_path):
    torch.save(old_state, tmp_path / "candy.pth")
    save_network(tmp_path / "candy.safetensors", read_pth(tmp_path / "candy.pth"))
    for name, weight in load_network(tmp_path / "candy.safetensors").state_dict().items():
        assert torch.equal(weight, original.state_dict()[name])
    network = ImportedNetwork(kind="fast_neural_style")
    run = ImportedStylizer(tmp_path / "candy.safetensors", network, "fp32", torch.device("cpu"))
    stylized, expected = run(photo), (original(photo[None] * 255)[0] / 255).clamp(0, 1)
    assert expected.std() > 0.05
    assert (stylized - expected).abs().max() < 1 / 255


def test_a_smaller_network_of_the_same_kind(tmp_path):
    from streamfx.styletransfer.importing.transformer_net import TransformerNet

    torch.save(TransformerNet(8, 16, 16, blocks=2).state_dict(), tmp_path / "small.pth")
    assert read_pth(tmp_path / "small.pth").sizes == {"first": 8, "second": 16, "third": 16, "blocks": 2}


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_files_cannot_run_code(tmp_path):
    for number, save in enumerate((torch.save, lambda value, file: file.write_bytes(pickle.dumps(value)))):
        save({"conv1.conv2d.weight": Attack(tmp_path / "attacked")}, tmp_path / f"{number}.pth")
        with pytest.raises(StreamfxError, match="is not a file of PyTorch weights; save them with"):
            read_pth(tmp_path / f"{number}.pth")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "contains no weights by name"),
        ({"a": 1}, "contains no weights by name"),
        ({"a": torch.zeros(1)}, "is not a network of PyTorch's example fast_neural_style"),
        ({f"conv{n}.conv2d.weight": torch.zeros(8, 3, 1, 1) for n in (1, 2, 3)}, "do not fit this network"),
        ({f"conv{n}.conv2d.weight": torch.zeros(600, 1, 1, 1) for n in (1, 2, 3)}, "the limits are 512 channels"),
    ],
)
def test_other_files(content, message, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(StreamfxError, match=message):
        read_pth(tmp_path / "x.pth")


def test_damaged_and_missing_files(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(StreamfxError, match="is not a file of PyTorch weights"):
        read_pth(tmp_path / "x.pth")
    with pytest.raises(StreamfxError, match="cannot read"):
        read_pth(tmp_path / "none.pth")
