"""Progress of a chunk by its passes, with occasional previews."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from lyra.common.progress import Progress

STAGE = "frames"
PREVIEW_SECONDS = 1.0
# What a chunk takes besides its passes through the network, in passes: conditioning, VAE, depth.
BEFORE, DECODING, DEPTH = 2.0, 2.0, 2.0


def generated_share(passes: int) -> float:
    """The share of a chunk's time until its frames are there; the rest is depth."""
    return 1 - DEPTH / (BEFORE + passes + DECODING + DEPTH)


class ChunkWatch:
    """Tells the user how far a chunk is, and raises what `progress` raises to stop it.

    `preview` makes a picture of estimated latents, or None when it cannot.
    """

    def __init__(self, progress: Progress, passes: int, preview: Callable[[torch.Tensor], np.ndarray | None]):
        self.progress, self.preview = progress, preview
        self.total = BEFORE + passes + DECODING
        self.done = 0.0
        self.shown = time.monotonic()

    def tick(self) -> None:
        self.progress.update(STAGE, self.done / self.total)

    def step(self, done: int, passes: int, clean: torch.Tensor) -> None:
        """After each step of the sampler."""
        self.done = BEFORE + done
        frame = None
        if time.monotonic() - self.shown >= PREVIEW_SECONDS:
            frame = self.preview(clean)
            self.shown = time.monotonic()
        self.progress.update(STAGE, self.done / self.total, frame)
