"""Sources of the sampler's noise."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch


class NoiseSource(Protocol):
    """Standard normal noise by seed: float32, on the CPU, the same numbers for every device."""

    def initial(self, seed: int, shape: tuple[int, ...]) -> torch.Tensor:
        """What the sampler starts from; `shape` is that of the new latents, (1, 16, 20, h, w)."""
        ...

    def fresh(self, seed: int, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        """What the result of sampler step `step` (from 0) is noised with again; `shape` is (slots, 16, h, w).

        `slots` counts all latents of the network's input, history first, as the published code draws them.
        """
        ...


class SeededNoise:
    """All noise follows from the chunk's seed alone.

    numpy's legacy generator, whose streams are frozen for good: `initial` is the published draw, bit for bit. The
    published re-noising draws from torch's global generator and so depends on everything drawn before; here each step
    has a stream of its own.
    """

    def initial(self, seed: int, shape: tuple[int, ...]) -> torch.Tensor:
        return _normal(np.random.RandomState(seed), shape)

    def fresh(self, seed: int, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        return _normal(np.random.RandomState([seed, step]), shape)


def _normal(generator: np.random.RandomState, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
