"""The contract of every engine: seed, extend, restore."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lyra.geometry.cameras import Trajectory
from lyra.progress import Progress

if TYPE_CHECKING:
    from lyra.world import World


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
    named arrays that `restore` needs beyond frames and depth; they are written beside the chunk.
    """

    frames: np.ndarray
    depth: np.ndarray
    state: dict[str, np.ndarray] = field(default_factory=dict)


class Engine(Protocol):
    """Makes 80 frames at a time along a path. The state is the engine's own; callers only hand it back."""

    id: str

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
