"""Pure tensor functions, [C, H, W] in, [C, H, W] out."""
