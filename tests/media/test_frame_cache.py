"""The disk cache returns frames bit for bit and reports missing or damaged files."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.media.frame_cache import read_chunk, write_chunk


@pytest.mark.parametrize(("count", "height", "width"), [(1, 33, 32), (5, 51, 77)])
def test_frames_survive_a_round_trip(count, height, width, tmp_path):
    images = (torch.rand(count, 3, height, width) * 255).byte()
    file = tmp_path / "new" / "chunk.nut"
    write_chunk(file, images)
    assert torch.equal(read_chunk(file), images)
    assert [path.name for path in file.parent.iterdir()] == ["chunk.nut"]


def test_missing_and_damaged_chunks_are_errors(tmp_path):
    file = tmp_path / "chunk.nut"
    with pytest.raises(StreamfxError, match="start the run over"):
        read_chunk(file)
    write_chunk(file, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StreamfxError, match="start the run over"):
        read_chunk(file)


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StreamfxError, match="cannot cache frames in"):
        write_chunk(tmp_path / "file" / "chunk.nut", torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
