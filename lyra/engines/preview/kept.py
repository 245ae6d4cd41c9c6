"""Validation of the preview engine's stored state before kernels use its indices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place, value

# A layer is drawn wider than the frame.
LARGEST_LAYER = 100_000_000
_NAMES = ("layer_count", "witness_frame", "pixels")


def checked_state(
    arrays: Mapping[str, np.ndarray], file: Path, frame_hw: tuple[int, int]
) -> Mapping[str, np.ndarray]:
    """The arrays of `file` if they are those of `Scene.packed` for frames of `frame_hw`.

    Raises InvalidInputError, naming file and array, for any others.
    """
    try:
        _check(arrays, frame_hw)
    except ValueError as error:
        raise InvalidInputError(
            one_line(
                f"{place(file)} is not what the engine left: {error}. Restore it from a copy, or revert the world to "
                "the chunk before."
            )
        ) from error
    return arrays


def _check(arrays: Mapping[str, np.ndarray], frame_hw: tuple[int, int]) -> None:
    if not arrays:
        raise ValueError("it is missing, or empty")
    layers, witnesses, pixels = (_length(arrays, name) for name in _NAMES)
    expected = {
        "layer_shape": (np.int32, (layers, 2)),
        "layer_count": (np.int64, (layers,)),
        "layer_w2c": (np.float64, (layers, 4, 4)),
        "layer_intrinsics": (np.float64, (layers, 3, 3)),
        "pixels": (np.int32, (pixels,)),
        "colours": (np.uint8, (pixels, 3)),
        "disparity": (np.float32, (pixels,)),
        "witness_frame": (np.int64, (witnesses,)),
        "witness_depth": (np.float16, (witnesses, *frame_hw)),
        "witness_w2c": (np.float64, (witnesses, 4, 4)),
        "witness_intrinsics": (np.float64, (witnesses, 3, 3)),
    }
    for name, (dtype, shape) in expected.items():
        found = arrays.get(name)
        if found is None or found.dtype != dtype or found.shape != shape:
            there = "missing" if found is None else f"{found.dtype} {found.shape}"
            raise ValueError(f"{name} is {there} and should be {np.dtype(dtype)} {shape}")
    for name in ("layer_w2c", "layer_intrinsics", "witness_w2c", "witness_intrinsics", "disparity"):
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} is not finite")
    prepared = arrays.get("prepared", np.array(0, np.int64))
    if prepared.dtype != np.int64 or prepared.shape != () or not 0 <= prepared <= layers:
        raise ValueError(f"prepared is {value(prepared.tolist())}")
    _check_layers(arrays)
    frames = arrays["witness_frame"]
    if len(np.unique(frames)) != witnesses or (frames < 0).any():
        raise ValueError(f"it remembers the frames {value(frames.tolist())}")


def _check_layers(arrays: Mapping[str, np.ndarray]) -> None:
    counts, sizes = arrays["layer_count"], arrays["layer_shape"].astype(np.int64)
    areas = sizes.prod(1)
    if (counts < 0).any() or (counts > len(arrays["pixels"])).any() or counts.sum() != len(arrays["pixels"]):
        raise ValueError(f"its layers have {value(counts.tolist())} of {len(arrays['pixels'])} pixels")
    if (sizes < 1).any() or (sizes > LARGEST_LAYER).any() or (areas > LARGEST_LAYER).any():
        raise ValueError(f"its layers have the sizes {value(sizes.tolist())}")
    if (arrays["pixels"] < 0).any() or (arrays["pixels"] >= np.repeat(areas, counts)).any():
        raise ValueError("its layers have pixels outside of their pictures")


def _length(arrays: Mapping[str, np.ndarray], name: str) -> int:
    found = arrays.get(name)
    return len(found) if found is not None and found.ndim else 0
