"""State of a Lyra 2.0 world between chunks, and the part of it stored with each chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lyra.common import quoting
from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, value
from lyra.depth.fit import InverseFit
from lyra.engines.lyra2.history import History
from lyra.engines.lyra2.latents import FRAMES_PER_LATENT, LATENT_CHANNELS, PIXELS_PER_LATENT
from lyra.geometry.cameras import Trajectory
from lyra.memory import GeometryCache


@dataclass
class Lyra2State:
    """A world in the making.

    `memory` holds depth with sky at infinity, `path` the cameras of all frames; `depth_fit` scaled the newest depth.
    """

    history: History
    memory: GeometryCache
    path: Trajectory
    depth_fit: InverseFit | None = None

    def commit_chunk(self, record: ChunkRecord, path: Trajectory, history: History) -> None:
        """Adds a chunk: its remembered frames, the cameras of all frames up to its end, and the `history` after it."""
        for frame, depth in zip(record.remembered, record.depth, strict=True):
            self.memory.add(frame, depth, path.w2c[frame], path.intrinsics[frame])
        self.history = history.remembering(record.stills)
        self.path, self.depth_fit = path, record.depth_fit


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
    def of(
        cls,
        arrays: Mapping[str, np.ndarray],
        dtype: torch.dtype,
        place: Path,
        frames: range,
        frame_hw: tuple[int, int],
    ) -> ChunkRecord:
        """The record in the arrays of a chunk of `frames`; `dtype` is the type of latents.

        Raises InvalidInputError, naming the file `place`, for arrays that are not of a chunk of frames of `frame_hw`.
        """
        _check(arrays, place, frames, frame_hw)
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


def _check(arrays: Mapping[str, np.ndarray], place: Path, frames: range, frame_hw: tuple[int, int]) -> None:
    shown = quoting.place(place)
    ids = arrays.get("remembered", np.empty(0))
    count, latent = len(ids) if ids.ndim else 0, tuple(side // PIXELS_PER_LATENT for side in frame_hw)
    fit = arrays.get("depth_fit", np.empty(0))
    expected = {
        "sampled": (np.float32, (LATENT_CHANNELS, len(frames) // FRAMES_PER_LATENT, *latent)),
        "remembered": (np.int64, (count,)),
        "depth": (np.float32, (count, *frame_hw)),
        "stills": (np.float32, (count, LATENT_CHANNELS, *latent)),
        "depth_fit": (np.float64, (2,) if fit.size else (0,)),
    }
    for name, (dtype, shape) in expected.items():
        found = arrays.get(name)
        if found is None or found.dtype != dtype or found.shape != shape:
            there = "missing" if found is None else f"{found.dtype} {found.shape}"
            raise InvalidInputError(
                f"{shown} is not what the engine left: {name} is {there} and should be {np.dtype(dtype)} {shape}. "
                "Restore it from a copy, or revert the world to the chunk before."
            )
    if not np.isfinite(fit).all():
        raise InvalidInputError(
            f"{shown} is not what the engine left: depth_fit is {value(fit.tolist())}. Restore it from a copy, or "
            "revert the world to the chunk before."
        )
    # The newest frame is where the next chunk begins.
    if len(set(ids.tolist())) != count or not set(ids.tolist()) <= set(frames) or frames[-1] not in ids:
        raise InvalidInputError(
            f"{shown} is not what the engine left: it remembers the frames {one_line(ids.tolist(), 60)} of "
            f"{frames[0]} to {frames[-1]}. Restore it from a copy, or revert the world to the chunk before."
        )
