"""Processes on one machine that learn as one: each takes its own pictures, all take the step of the mean gradient.

What they exchange lies in shared memory; nothing goes over a network.
"""

from __future__ import annotations

from multiprocessing import get_context

import torch

# Longer than a report takes; who waits longer than this waits for a process that has ended.
PATIENCE_S = 600


class AllReduce:
    """The place where `count` processes meet with `length` numbers each. Passed to them at their start."""

    def __init__(self, count: int, length: int):
        # Two sets of rows, in turn, so that nobody writes what another still reads.
        self._rows = torch.zeros(2, count, length).share_memory_()
        self._barrier = get_context("spawn").Barrier(count)
        self._turn = 0

    def mean(self, rank: int, values: torch.Tensor) -> torch.Tensor:
        """The mean (length,) of what all processes bring; each waits for the others.

        Raises threading.BrokenBarrierError when one of them has ended.
        """
        rows = self._rows[self._turn]
        self._turn = 1 - self._turn
        rows[rank].copy_(values)
        self._barrier.wait(PATIENCE_S)
        return rows.mean(0)
