"""DeepDream: networks, objectives and gradient ascent."""
