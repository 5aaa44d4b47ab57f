"""Locates the shipped data folders, both in an installed wheel and in a checkout."""

from pathlib import Path


def resource(folder: str) -> Path:
    """The path of a shipped `folder` ("presets", "cuda_kernels"): in the package in a wheel, else next to it."""
    package = Path(__file__).parent
    packaged = package / "data" / folder
    return packaged if packaged.is_dir() else package.parent / folder
