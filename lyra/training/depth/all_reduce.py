"""Data-parallel training on one machine: gradients are averaged over processes in shared memory."""

from __future__ import annotations

from multiprocessing import get_context

import torch

# Longer than a report takes; after this the other process has ended.
PATIENCE_S = 600


class AllReduce:
    """Averages vectors of `length` numbers over `count` processes, to which it is passed when they start."""

    def __init__(self, count: int, length: int):
        # Double-buffered, so that no process overwrites what another still reads.
        self._rows = torch.zeros(2, count, length).share_memory_()
        self._barrier = get_context("spawn").Barrier(count)
        self._turn = 0

    def mean(self, rank: int, values: torch.Tensor) -> torch.Tensor:
        """The mean (length,) of the `values` of all processes; blocks until all have called it.

        Raises threading.BrokenBarrierError if one of them has ended.
        """
        rows = self._rows[self._turn]
        self._turn = 1 - self._turn
        rows[rank].copy_(values)
        self._barrier.wait(PATIENCE_S)
        return rows.mean(0)
