"""The schema of timeline files: the keys of sections and of their rings, guides and fades, with types and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Number: TypeAlias = StrictInt | StrictFloat | StrictStr  # a number or a schedule
Position: TypeAlias = StrictInt | StrictStr  # a frame of the video; "4s", "1:30", "8b", "2 bars", "max_f/2"
Name: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Steps: TypeAlias = Annotated[int, Field(ge=0, le=1000, strict=True)] | StrictStr  # or a schedule, rounded
Octaves: TypeAlias = Annotated[int, Field(ge=1, le=12, strict=True)] | StrictStr
Tile: TypeAlias = Annotated[int, Field(ge=128, le=4096, strict=True)] | StrictStr
Scale: TypeAlias = Annotated[float, Field(ge=1.1, le=4)] | StrictStr
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True)]

ASCENT_RANGES = {  # of schedules
    "steps": (0, 1000),
    "octaves": (1, 12),
    "octave_scale": (1.1, 4),
    "smooth": (0, 1),
    "tile": (128, 4096),
}
SHARES = ("view", "share")  # schedules in 0..1


class Table(BaseModel):
    """A table of a timeline file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AscentTable(Table):
    """Settings of the gradient ascent."""

    steps: Steps = 1  # per octave
    step: Number = "0.014"  # change of a pixel (0..1) where the gradient has its mean magnitude
    octaves: Octaves = 3
    octave_scale: Scale = 1.5
    smooth: Number = 0.5  # smoothing of the gradient across scales, 0..1
    tile: Tile = 640


class Picture(AscentTable):
    """A picture; with a layer, gradient ascent is applied to it once before it is used."""

    file: Name
    layer: StrictStr = ""
    steps: Steps = 10


class LayerChange(Table):
    """Switch to `layer` at frame `at`, crossfading over `fade` frames."""

    at: Position
    layer: Name
    fade: Position = 0


class Guide(Table):
    """Blend a share of a picture into every frame; switch to the next picture every `each` frames of the video."""

    pictures: tuple[Name, ...] = Field(min_length=1)
    share: Number = 0.003
    each: Position = 240
    colors: StrictBool = False  # use its chroma only, not its luma


class GrowingCircle(Table):
    """A circle around the center that grows, in pixels at the timeline's size; with `every`, several in succession."""

    at: Position
    every: Position = 0  # frames between starts; 0: only one
    until: Position | None = None  # latest start
    frames: Position = 45
    radius: tuple[Number, Number] = (100.0, 1000.0)
    width: Number = 300.0  # from the outer edge inward
    soft: Number = 20.0


class Ring(GrowingCircle):
    """A ring in which additional gradient ascent is applied."""

    layer: StrictStr = ""  # default: the section's current layer
    steps: Steps = 3
    step: Number = "1.5/255"


class Clear(GrowingCircle):
    """A circle, `width` smaller than the outer radius, in which the section's start image is restored."""

    share: Number = 0.05
    after: Position = 4  # frames after the growth in which the whole image is restored


class Fade(Table):
    """Fade the output to a color (black, white, #rrggbb) or a picture by a share; later frames are not affected."""

    to: Name
    share: Number


class Camera(Table):
    """Camera motion per frame, in the video's direction of time."""

    zoom: Number = 1
    angle: Number = 0  # degrees
    shift_x: Number = 0  # pixels at the timeline's size
    shift_y: Number = 0
    centre_x: Number = 0.5
    centre_y: Number = 0.5
    tilt_x: Number = 0  # degrees
    tilt_y: Number = 0
    border: Literal["reflect", "replicate", "wrap"] = "reflect"


CAMERA_KEYS = ("zoom", "angle", "shift_x", "shift_y", "centre_x", "centre_y", "tilt_x", "tilt_y")


class SectionTable(Table):
    """Keys of all sections."""

    name: Name
    start_at: Position | None = Field(default=None, alias="from")  # first frame; default: the previous section's end
    end_at: Position | None = Field(default=None, alias="to")  # the frame after the last one
    length: Position | None = None  # instead of `to`
    fade: tuple[Fade, ...] = ()


class StillSection(SectionTable):
    """A picture, shown unchanged."""

    kind: Literal["still"]
    picture: Name


class StabilizerTable(Table):
    """Limits the drift of frames that are generated from the previous frame; shares per frame."""

    hold: Number = 0.05  # correction of the drift in brightness, contrast and color since the start
    soften: Number = 0.0  # reduction of the finest detail


class DreamSection(Camera, AscentTable, StabilizerTable, SectionTable):
    """Frames that are each generated from the previous one, or, with `backward`, from the next one."""

    kind: Literal["dream"] = "dream"
    start: Name  # a picture, or a section whose last rendered frame is continued
    direction: Literal["forward", "backward"] = "forward"
    layer: StrictStr | tuple[LayerChange, ...] = ""
    view: Number = 0  # share of the start image, moved by the camera motion so far
    guide: tuple[Guide, ...] = ()
    ring: tuple[Ring, ...] = ()
    clear: tuple[Clear, ...] = ()


class MergeSection(Camera, AscentTable, StabilizerTable, SectionTable):
    """A transition between two sections that both cover its frames, one running forward and one backward."""

    kind: Literal["merge"]
    of: tuple[Name, Name]
    layer: Name
    method: Literal["passes", "pyramid", "flow", "fade"] = "passes"
    passes: tuple[Share, ...] = (0.98, 0.96, 0.92, 0.84, 0.68, 0.5, 0.0)  # weight of its own canvas at each pass's end
    steps: Steps = 2


Section: TypeAlias = DreamSection | StillSection | MergeSection
KINDS: dict[str, type[SectionTable]] = {"dream": DreamSection, "still": StillSection, "merge": MergeSection}


class Document(Table):
    """A timeline file; its sections are validated separately."""

    kind: Literal["timeline"]
    title: str = ""
    about: str = ""
    license: str = ""
    size: tuple[Annotated[int, Field(ge=32, le=16384)], Annotated[int, Field(ge=32, le=16384)]] = (1280, 720)
    fps: Annotated[int, Field(ge=1, le=1000, strict=True)] = 30
    margin: int = Field(default=60, ge=0, le=1000)  # pixels rendered around the frame, at `size`
    bar: int = Field(default=4, ge=1, le=32)  # beats
    audio: Name | None = None
    pictures: dict[str, Name | Picture] = {}
    layers: dict[str, dict[str, Name]] = {}  # network -> alias -> objective
    defaults: dict[str, Any] = {}  # of sections
    section: list[dict[str, Any]] = Field(min_length=1)
