"""Checkpoints of the Lyra 2.0 network as published, read one tensor at a time. Needs torch."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place, value
from lyra.engines.lyra2.metadata import METADATA_FILE, read_metadata

# What torch.load raises on files that are damaged or hold more than tensors.
TORCH_DAMAGE = (
    pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True)
class Checkpoint:
    """Shapes of all tensors by key, and a way to get one of them on the CPU."""

    path: Path
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], torch.Tensor]


def open_checkpoint(path: Path) -> Checkpoint:
    """A distributed checkpoint (a folder with `.metadata`) or a single .pth file.

    Only tensors are loaded, through torch's weights-only loader. Raises InvalidInputError for anything else.
    """
    if (path / METADATA_FILE).is_file() or path.is_dir():
        return _open_distributed(path)
    return _open_single(path)


def _open_distributed(folder: Path) -> Checkpoint:
    tensors = read_metadata(folder)

    def read(key: str) -> torch.Tensor:
        stored = tensors[key]
        whole = None
        for piece in stored.pieces:
            with (folder / piece.file).open("rb") as handle:
                handle.seek(piece.start)
                tensor = _load(io.BytesIO(handle.read(piece.length)), folder / piece.file, key)
            if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != piece.sizes:
                raise InvalidInputError(
                    f"{folder / piece.file}: what is stored for {key!r} is not of shape {piece.sizes}; download it "
                    "again."
                )
            if len(stored.pieces) == 1:
                return tensor
            if whole is None:
                whole = torch.empty(stored.shape, dtype=tensor.dtype)
            box = tuple(slice(o, o + s) for o, s in zip(piece.offsets, piece.sizes, strict=True))
            whole[box] = tensor
        return whole

    return Checkpoint(folder, {key: stored.shape for key, stored in tensors.items()}, read)


def _open_single(file: Path) -> Checkpoint:
    if not file.is_file():
        raise InvalidInputError(
            f"There is no checkpoint at {file}; give a .pth file or a checkpoint's folder."
        )
    content = _load(file, file, None)
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} holds a {type(content).__name__}, not tensors by name.")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    return Checkpoint(file, {key: tuple(value.shape) for key, value in tensors.items()}, tensors.__getitem__)


def _load(source: io.BytesIO | Path, file: Path, key: str | None):
    """torch.load that can only make tensors; a .pth file is mapped, not read."""
    try:
        return torch.load(
            source, map_location="cpu", weights_only=True, mmap=isinstance(source, Path) or None
        )
    except TORCH_DAMAGE as error:
        # torch's own text goes on to recommend loading without the safeguard.
        reason = one_line(str(error).splitlines()[0], 60) if str(error) else type(error).__name__
        what = f"{place(file)}: {value(key)}" if key else place(file)
        raise InvalidInputError(
            f"{what} is damaged or holds more than tensors, so it is not loaded ({reason}). Download it again."
        ) from error
