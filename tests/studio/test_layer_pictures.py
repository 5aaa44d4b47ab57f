"""Pictures of what layers dream."""

from streamfx.studio.layer_pictures import LayerPictures, default_layers
from streamfx.studio.stills import StillRenderer


def test_each_layer_gets_a_picture_once(video, tmp_path):
    pictures = LayerPictures(tmp_path / "cache")
    layers = default_layers()
    assert "block10" in layers
    for layer in layers[1:]:
        file = pictures.file(video, layer)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"painted")
    seen = []
    pictures.paint(video, StillRenderer(), lambda: False, lambda layer, file: seen.append((layer, file)))
    assert [layer for layer, _ in seen] == layers
    assert seen[0][1].read_bytes().startswith(b"\xff\xd8")
    assert seen[1][1].read_bytes() == b"painted"
    assert pictures.file(video, "block1") != pictures.file(video, "block2")
