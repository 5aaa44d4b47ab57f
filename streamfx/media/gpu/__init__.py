"""Frames in GPU memory: NVDEC, NVENC and the surfaces between them."""
