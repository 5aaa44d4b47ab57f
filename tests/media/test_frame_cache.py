"""Pictures put by on disk: bit for bit, and an error where they are gone."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.media.frame_cache import read_chunk, write_chunk


@pytest.mark.parametrize(("count", "height", "width"), [(1, 33, 32), (5, 51, 77)])
def test_what_is_read_is_what_was_written(count, height, width, tmp_path):
    pictures = (torch.rand(count, 3, height, width) * 255).byte()
    file = tmp_path / "new" / "chunk.nut"
    write_chunk(file, pictures)
    assert torch.equal(read_chunk(file), pictures)
    assert [each.name for each in file.parent.iterdir()] == ["chunk.nut"]


def test_a_chunk_that_is_missing_or_damaged(tmp_path):
    file = tmp_path / "chunk.nut"
    with pytest.raises(StreamfxError, match="start the film anew"):
        read_chunk(file)
    write_chunk(file, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StreamfxError, match="start the film anew"):
        read_chunk(file)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StreamfxError, match="cannot put pictures by"):
        write_chunk(tmp_path / "file" / "chunk.nut", torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
