"""Style transfer: the style network, its losses, and its training."""
