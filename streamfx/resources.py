"""Locates the shipped data folders, in an installed wheel or a checkout, and the cache."""

from pathlib import Path

from platformdirs import user_cache_dir


def resource(folder: str) -> Path:
    """The path of a shipped `folder` ("presets", "cuda_kernels"): in the package in a wheel, else next to it."""
    package = Path(__file__).parent
    packaged = package / "data" / folder
    return packaged if packaged.is_dir() else package.parent / folder


def cache_folder() -> Path:
    """The folder for files that can be made or downloaded again; it may not exist yet."""
    return Path(user_cache_dir("streamfx", appauthor=False))
