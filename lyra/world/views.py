"""The frames of a world as views, read a chunk at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.geometry.views import View
from lyra.world.chunks import Chunk


class WorldViews(Sequence[View]):
    """1 + 80k views: the first, then those of `chunks`; the chunk read last stays in memory."""

    def __init__(self, first: View, chunks: Sequence[Chunk]):
        self._first = first
        self._chunks = chunks
        self._loaded: tuple[int, np.ndarray, np.ndarray, Trajectory] | None = None

    def __len__(self) -> int:
        return 1 + CHUNK_FRAMES * len(self._chunks)

    # No slices: one would hold all of its frames in memory.
    def __getitem__(self, index: int) -> View:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index == 0:
            return self._first
        number, offset = divmod(index - 1, CHUNK_FRAMES)
        if self._loaded is None or self._loaded[0] != number:
            chunk = self._chunks[number]
            self._loaded = (number, chunk.load_frames(), chunk.load_depth(), chunk.load_trajectory())
        _, frames, depth, trajectory = self._loaded
        # Copies: whoever keeps a view would keep the whole chunk otherwise.
        return View(frames[offset].copy(), depth[offset].copy(), trajectory[offset], index)
