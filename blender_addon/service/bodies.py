"""Request bodies as frozen dataclasses, with the fields of docs/api.md."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class _Body:
    """A field that is None is left out, so that a service that does not know it yet has nothing to refuse."""

    def to_json(self) -> dict:
        """The fields by their names in the API. Lists are those of the body: there may be many numbers in them."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.to_json() if isinstance(value, _Body) else value
            for name, value in named.items()
            if value is not None
        }


@dataclass(frozen=True)
class WorldSettings(_Body):
    """A new world. `size` and `intrinsics_size` are (width, height) in pixels, of the world's frames and of the image;
    `intrinsics` (3, 3) are in pixels of the image."""

    engine: str
    seed: int
    name: str
    depth: str | None = None
    depth_blend: bool | None = None
    depth_values: str | None = None
    depth_scene: str | None = None
    allow_download: bool | None = None
    size: tuple[int, int] | None = None
    intrinsics: list[list[float]] | None = None
    intrinsics_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class TrajectoryBody(_Body):
    """A path in a world's frame and units: `w2c` (N, 4, 4) in OpenCV axes, `intrinsics` (N, 3, 3) in pixels."""

    w2c: list[list[list[float]]]
    intrinsics: list[list[list[float]]]
    image_height: int
    image_width: int


@dataclass(frozen=True)
class EngineOptions(_Body):
    """What the artist has chosen of an engine; None leaves it to the engine."""

    steps: int | None = None
    guidance: float | None = None
    styles: float | None = None
    memory_mode: str | None = None


@dataclass(frozen=True)
class ExtendSettings(_Body):
    """Frames along a path. `captions` are prompts by the frame of the whole world from which they hold."""

    trajectory: TrajectoryBody
    pose_scale: float
    reconstruct: bool
    mesh: bool
    prompt: str | None = None
    captions: dict[str, str] | None = None
    seed: int | None = None
    options: EngineOptions | None = None


@dataclass(frozen=True)
class ReconstructSettings(_Body):
    """Splats, and a mesh where wanted."""

    mesh: bool


@dataclass(frozen=True)
class RevertBody(_Body):
    """How many chunks are kept."""

    chunks: int


@dataclass(frozen=True)
class WorldChanges(_Body):
    """`scale` in metres per unit of the world."""

    scale: float


@dataclass(frozen=True)
class ShutdownBody(_Body):
    """Whether a service ends though a job runs."""

    force: bool
