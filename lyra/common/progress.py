"""Progress reports and cancellation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lyra.common.errors import CancelledError

Listener = Callable[[str, float, "np.ndarray | None"], None]


@dataclass(frozen=True)
class Progress:
    """Reports stage and fraction to a listener, and stops the work when the user asked for it.

    `listener(stage, fraction, frame)` gets the stage's name, the fraction of the whole job in [0, 1] and, now
    and then, the newest frame (H, W, 3) uint8. `cancelled()` is asked at every update.
    """

    listener: Listener = lambda stage, fraction, frame: None
    cancelled: Callable[[], bool] = lambda: False
    start: float = field(default=0.0)
    end: float = field(default=1.0)

    def part(self, start: float, end: float) -> Progress:
        """The share [start, end] of this progress, for one step of the work."""
        width = self.end - self.start
        return Progress(self.listener, self.cancelled, self.start + start * width, self.start + end * width)

    def update(self, stage: str, fraction: float, frame: np.ndarray | None = None) -> None:
        """Tells how far this part is. Raises CancelledError when the user asked to stop."""
        if self.cancelled():
            raise CancelledError(stage)
        self.listener(stage, self.start + min(max(fraction, 0.0), 1.0) * (self.end - self.start), frame)


SILENT = Progress()
