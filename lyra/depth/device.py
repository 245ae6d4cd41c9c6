"""Device of a depth model, according to PyTorch, not Warp: PyTorch may be a CPU-only build."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import warp as wp

from lyra.depth.base import DepthEstimate, DepthEstimator

NO_GPU = (
    "The depth model runs on the CPU, slowly: PyTorch here sees no GPU. Install PyTorch's build for CUDA to have it on "
    "the GPU."
)
NO_ROOM = "The GPU had no room for the depth model, so it ran on the CPU."


def torch_device(asked: str | None) -> tuple[str, tuple[str, ...]]:
    """ "cuda" where PyTorch sees a GPU and `asked` ("cpu", "cuda", None for the best) allows it, else "cpu".

    With it a note for the user where there is a GPU, or one was asked for, that PyTorch cannot use.
    """
    if asked == "cpu":
        return "cpu", ()
    import torch

    if torch.cuda.is_available():
        return "cuda", ()
    if asked is None:
        wp.init()
    return "cpu", (NO_GPU,) if asked == "cuda" or wp.is_cuda_available() else ()


def estimate_with_room(
    estimator: DepthEstimator,
    on_the_cpu: Callable[[], DepthEstimator],
    image: np.ndarray,
    intrinsics: np.ndarray | None,
) -> DepthEstimate:
    """The estimate of `estimator`, or with a note that of `on_the_cpu()` if device memory runs out."""
    try:
        return estimator.estimate(image, intrinsics)
    except RuntimeError as error:
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
    # Outside the handler, where the error's traceback would keep the tensors alive.
    torch.cuda.empty_cache()
    estimate = on_the_cpu().estimate(image, intrinsics)
    return replace(estimate, notes=(NO_ROOM, *estimate.notes))
