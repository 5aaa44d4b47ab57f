"""Where recordings may be written."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.live.outputs import check_recording


def test_recordings(tmp_path):
    check_recording(tmp_path / "show.mkv", overwrite=False)
    (tmp_path / "show.mp4").write_bytes(b"old")
    with pytest.raises(StreamfxError, match="exists; give -y"):
        check_recording(tmp_path / "show.mp4", overwrite=False)
    check_recording(tmp_path / "show.mp4", overwrite=True)
    for name, message in (
        ("show.gif", "live recordings are"),
        ("show.xyz", "cannot tell"),
        ("no/show.mkv", "not found"),
    ):
        with pytest.raises(StreamfxError, match=message):
            check_recording(tmp_path / name, overwrite=False)
