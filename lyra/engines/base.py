"""The contract of every engine: seed, extend, restore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.progress import Progress
from lyra.geometry.cameras import Trajectory

if TYPE_CHECKING:
    from lyra.world.folder import World

MAX_STEPS = 200
MAX_GUIDANCE = 30.0
MAX_STYLES = 1.0
MEMORY_MODES = ("resident", "fp8", "offload")


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose of an engine; None leaves it to the engine. The preview engine has nothing to choose.

    `steps`: how many steps the sampler takes. `guidance`: how strongly the text leads, 1 being not at all.
    `styles`: strength of the published style LoRAs, realism and detail; 0 leaves them out.
    `memory_mode`: one of MEMORY_MODES; by default the first that fits the GPU. `compile`: compile the network first,
    which takes minutes and makes every later step faster.
    """

    steps: int | None = None
    guidance: float | None = None
    styles: float | None = None
    memory_mode: str | None = None
    compile: bool = False

    def checked(self) -> EngineOptions:
        """Raises InvalidInputError for values that no engine has."""
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise InvalidInputError(f"steps is {self.steps}; choose 1 to {MAX_STEPS}, or leave it out.")
        # Written so that NaN is refused as well.
        if self.guidance is not None and not 1 <= self.guidance <= MAX_GUIDANCE:
            raise InvalidInputError(
                f"guidance is {self.guidance}; choose 1 (the text leads nothing) to {MAX_GUIDANCE:g}, or leave it out."
            )
        if self.styles is not None and not 0 <= self.styles <= MAX_STYLES:
            raise InvalidInputError(
                f"styles is {self.styles}; choose 0 (without) to {MAX_STYLES:g}, or leave it out."
            )
        if self.memory_mode is not None and self.memory_mode not in MEMORY_MODES:
            raise InvalidInputError(
                f"There is no memory mode {self.memory_mode!r}; choose one of {', '.join(MEMORY_MODES)}, "
                "or leave it out."
            )
        return self


DEFAULT_OPTIONS = EngineOptions()


@dataclass(frozen=True)
class SeedView:
    """Frame 0: `image` (H, W, 3) uint8 sRGB, `depth` (H, W) float32 z-depth (inf: sky), `intrinsics` (3, 3).

    Its camera is the world's origin.
    """

    image: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray


@dataclass(frozen=True)
class ChunkFrames:
    """What an engine made of 80 cameras: `frames` (80, H, W, 3) uint8 sRGB, `depth` (80, H, W) float32.

    Depth is z-depth rounded to float16 (inf is sky), because that is what the world folder keeps. `state` holds
    named arrays that `restore` needs beyond frames and depth; they are written beside the chunk. `notes` are lines
    for the user.
    """

    frames: np.ndarray
    depth: np.ndarray
    state: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def rounded_depth(disparity: np.ndarray) -> np.ndarray:
    """Depth (..., H, W) float32 as the world folder keeps it: float16 precision, inf where there is sky."""
    with np.errstate(divide="ignore", over="ignore"):
        depth = (1 / disparity).astype(np.float16)
    return np.maximum(depth, np.finfo(np.float16).tiny).astype(np.float32)


class Engine(Protocol):
    """Makes 80 frames at a time along a path. The state is the engine's own; callers only hand it back."""

    id: str

    def announce(self, prompts: Sequence[str]) -> None:
        """Tells the texts of the chunks to come, so that what reads them is loaded once."""
        ...

    def close(self) -> None:
        """Gives back what the engine holds; it cannot be used any more."""
        ...

    def seed(self, view: SeedView) -> Any:
        """The state of a world that knows only its first frame."""
        ...

    def extend(
        self, state: Any, trajectory: Trajectory, prompt: str, seed: int, progress: Progress
    ) -> ChunkFrames:
        """Frames for the 80 cameras of `trajectory`, which follow what `state` knows; updates `state`.

        Calls `progress.update("frames", fraction, newest_frame)` at least once a second. When that raises,
        the state is not to be used again: call `restore`.
        """
        ...

    def restore(self, world: World) -> Any:
        """The state after the whole chunks of `world`; extending it gives what an uninterrupted run gives."""
        ...
