"""What may stand in a timeline: the keys of its sections, of their rings, guides and fades, with types and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

Number: TypeAlias = StrictInt | StrictFloat | StrictStr  # a number, or a schedule
Position: TypeAlias = StrictInt | StrictStr  # a frame of the film; "4s", "1:30", "8b", "2 bars", "max_f/2"
Name: TypeAlias = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Steps: TypeAlias = Annotated[int, Field(ge=0, le=1000, strict=True)] | StrictStr  # or a schedule, rounded
Octaves: TypeAlias = Annotated[int, Field(ge=1, le=12, strict=True)] | StrictStr
Tile: TypeAlias = Annotated[int, Field(ge=128, le=4096, strict=True)] | StrictStr
Scale: TypeAlias = Annotated[float, Field(ge=1.1, le=4)] | StrictStr
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True)]

CLIMBS = {  # ranges of schedules
    "steps": (0, 1000),
    "octaves": (1, 12),
    "octave_scale": (1.1, 4),
    "smooth": (0, 1),
    "tile": (128, 4096),
}
SHARES = ("view", "share")  # schedules that are 0..1


class Part(BaseModel):
    """A table of a timeline. Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Climb(Part):
    """How to dream; sizes of steps are of 0..1, where the gradient has its mean size."""

    steps: Steps = 1  # in each octave
    step: Number = "0.014"
    octaves: Octaves = 3
    octave_scale: Scale = 1.5
    smooth: Number = 0.5  # how far coarse and fine detail pull alike, 0..1
    tile: Tile = 640


class Picture(Climb):
    """A picture, dreamed on before it is used where a layer is given."""

    file: Name
    layer: StrictStr = ""
    steps: Steps = 10


class Turn(Part):
    """From `at` on, `layer` is dreamed of, after `fade` frames in which it takes over."""

    at: Position
    layer: Name
    fade: Position = 0


class Guide(Part):
    """A share of a picture in every frame; of several, each for `each` frames, counted from the film's beginning."""

    pictures: tuple[Name, ...] = Field(min_length=1)
    share: Number = 0.003
    each: Position = 240
    colors: StrictBool = False  # only its colours, not its light


class Grown(Part):
    """A circle about the middle that grows, in pixels of the timeline's size; at several times with `every`."""

    at: Position
    every: Position = 0  # frames from one to the next; 0: there is one
    until: Position | None = None  # none begins later
    frames: Position = 45
    radius: tuple[Number, Number] = (100.0, 1000.0)
    width: Number = 300.0  # from the outer edge inwards
    soft: Number = 20.0


class Ring(Grown):
    """A ring in which more is dreamed."""

    layer: StrictStr = ""  # the section's at that time
    steps: Steps = 3
    step: Number = "1.5/255"


class Clear(Grown):
    """A circle, `width` behind the outer radius, in which what the film began with comes back."""

    share: Number = 0.05
    after: Position = 4  # frames in which it comes back everywhere, when the circle is grown


class Fade(Part):
    """What is shown, but not dreamed on: a share of a colour (black, white, #rrggbb) or of a picture."""

    to: Name
    share: Number


class Camera(Part):
    """Moves, each frame, as they are seen in the film."""

    zoom: Number = 1
    angle: Number = 0  # degrees
    shift_x: Number = 0  # pixels of the timeline's size
    shift_y: Number = 0
    centre_x: Number = 0.5
    centre_y: Number = 0.5
    tilt_x: Number = 0  # degrees
    tilt_y: Number = 0
    border: Literal["reflect", "replicate", "wrap"] = "reflect"


MOVES = ("zoom", "angle", "shift_x", "shift_y", "centre_x", "centre_y", "tilt_x", "tilt_y")


class Placed(Part):
    """A section of the film."""

    name: Name
    start_at: Position | None = Field(default=None, alias="from")  # its first frame; else where the last one ends
    end_at: Position | None = Field(default=None, alias="to")  # the frame behind its last one
    length: Position | None = None  # instead of `to`
    fade: tuple[Fade, ...] = ()


class Still(Placed):
    """A picture, shown as it is."""

    kind: Literal["still"]
    picture: Name


class Kept(Part):
    """What keeps a picture that is fed back from burning out; shares each frame."""

    hold: Number = 0.05  # of what light, contrast and colour have gone astray from the start's
    soften: Number = 0.0  # of the finest detail


class Dreamed(Camera, Climb, Kept, Placed):
    """Frames that are dreamed on, each from the one before it; `backward` from the one behind it."""

    kind: Literal["dream"] = "dream"
    start: Name  # a picture, or the section from whose end it goes on
    direction: Literal["forward", "backward"] = "forward"
    layer: StrictStr | tuple[Turn, ...] = ""
    view: Number = 0  # share of what the film began with, as the camera sees it by now
    guide: tuple[Guide, ...] = ()
    ring: tuple[Ring, ...] = ()
    clear: tuple[Clear, ...] = ()


class Merge(Camera, Climb, Kept, Placed):
    """Frames in which one section becomes another: both must have them, one running forward, one backward."""

    kind: Literal["merge"]
    of: tuple[Name, Name]
    layer: Name
    method: Literal["passes", "pyramid", "flow", "fade"] = "passes"
    passes: tuple[Share, ...] = (0.98, 0.96, 0.92, 0.84, 0.68, 0.5, 0.0)  # what each leaves of its own side
    steps: Steps = 2


Section: TypeAlias = Dreamed | Still | Merge
KINDS: dict[str, type[Placed]] = {"dream": Dreamed, "still": Still, "merge": Merge}


class Script(Part):
    """A timeline's file but for its sections."""

    kind: Literal["timeline"]
    title: str = ""
    about: str = ""
    license: str = ""
    size: tuple[Annotated[int, Field(ge=32, le=16384)], Annotated[int, Field(ge=32, le=16384)]] = (1280, 720)
    fps: Annotated[int, Field(ge=1, le=1000, strict=True)] = 30
    margin: int = Field(default=60, ge=0, le=1000)  # pixels around the picture of `size`
    bar: int = Field(default=4, ge=1, le=32)  # beats
    audio: Name | None = None
    pictures: dict[str, Name | Picture] = {}
    layers: dict[str, dict[str, Name]] = {}  # network -> what its layers are called in this timeline
    defaults: dict[str, Any] = {}  # of sections
    section: list[dict[str, Any]] = Field(min_length=1)
