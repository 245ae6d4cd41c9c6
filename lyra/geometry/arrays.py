"""Conversion between NumPy or torch arrays and Warp, back to the same kind on the same device."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import warp as wp

from lyra.common.errors import InvalidInputError

# An ndarray or a torch tensor; what goes in comes out.
Array = Any

NUMPY_DTYPES = {wp.float32: np.float32, wp.uint8: np.uint8, wp.int32: np.int32}


def is_torch(array: Array) -> bool:
    """Whether `array` is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def to_numpy(array: Array, dtype=np.float64) -> np.ndarray:
    """A host copy of a small array, such as camera matrices."""
    return np.asarray(array.detach().cpu().numpy() if is_torch(array) else array, dtype)


def inverse(matrices: Array) -> np.ndarray:
    """Inverses (N, m, m) on the host: of numpy matrices in float64, of torch tensors by torch in their own type.

    Half a rounding step in a camera moves a splat across a pixel's edge now and then; with torch's own inverse,
    results agree with the published code to the last digits.
    """
    if is_torch(matrices):
        return to_numpy(sys.modules["torch"].linalg.inv(matrices))
    return np.linalg.inv(to_numpy(matrices))


class ArraySpace:
    """Where the arrays of one call live: numpy on the CPU, or torch on one device.

    The first array decides. Torch memory is shared with Warp without a copy, results are allocated by torch, and
    kernels run on torch's current stream.
    """

    def __init__(self, like: Array):
        wp.init()
        self.torch = sys.modules["torch"] if is_torch(like) else None
        self.torch_device = like.device if self.torch else None
        self.device = wp.device_from_torch(like.device) if self.torch else wp.get_device("cpu")

    def stream(self) -> contextlib.AbstractContextManager:
        """Context in which kernels are ordered with the caller's own work."""
        if self.torch and self.device.is_cuda:
            return wp.ScopedStream(wp.stream_from_torch(self.torch_device))
        return contextlib.nullcontext()

    def wrap(self, array: Array, dtype=wp.float32) -> wp.array:
        """A contiguous Warp array with the scalar type `dtype`; no copy where type and layout fit."""
        if self.torch:
            wanted = wp.dtype_to_torch(dtype)
            tensor = self.torch.as_tensor(array).detach().to(device=self.torch_device, dtype=wanted)
            return wp.from_torch(tensor.contiguous(), dtype=dtype)
        host = np.ascontiguousarray(to_numpy(array, NUMPY_DTYPES[dtype]))
        return wp.array(host, dtype=dtype, device=self.device, copy=False)

    def upload(self, host: np.ndarray, dtype) -> wp.array:
        """A Warp array of vectors or matrices made of small float64 host data, such as cameras."""
        return wp.array(np.ascontiguousarray(host, np.float32), dtype=dtype, device=self.device)

    def empty(self, shape: tuple[int, ...], dtype=wp.float32) -> Array:
        """An uninitialised result of the caller's kind."""
        if self.torch:
            return self.torch.empty(shape, device=self.torch_device, dtype=wp.dtype_to_torch(dtype))
        return np.empty(shape, NUMPY_DTYPES[dtype])

    def take(self, host: np.ndarray) -> Array:
        """A host array as the caller's kind."""
        return self.torch.from_numpy(host).to(self.torch_device) if self.torch else host

    def bring(self, array: Array) -> Array:
        """Any array as float32 of the caller's kind, on its device."""
        if self.torch:
            return self.torch.as_tensor(array).to(device=self.torch_device, dtype=self.torch.float32)
        return to_numpy(array, np.float32)

    def where(self, condition: Array, array: Array, other: float) -> Array:
        """`array` where the condition holds, `other` elsewhere."""
        return (self.torch or np).where(condition, array, other)

    def as_bytes(self, flags: Array) -> Array:
        """Booleans as uint8 for kernels, without a copy."""
        return flags.view(self.torch.uint8) if self.torch else flags.view(np.uint8)

    def as_bool(self, flags: Array) -> Array:
        """A uint8 result of 0 and 1 as booleans, without a copy."""
        return flags.view(self.torch.bool) if self.torch else flags.view(np.bool_)


def check_shape(name: str, array: Array, *expected: int | None) -> None:
    """Raises InvalidInputError unless `array` has this shape; None stands for any length."""
    shape = tuple(array.shape)
    if len(shape) != len(expected) or any(e not in (None, s) for s, e in zip(shape, expected, strict=True)):
        wanted = ", ".join("any" if e is None else str(e) for e in expected)
        raise InvalidInputError(f"{name} has shape {shape}; give ({wanted}).")
