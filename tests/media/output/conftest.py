"""Clips for several tests of outputs."""

import pytest

VFR = "select='not(mod(n,3))+gt(n,12)*not(mod(n,2))'"  # frames at irregular intervals
RED = "color=red:s=64x48:r=25:d=0.2,format=yuva444p"


@pytest.fixture(scope="session")
def uneven(clip, moving, tone):
    """uneven(name): a video of variable frame rate with B-frames, and a tone."""

    def uneven(name):
        return clip(
            name,
            *moving(),
            *tone(),
            "-vf",
            VFR,
            "-fps_mode",
            "vfr",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
        )

    return uneven


@pytest.fixture(scope="session")
def transparent(clip):
    """transparent(name, alpha): red, opaque on the left and with this alpha, by default 80, on the right."""
    code = {
        "qtrle.mov": ["-c:v", "qtrle"],
        "png.mov": ["-c:v", "png"],
        "prores.mov": ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"],
        "still.png": ["-frames:v", "1", "-pix_fmt", "rgba"],
        "ffv1.mkv": ["-c:v", "ffv1", "-pix_fmt", "yuva420p"],
        "vp9.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "10", "-b:v", "0"],
        "anim.apng": ["-c:v", "apng", "-pix_fmt", "rgba", "-f", "apng"],
    }

    def transparent(name, alpha=80):
        planes = f"geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,32),255,{alpha})'"
        return clip(name, "-f", "lavfi", "-i", f"{RED},{planes}", *code[name])

    return transparent
