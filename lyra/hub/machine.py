"""Hardware of this machine: memory, GPU, matrix throughput."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import warp as wp

import lyra.geometry  # noqa: F401  quietens Warp before its first launch
from lyra.hub.packages import missing_packages

CPU_SIZE, CUDA_SIZE = 768, 8192
MEASUREMENTS = 3
# Of a GPU's memory, this share is planned with: allocators lose some to fragments.
PLANNED_SHARE = 0.92


@dataclass(frozen=True)
class Machine:
    """`device` "cpu" or "cuda", its `name`, `memory` in bytes (of the GPU, or the computer's), the computer's `ram`.

    `ram` is None where the system does not tell; `gpus` is how many there are.
    """

    device: str
    name: str
    memory: int | None
    ram: int | None
    gpus: int = 0


def this_machine(device: str | None = None) -> Machine:
    """The first GPU, or the CPU when there is none or `device` is "cpu".

    The first is the one that "cuda" means to torch and Warp; both order GPUs as the driver does, by speed or as
    CUDA_VISIBLE_DEVICES says.
    """
    ram = _ram()
    wp.init()
    gpus = [] if device == "cpu" else wp.get_cuda_devices()
    if not gpus:
        return Machine("cpu", f"CPU with {os.cpu_count() or 1} cores", ram, ram)
    return Machine("cuda", gpus[0].name, gpus[0].total_memory, ram, len(gpus))


@cache
def matmul_rate(device: str) -> float | None:
    """Floating-point operations per second of a large matrix product, measured in a fraction of a second.

    On the CPU in float32 on one core, times the number of cores; on a GPU in bfloat16. None for a GPU without torch.
    """
    if device == "cpu":
        a = np.random.default_rng(0).random((CPU_SIZE, CPU_SIZE), np.float32)
        return 2 * CPU_SIZE**3 / _seconds(lambda: a @ a) * (os.cpu_count() or 1)
    if missing_packages(["torch"]):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    b = torch.ones(CUDA_SIZE, CUDA_SIZE, dtype=torch.bfloat16, device="cuda")

    def product() -> None:
        b @ b
        torch.cuda.synchronize()

    return 2 * CUDA_SIZE**3 / _seconds(product)


def _seconds(work: Callable[[], object]) -> float:
    """The shortest of a few runs after one to warm up."""
    work()
    times = []
    for _ in range(MEASUREMENTS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9)


def _ram() -> int | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # Windows; psutil comes with the extra that brings the engines.
    if not missing_packages(["psutil"]):
        import psutil

        return psutil.virtual_memory().total
    return None
