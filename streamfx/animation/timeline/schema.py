"""The schema of timeline files: the keys of sections and of their rings, guides and fades, with types and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from typing_extensions import Doc

Number: TypeAlias = StrictInt | StrictFloat | StrictStr  # a number or a schedule
Position: TypeAlias = StrictInt | StrictStr  # a frame of the video; "4s", "1:30", "8b", "2 bars", "max_f/2"
Name: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Steps: TypeAlias = Annotated[int, Field(ge=0, le=1000, strict=True)] | StrictStr  # or a schedule, rounded
Octaves: TypeAlias = Annotated[int, Field(ge=1, le=12, strict=True)] | StrictStr
Tile: TypeAlias = Annotated[int, Field(ge=128, le=4096, strict=True)] | StrictStr
Scale: TypeAlias = Annotated[float, Field(ge=1.1, le=4)] | StrictStr
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True)]
Side: TypeAlias = Annotated[int, Field(ge=32, le=16384)]

ASCENT_RANGES = {  # of schedules
    "steps": (0, 1000),
    "octaves": (1, 12),
    "octave_scale": (1.1, 4),
    "smooth": (0, 1),
    "tile": (128, 4096),
}
_PASSES = (0.98, 0.96, 0.92, 0.84, 0.68, 0.5, 0.0)
RENAMED: dict[str | int, str] = {"centre_x": "center_x", "centre_y": "center_y"}  # keys of version 0.1, still read


class Table(BaseModel):
    """A table of a timeline file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class AscentTable(Table):
    """Settings of the gradient ascent."""

    steps: Annotated[Steps, Doc("Steps in each octave")] = 1
    step: Annotated[Number, Doc("Change of a pixel (0..1) where the gradient has its mean magnitude")] = "0.014"
    octaves: Annotated[Octaves, Doc("Number of pattern sizes")] = 3
    octave_scale: Annotated[Scale, Doc("Ratio of one octave's size to the next")] = 1.5
    smooth: Annotated[Number, Doc("Smoothing of the gradient across scales, 0..1")] = 0.5
    tile: Annotated[Tile, Doc("Longest side in pixels per network run; less saves memory")] = 640


class Picture(AscentTable):
    """A picture; with a layer, gradient ascent is applied to it once before it is used."""

    file: Annotated[Name, Doc("Image file")]
    layer: Annotated[StrictStr, Doc("Objective of the gradient ascent")] = ""
    steps: Annotated[Steps, Doc("Steps in each octave")] = 10


class LayerChange(Table):
    """Switch to another layer."""

    at: Annotated[Position, Doc("Frame of the change")]
    layer: Annotated[Name, Doc("Objective from then on")]
    fade: Annotated[Position, Doc("Frames of the crossfade")] = 0


class Guide(Table):
    """Blend pictures into every frame, one after the other."""

    pictures: Annotated[tuple[Name, ...], Doc("Names of pictures")] = Field(min_length=1)
    share: Annotated[Number, Doc("Share of the picture in each frame")] = 0.003
    each: Annotated[Position, Doc("Frames of the video before the next picture")] = 240
    colors: Annotated[StrictBool, Doc("Blend the picture's chroma only, not its luma")] = False


class GrowingCircle(Table):
    """A circle around the center that grows, in pixels at the timeline's size; with `every`, several in succession."""

    at: Annotated[Position, Doc("Start of the first one")]
    every: Annotated[Position, Doc("Frames from one start to the next; 0: only one")] = 0
    until: Annotated[Position | None, Doc("Latest start")] = None
    frames: Annotated[Position, Doc("Frames of the growth")] = 45
    radius: Annotated[tuple[Number, Number], Doc("Outer radius at the start and at the end, pixels")] = (100.0, 1000.0)
    width: Annotated[Number, Doc("Pixels from the outer edge inward")] = 300.0
    soft: Annotated[Number, Doc("Width of the soft edges, pixels")] = 20.0


class Ring(GrowingCircle):
    """A ring in which additional gradient ascent is applied."""

    layer: Annotated[StrictStr, Doc("Objective; by default the section's current layer")] = ""
    steps: Annotated[Steps, Doc("Steps in each octave")] = 3
    step: Annotated[Number, Doc("Change of a pixel (0..1) where the gradient has its mean magnitude")] = "1.5/255"


class Clear(GrowingCircle):
    """A circle, `width` smaller than the outer radius, in which the section's start image is restored."""

    share: Annotated[Number, Doc("Share restored in each frame")] = 0.05
    after: Annotated[Position, Doc("Frames after the growth in which the whole image is restored")] = 4


class Fade(Table):
    """Fade the output to a color or a picture; later frames are not affected."""

    to: Annotated[Name, Doc("black, white, #rrggbb, or the name of a picture")]
    share: Annotated[Number, Doc("Share of the color or picture, 0..1")]


class Camera(Table):
    """Camera motion per frame, in the video's direction of time."""

    zoom: Annotated[Number, Doc("Factor per frame; above 1 enlarges")] = 1
    angle: Annotated[Number, Doc("Degrees per frame; positive rotates counterclockwise")] = 0
    shift_x: Annotated[Number, Doc("Pixels per frame, at the timeline's size; positive moves right")] = 0
    shift_y: Annotated[Number, Doc("Pixels per frame, at the timeline's size; positive moves down")] = 0
    center_x: Annotated[Number, Doc("Center of zoom and rotation, as a share of the width")] = 0.5
    center_y: Annotated[Number, Doc("Center of zoom and rotation, as a share of the height")] = 0.5
    tilt_x: Annotated[Number, Doc("Degrees per frame about the horizontal axis; positive moves the top away")] = 0
    tilt_y: Annotated[Number, Doc("Degrees per frame about the vertical axis; positive moves the right away")] = 0
    border: Annotated[Literal["reflect", "replicate", "wrap"], Doc("Fill beyond the borders")] = "reflect"


CAMERA_KEYS = ("zoom", "angle", "shift_x", "shift_y", "center_x", "center_y", "tilt_x", "tilt_y")


class SectionTable(Table):
    """Keys of all sections."""

    name: Annotated[Name, Doc("Name by which other sections refer to this one")]
    start_at: Annotated[
        Position | None, Field(alias="from"), Doc("First frame; default: the previous section's end")
    ] = None
    end_at: Annotated[Position | None, Field(alias="to"), Doc("The frame after the last one")] = None
    length: Annotated[Position | None, Doc("Number of frames, instead of `to`")] = None
    fade: Annotated[tuple[Fade, ...], Doc("Fades of the output")] = ()


class StillSection(SectionTable):
    """A picture, shown unchanged."""

    kind: Annotated[Literal["still"], Doc("Kind of the section")]
    picture: Annotated[Name, Doc("Name of the picture")]


class StabilizerTable(Table):
    """Limits the drift of frames that are generated from the previous frame; shares per frame."""

    hold: Annotated[Number, Doc("Share of drifted brightness, contrast and color removed per frame")] = 0.05
    soften: Annotated[Number, Doc("Share of the finest detail removed per frame")] = 0.0


class DreamSection(Camera, AscentTable, StabilizerTable, SectionTable):
    """Frames that are each generated from the previous one, or, with `direction = "backward"`, from the next one."""

    kind: Annotated[Literal["dream"], Doc("Kind of the section")] = "dream"
    start: Annotated[Name, Doc("A picture, or a section whose last rendered frame is continued")]
    direction: Annotated[Literal["forward", "backward"], Doc("Direction of time in which it is generated")] = "forward"
    layer: Annotated[StrictStr | tuple[LayerChange, ...], Doc("Objective, or changes of it")] = ""
    view: Annotated[Number, Doc("Share of the start image, moved by the camera motion so far")] = 0
    guide: Annotated[tuple[Guide, ...], Doc("Pictures blended into every frame")] = ()
    ring: Annotated[tuple[Ring, ...], Doc("Growing rings of additional gradient ascent")] = ()
    clear: Annotated[tuple[Clear, ...], Doc("Growing circles in which the start image is restored")] = ()


class MergeSection(Camera, AscentTable, StabilizerTable, SectionTable):
    """A transition between two sections that both cover its frames, one running forward and one backward."""

    kind: Annotated[Literal["merge"], Doc("Kind of the section")]
    of: Annotated[tuple[Name, Name], Doc("Names of the two sections")]
    layer: Annotated[Name, Doc("Objective")]
    method: Annotated[Literal["passes", "pyramid", "flow", "fade"], Doc("How the sections are joined")] = "passes"
    passes: Annotated[tuple[Share, ...], Field(min_length=1), Doc("Own weight after each pass")] = _PASSES
    steps: Annotated[Steps, Doc("Steps in each octave")] = 2


Section: TypeAlias = DreamSection | StillSection | MergeSection
KINDS: dict[str, type[SectionTable]] = {"dream": DreamSection, "still": StillSection, "merge": MergeSection}


class Document(Table):
    """A timeline file; its sections are validated separately."""

    kind: Annotated[Literal["timeline"], Doc("Tells a timeline from a preset")]
    title: Annotated[str, Doc("Title of the video")] = ""
    about: Annotated[str, Doc("One line for lists")] = ""
    license: Annotated[str, Doc("License of the timeline")] = ""
    size: Annotated[tuple[Side, Side], Doc("Width and height, pixels")] = (1280, 720)
    fps: Annotated[int, Field(ge=1, le=1000, strict=True), Doc("Frames per second")] = 30
    margin: Annotated[int, Doc("Pixels rendered around the frame, at `size`")] = Field(default=60, ge=0, le=1000)
    bar: Annotated[int, Doc("Beats in a bar")] = Field(default=4, ge=1, le=32)
    audio: Annotated[Name | None, Doc("Audio file; `--audio` overrides it")] = None
    pictures: Annotated[dict[str, Name | Picture], Doc("Name -> file, or a table")] = {}
    layers: Annotated[dict[str, dict[str, Name]], Doc("Network -> alias -> objective")] = {}
    defaults: Annotated[dict[str, Any], Doc("Keys that all sections inherit where they allow them")] = {}
    section: Annotated[list[dict[str, Any]], Doc("The sections, in order")] = Field(min_length=1)
