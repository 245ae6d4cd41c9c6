"""Training runs of the built-in depth network, from random weights, on procedural worlds.

A run is a folder. Generator processes make the images; one or more trainer processes learn from them, data-parallel.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.synthetic import HELD_OUT_SEED
from lyra.training.depth.all_reduce import AllReduce
from lyra.training.depth.data import Pool, Shard, load_pictures, make_shard, start_generators
from lyra.training.depth.network import DepthNet
from lyra.training.depth.report import append_row, draw_curve
from lyra.training.depth.trainer import Settings, Trainer


@dataclass(frozen=True)
class Budget:
    """When a run ends: after `steps` or `minutes`, whichever comes first."""

    steps: int | None = None
    minutes: float | None = None

    def used(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used; 1 at the end of the run."""
        shares = [steps / self.steps] if self.steps else []
        shares += [seconds / 60 / self.minutes] if self.minutes else []
        return max(shares)


def train(
    out: Path,
    budget: Budget,
    *,
    resume: bool = False,
    settings: Settings | None = None,
    device: str = "cpu",
    seed: int = 0,
    extra: Path | None = None,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Trains into the folder `out` until the budget is used; returns the newest row of its curve.

    `out` then holds depth.safetensors (the bundled format), the checkpoint, curve.csv, curve.png, sheet.png and the
    pool of images. `seed` is the first seed of the images, `extra` a folder of additional rendered images.
    On cancellation by `progress` the current step is finished and saved.
    Raises InvalidInputError if `out` cannot be resumed, or contains a run and `resume` is not set.
    """
    settings = settings or Settings()
    if device != "cpu":
        settings = replace(settings, processes=1)
    if not resume and (out / "state.json").exists():
        raise InvalidInputError(f"{out} already holds a run; go on with --resume or choose another folder.")
    rendered = load_pictures(extra) if extra else None
    out.mkdir(parents=True, exist_ok=True)
    all_reduce = None
    if settings.processes > 1:
        all_reduce = AllReduce(settings.processes, _all_reduce_length())
        _share_cores(settings.processes)
    trainer = Trainer(out, settings, device, seed, all_reduce=all_reduce)
    if resume:
        trainer.load()
    # Every start makes new images, with seeds that no earlier part of the run has used.
    first_seed = seed + trainer.step
    with contextlib.ExitStack() as until_the_end:
        generators = start_generators(
            out / "pool", settings.sizes, first_seed, settings.shards, device, settings.workers
        )
        until_the_end.callback(_end, generators)
        arguments = [
            (out, settings, rank, all_reduce, seed, resume, rendered) for rank in range(1, settings.processes)
        ]
        context = multiprocessing.get_context("spawn")
        others = [context.Process(target=_run_follower, args=each, daemon=True) for each in arguments]
        until_the_end.callback(_end, others)
        for process in others:
            process.start()
        pool = Pool(out / "pool", settings.shards, rendered)
        _wait_for_pictures(pool, settings, generators, progress)
        return _run(trainer, pool, budget, progress)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.pid is not None:
            process.terminate()
            process.join()


def _all_reduce_length() -> int:
    """Length of the vectors the processes average: a gradient per weight, and two numbers on the run's progress."""
    return sum(parameter.numel() for parameter in DepthNet().parameters()) + 2


def _share_cores(processes: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


def _run_follower(
    out: Path,
    settings: Settings,
    rank: int,
    all_reduce: AllReduce,
    seed: int,
    resume: bool,
    rendered: list[Shard] | None,
) -> None:
    """Trains in a further process until the first one ends the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _share_cores(settings.processes)
    trainer = Trainer(out, settings, "cpu", seed, rank, all_reduce)
    if resume:
        trainer.load()
    rng = np.random.default_rng((seed + trainer.step, rank))
    pool = Pool(out / "pool", settings.shards, rendered)
    _wait_for_pictures(pool, settings)
    share = 0.0
    while not trainer.over:
        trainer.learn(pool.draw(rng, settings.pixels, share), rng, share)
        share = trainer.share
        if trainer.step % 20 == rank:
            pool.refresh()


def _wait_for_pictures(
    pool: Pool, settings: Settings, generators: Sequence[BaseProcess] = (), progress: Progress = SILENT
) -> None:
    """Waits for a shard of every size. Raises RuntimeError if a generator process has ended."""
    while pool.refresh() < len(set(settings.sizes)):
        progress.update("pictures", 0)
        if not all(process.is_alive() for process in generators):
            raise RuntimeError(
                "A process that generates training pictures has ended; its error is printed above."
            )
        time.sleep(0.5)


def _run(trainer: Trainer, pool: Pool, budget: Budget, progress: Progress) -> dict[str, float]:
    settings, rng = trainer.settings, np.random.default_rng(trainer.seed + trainer.step)
    held_out = make_shard(HELD_OUT_SEED, settings.held_out, settings.sizes[0], str(trainer.device))
    started, before = time.monotonic(), trainer.minutes
    first, row = trainer.step, {}
    recent: list[dict[str, float]] = []
    share = 0.0
    while not trainer.over:
        last = progress.cancelled() or budget.used(trainer.step + 1 - first, time.monotonic() - started) >= 1
        parts = trainer.learn(pool.draw(rng, settings.pixels, share), rng, share, last)
        # Skipped steps are left out of the curve.
        if not trainer.skipped or not recent:
            recent.append(parts)
        share = min(1.0, budget.used(trainer.step - first, time.monotonic() - started))
        progress.listener(f"step {trainer.step}", share, None)
        if trainer.step % 20 == 0:
            pool.refresh()
        if trainer.over or trainer.step % settings.report_every == 0:
            trainer.minutes = before + (time.monotonic() - started) / 60
            row = _report(trainer, recent, held_out)
            recent = []
    return row


def _report(trainer: Trainer, recent: list[dict[str, float]], held_out: Shard) -> dict[str, float]:
    """Saves the checkpoint and reports the run's metrics and sample predictions."""
    trainer.save()
    means = {name: float(np.mean([parts[name] for parts in recent])) for name in recent[0]}
    row = {"step": trainer.step, "seen": trainer.seen, "minutes": trainer.minutes, **means}
    row |= trainer.evaluate(held_out, trainer.folder / "sheet.png")
    append_row(trainer.folder / "curve.csv", row)
    draw_curve(trainer.folder / "curve.csv", trainer.folder / "curve.png")
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    return row
