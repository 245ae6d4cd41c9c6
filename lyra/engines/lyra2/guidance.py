"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance as published: v_negative + scale (v_text - v_negative).

    With a `scale` of 1 the prompt's velocity is taken as it is, and the network is asked once instead of twice.
    """

    scale: float = 1.0

    @property
    def active(self) -> bool:
        """Whether the network is also asked with the negative embedding."""
        return self.scale != 1.0

    def combined(self, velocities: Sequence[torch.Tensor]) -> torch.Tensor:
        """The velocity to follow, of that with the prompt and, where guidance is active, the negative one."""
        if not self.active:
            (velocity,) = velocities
            return velocity
        prompted, negative = velocities
        return negative + self.scale * (prompted - negative)
