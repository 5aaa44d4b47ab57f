"""Versions of streamfx and of installed packages."""

from importlib.metadata import PackageNotFoundError, version

__version__ = "0.2.0"


def package_version(name: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
