"""The schemas of the API: what clients send and get, as docs/api.md describes it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.api.numbers import Matrices, MatrixLists
from backend.jobs.dispatcher import WorkerState
from backend.jobs.store import JobKind, JobState
from lyra.geometry.cameras import MAX_FRAMES
from lyra.world.options import OPTIONS, MemoryMode, Range
from lyra.world.settings import MAX_SCALE
from lyra.world.tree import LAST_ID

ExportItem = Literal["splats.ply", "mesh.glb", "mesh.ply", "walkthrough.mp4", "trajectory.npz"]
Matrix = list[list[float]]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Side = Annotated[int, Field(ge=1, le=65536)]
Text = Annotated[str, Field(max_length=10_000)]
ChunkId = Annotated[int, Field(ge=0, le=LAST_ID)]


class Body(BaseModel):
    """Something a client sends; a misspelt key is refused rather than ignored.

    JSON with more than `most_marks` commas and opening brackets is not read; `too_many` then says the next step.
    """

    model_config = ConfigDict(extra="forbid")
    most_marks: ClassVar[int] = 1000
    too_many: ClassVar[str] = "See /docs for the fields."


class NewWorldSettings(Body):
    name: str | None = Field(None, min_length=1, max_length=64)
    engine: str = Field("preview", max_length=64)
    seed: Seed = 0
    depth: str = Field("auto", max_length=64, description="an id of lyra.depth.CHOICES")
    depth_blend: bool = Field(False, description="the depth file leaves pixels unknown; estimate those")
    depth_values: Literal["metres", "inverse"] = Field(
        "metres", description="what the depth file holds; inverse is a relative map in which near is bright"
    )
    depth_scene: Literal["auto", "indoor", "outdoor"] = Field(
        "auto", description="which weights of Depth Anything V2; auto looks for sky"
    )
    allow_download: bool = False
    intrinsics: MatrixLists | None = Field(None, description="3x3, pixels of the given image")
    intrinsics_size: tuple[Side, Side] | None = Field(
        None, description="width, height of the picture that the intrinsics are of; another one is refused"
    )
    size: tuple[int, int] | None = Field(None, description="width, height; multiples of 16")


class TrajectoryBody(Body):
    w2c: Matrices = Field(description="N x 4 x 4 world-to-camera, OpenCV axes; N = 1 + 80k")
    intrinsics: Matrices = Field(description="N x 3 x 3, pixels")
    image_height: int
    image_width: int


def _number(name: str, allow_inf_nan: bool | None = None) -> Any:
    """The field of an engine option that is a number, with the limits that it has everywhere."""
    option = OPTIONS[name]
    return Field(
        default=None, ge=option.min, le=option.max, description=option.help, allow_inf_nan=allow_inf_nan
    )


class Options(Body):
    """The `EngineOptions` of the engine, with their limits. Left out or null: what the engine does by itself."""

    steps: int | None = _number("steps")
    guidance: float | None = _number("guidance", allow_inf_nan=False)
    styles: float | None = _number("styles", allow_inf_nan=False)
    memory_mode: MemoryMode | None = Field(default=None, description=OPTIONS["memory_mode"].help)
    compile: bool = Field(default=False, description=OPTIONS["compile"].help)


class ExtendSettings(Body):
    # A frame has two matrices in 9 rows with 25 numbers in all; the rest is for commas in texts.
    most_marks: ClassVar[int] = 36 * MAX_FRAMES + 100_000
    too_many: ClassVar[str] = f"A path has at most {MAX_FRAMES} frames: send a shorter one."

    trajectory: TrajectoryBody
    prompt: Text = ""
    captions: dict[str, Text] | None = Field(None, description="starting frame of the whole world -> text")
    seed: Seed | None = None
    pose_scale: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)
    options: Options = Options()
    reconstruct: bool = True
    mesh: bool = True
    from_chunk: ChunkId | None = Field(
        None,
        description="id of the chunk to go on from, to which the world is switched first; 0 is the first frame",
    )


class Picture(BaseModel):
    width: int
    height: int


class WorldChanges(Body):
    scale: float = Field(gt=0, lt=MAX_SCALE, allow_inf_nan=False, description="metres per unit")


class RevertBody(Body):
    chunks: int = Field(ge=0, strict=True)


class SwitchBody(Body):
    take: ChunkId = Field(description="id of the take to show; 0 is the first frame alone")


class CleanBody(Body):
    dry_run: bool = Field(False, description="say what would be removed, and remove nothing")


class ReconstructSettings(Body):
    mesh: bool = True


class ExportSettings(Body):
    items: list[ExportItem] = Field(min_length=1)


class ShutdownBody(Body):
    force: bool = False


class Hello(BaseModel):
    service: str
    api: int
    pid: int
    proof: str = Field(
        description="HMAC-SHA256 of 'lyra-hello:CHALLENGE:PID' under the token, in hexadecimal"
    )


class Health(BaseModel):
    api: int
    version: str
    pid: int
    owner: str
    device: str | None = Field(description="null until the worker has started")
    worker: WorkerState
    active_jobs: int


class Licence(BaseModel):
    id: str
    title: str
    text: str
    where: str
    accepted: bool


class EngineState(BaseModel):
    status: Literal[
        "ready", "needs_packages", "needs_gpu", "needs_licence", "needs_download", "needs_conversion"
    ]
    text: str
    download_bytes: int
    licences: list[Licence]


class Engine(BaseModel):
    id: str
    label: str
    ready: bool
    reason: str
    needs: str
    license: str
    default: bool
    state: EngineState
    options: dict[str, Range | None]


class DepthNetworks(BaseModel):
    """The networks for better depth of the picture, which `auto` takes once they are here."""

    id: str
    label: str
    status: Literal["ready", "needs_packages", "needs_download"]
    text: str
    download_bytes: int
    licences: list[Licence]


class Chunk(BaseModel):
    id: int = Field(description="no other chunk of the world has or had it; the number of its folder")
    index: int = Field(description="from 1, its place on the line")
    parent: int = Field(description="id of the chunk before it, 0 for the first frame")
    prompt: str
    seed: int
    seconds: float
    engine: str
    options: dict


class Take(BaseModel):
    id: int
    parent: int | None
    frames: int
    seed: int
    prompt: str
    engine: str
    options: dict
    created: str
    head: bool
    on_line: bool
    results: bool
    unfinished: bool


class Unneeded(BaseModel):
    chunks: list[int]
    takes: list[int]
    size: int = Field(description="bytes")


class File(BaseModel):
    path: str
    size: int


class World(BaseModel):
    id: str
    name: str
    engine: str
    created: str
    width: int
    height: int
    frames: int
    head: int = Field(0, description="id of the chunk at which it ends, 0 for its first frame alone")
    state: Literal["seeding", "ready", "damaged"]
    error: str | None = Field(None, description="why a damaged world cannot be opened, and the next step")
    intrinsics: Matrix | None
    last_w2c: Matrix
    scale: float
    up: list[float] = Field(description="unit vector against gravity, in the axes of the first camera")
    seed: int
    depth_source: str
    license: str
    notes: list[str]
    folder: str
    chunks: list[Chunk]
    files: list[File]
    results: dict | None


class Job(BaseModel):
    id: str
    world_id: str
    kind: JobKind
    state: JobState
    stage: str
    progress: float
    eta_seconds: float | None
    message: str
    error: str | None
    notes: list[str]
    sequence: int
    preview: bool
    created: str
    started: str | None
    finished: str | None


class Event(BaseModel):
    sequence: int
    state: JobState
    stage: str
    progress: float
    eta_seconds: float | None
    message: str


class NewWorld(BaseModel):
    world: World
    job: Job


class Error(BaseModel):
    detail: str
