"""The Engine protocol: begin, extend, restore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from lyra.common.progress import Progress
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.world.chunks import Chunk, ChunkFrames

State = TypeVar("State")


class Engine(Protocol[State]):
    """Makes frames along a path, a chunk of 80 at a time. The state is the engine's own; callers only hand it back."""

    id: str

    def announce(self, prompts: Sequence[str]) -> None:
        """Tells the prompts of the chunks to come, so that the text encoder is loaded once."""
        ...

    def close(self) -> None:
        """Gives back what the engine holds; it cannot be used any more."""
        ...

    def begin(self, view: View) -> State:
        """The state of a world that is one frame, whose camera is the world's origin."""
        ...

    def extend(
        self, state: State, cameras: Trajectory, prompt: str, seed: int, progress: Progress
    ) -> ChunkFrames:
        """Frames for the 80 `cameras`, which follow what `state` knows; updates `state`.

        Calls `progress.update("frames", fraction, newest_frame)` at least once a second. When that raises,
        the state is not to be used again: call `restore`.
        """
        ...

    def restore(self, view: View, chunks: Sequence[Chunk]) -> State:
        """The state after the first frame `view` and a line of whole `chunks`.

        Extending it gives what an uninterrupted run gives.
        """
        ...
