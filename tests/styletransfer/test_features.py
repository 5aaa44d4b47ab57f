"""The feature extractor returns the layers that the settings name."""

import torch

from streamfx.presets import TrainingSettings


def test_style_and_content_layers_come_from_one_network(extractors):
    settings, images = TrainingSettings(), torch.rand(2, 3, 64, 96)
    assert [extractor.network for extractor in extractors] == list(settings.style_layers)
    for extractor in extractors:
        style, content, both = extractor.style(images), extractor.content(images), extractor.all(images)
        assert set(style) == set(extractor.style_layers)
        assert set(content) == set(extractor.content_layers)
        assert set(both) == {*extractor.style_layers, *extractor.content_layers}
        for name, features in {**style, **content}.items():
            assert features.shape == both[name].shape
            assert features.shape[0] == 2
            torch.testing.assert_close(features.float(), both[name].float(), atol=0.05, rtol=0.05)
