"""Protocols of the text encoder and the image encoder."""

from __future__ import annotations

from typing import Protocol

import torch

TEXT_TOKENS = 512
TEXT_CHANNELS = 4096
IMAGE_TOKENS = 257
IMAGE_CHANNELS = 1280


class TextEncoder(Protocol):
    """Embeds prompts; both results are (1, 512, 4096), on the CPU."""

    def encode(self, prompt: str) -> torch.Tensor:
        """The embedding of one prompt; rows past its last token are zero."""
        ...

    def negative(self) -> torch.Tensor:
        """What guidance leads away from."""
        ...


class ImageEncoder(Protocol):
    """Embeds the frame that a chunk continues."""

    def encode(self, frame: torch.Tensor) -> torch.Tensor:
        """Tokens (1, 257, 1280) of `frame` (1, 3, H, W) in [-1, 1], which may lie a little outside that range."""
        ...
