"""What a Lyra 2.0 world knows between chunks, and what of it is kept beside a chunk so that it can be known again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lyra.depth.fit import InverseFit
from lyra.engines.lyra2.conditioning import Cameras
from lyra.engines.lyra2.history import History
from lyra.memory import GeometryCache


@dataclass
class Lyra2State:
    """A world in the making. `memory` holds depth with sky at infinity; `depth_fit` scaled the newest depth."""

    history: History
    memory: GeometryCache
    cameras: Cameras
    depth_fit: InverseFit | None = None


@dataclass(frozen=True)
class ChunkRecord:
    """What `restore` needs of a chunk.

    `sampled` (1, 16, k, h, w) float32 are the latents as the sampler left them. For the frames `remembered` (ids):
    `depth` (N, H, W) float32 and `stills` (N, 16, h, w), their latents, encoded alone.
    """

    sampled: torch.Tensor
    remembered: tuple[int, ...]
    depth: np.ndarray
    stills: Mapping[int, torch.Tensor]
    depth_fit: InverseFit | None

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays for the chunk's folder; every number survives."""
        stills = [self.stills[frame][0, :, 0].float().cpu().numpy() for frame in self.remembered]
        fit = [] if self.depth_fit is None else [self.depth_fit.gain, self.depth_fit.offset]
        return {
            "sampled": self.sampled[0].float().cpu().numpy(),
            "remembered": np.array(self.remembered, np.int64),
            "depth": self.depth,
            "stills": np.stack(stills),
            "depth_fit": np.array(fit, np.float64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], dtype: torch.dtype) -> ChunkRecord:
        """The record in the arrays of a chunk; `dtype` is the type of latents."""
        remembered = tuple(arrays["remembered"].tolist())
        stills = torch.from_numpy(arrays["stills"]).to(dtype)[:, None, :, None]
        fit = InverseFit(*arrays["depth_fit"].tolist()) if len(arrays["depth_fit"]) else None
        return cls(
            torch.from_numpy(arrays["sampled"])[None],
            remembered,
            arrays["depth"],
            dict(zip(remembered, stills, strict=True)),
            fit,
        )
