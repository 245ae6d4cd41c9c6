"""Which device a depth model runs on: PyTorch is asked, not Warp, since PyTorch may be built for the CPU alone."""

from __future__ import annotations

import warp as wp

NO_GPU = (
    "The depth model runs on the CPU, slowly: PyTorch here sees no GPU. Install PyTorch's build for CUDA to have it on "
    "the GPU."
)


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
