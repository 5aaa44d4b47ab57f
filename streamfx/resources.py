"""Where the data folders that travel with the program lie, installed from a wheel or run from a checkout."""

from pathlib import Path


def resource(folder: str) -> Path:
    """The shipped `folder` ("presets", "cuda_kernels"): inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "data" / folder
    return inside if inside.is_dir() else package.parent / folder
