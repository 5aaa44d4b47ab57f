"""Pure tensor functions, [C, H, W] in and out."""
