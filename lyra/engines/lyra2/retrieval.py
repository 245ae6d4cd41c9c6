"""Retrieval of the remembered frames that condition a chunk."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from lyra.geometry.cameras import Trajectory
from lyra.memory import GeometryCache, GreedyCoverage, RetrievalStrategy


@dataclass(frozen=True)
class Retrieval:
    """Frames for `slots` spatial slots, chosen by `strategy` for `views` of a chunk's cameras.

    The views are spread evenly and end with the chunk's last camera, which is the published choice.
    """

    slots: int
    views: int = 1
    strategy: RetrievalStrategy = field(default_factory=GreedyCoverage)

    def frames(self, memory: GeometryCache, path: Trajectory, known: int) -> list[int]:
        """Ids of at most `slots` frames, best last, for the frames of `path` from `known` on."""
        new = len(path) - known
        targets = path[np.linspace(0, new - 1, self.views + 1)[1:].astype(int) + known]
        return memory.retrieve(targets.w2c, targets.intrinsics, self.slots, self.strategy)
