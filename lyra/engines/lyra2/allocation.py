"""PyTorch's device memory: cached blocks, release, and detection of out-of-memory errors."""

from __future__ import annotations

import gc

import torch

# How Warp, cuBLAS, the driver and cuDNN's convolutions, in torch's words, say that they found no memory; torch has a
# class for its own. A convolution goes from one way of computing it to the next when memory is short for one, and
# says in the end only that it found none (torch's aten/src/ATen/native/cudnn/Conv_v8.cpp).
OUT_OF_MEMORY = (
    "Failed to allocate ",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "unable to find an engine to execute this computation",
)


def out_of_memory(error: RuntimeError) -> str | None:
    """The first line of an error that says that the device's memory ran out; None for any other."""
    text = str(error)
    if not isinstance(error, torch.OutOfMemoryError) and not any(words in text for words in OUT_OF_MEMORY):
        return None
    return text.splitlines()[0] if text else "no more memory"


def pin(module: torch.nn.Module) -> None:
    """Pins the weights, which lie on the CPU, one after the other, so that they reach a GPU while it computes.

    diffusers would do it for all blocks before it lets go of the first: twice the network in the computer's memory.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.pin_memory()


def unpin(module: torch.nn.Module, device: torch.device) -> None:
    """The opposite of `pin`, also after it came half way; `device` is what the weights were pinned for."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_pinned():
            tensor.data = tensor.data.clone()
            # One by one, too: there is little memory.
            give_back_pinned(device)


def give_back_device(device: torch.device | str) -> None:
    """Gives back what torch keeps of the device's memory for later use, also of models that were just let go of."""
    gc.collect()  # Models are full of reference cycles.
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def give_back_pinned(device: torch.device) -> None:
    """Gives back what torch pinned of the computer's memory for `device` and keeps for later use."""
    # 50 GB after blocks were brought one by one. Older versions of torch cannot give it back.
    if device.type == "cuda" and hasattr(torch.accelerator, "empty_host_cache"):
        torch.accelerator.empty_host_cache()


def give_back(device: torch.device) -> None:
    """Gives back what torch keeps for later use, of the device's memory and of what it pinned of the computer's."""
    give_back_device(device)
    give_back_pinned(device)
