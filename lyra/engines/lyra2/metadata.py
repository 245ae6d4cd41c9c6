"""Metadata of torch distributed checkpoints, read without executing any of it.

The file `.metadata` is a pickle. A pickle can name any function and have it called, so here it can name only the
data classes that torch.distributed.checkpoint writes there, and gets plain records in their place: neither torch's
classes nor any other code runs. Layout as written by torch 2.0 to 2.13 (torch/distributed/checkpoint/metadata.py and
filesystem.py).
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePath

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place

METADATA_FILE = ".metadata"


@dataclass(frozen=True)
class TensorPiece:
    """A box of a tensor, `offsets` and `sizes` per axis, saved in `length` bytes of a file from `start` on."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the checkpoint: its shape and the pieces that cover it."""

    shape: tuple[int, ...]
    pieces: tuple[TensorPiece, ...]


def read_metadata(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a distributed checkpoint by key, in the order of the file. Other entries are left out.

    Raises InvalidInputError when the file is missing or damaged, names anything beyond the expected classes, or
    describes pieces that do not cover their tensor or do not lie in the folder's files.
    """
    file = folder / METADATA_FILE
    if not file.is_file():
        raise InvalidInputError(f"{folder} has no {METADATA_FILE}; it is no whole distributed checkpoint.")
    try:
        with file.open("rb") as handle:
            root = _MetadataUnpickler(handle, file).load()
        tensors = _tensors(root)
    except InvalidInputError:
        raise
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        # A pickle states lengths before its data.
        MemoryError,
        OverflowError,
    ) as error:
        raise InvalidInputError(
            f"{file} is damaged or of an unknown layout ({type(error).__name__}: {error}); download it again."
        ) from error
    sizes: dict[str, int] = {}
    for key, tensor in tensors.items():
        _require_covered(file, key, tensor)
        for piece in tensor.pieces:
            _require_in_file(folder, key, piece, sizes)
    return tensors


class _Record:
    """Holds what a pickle says about an object of an expected class, without being one."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)
        else:
            self.state = state

    def __hash__(self) -> int:
        # The key of the storage table is an object that is not filled yet when it is hashed.
        return id(self)


class _TensorRecord(_Record):
    """Stands for TensorStorageMetadata."""


def _size(values=()) -> tuple[int, ...]:
    return tuple(values)


def _word(*words) -> tuple:
    """Stands for values that are of no interest here: types, layouts, memory formats, paths."""
    return words


_CHECKPOINT = "torch.distributed.checkpoint"
_SHARDED = "torch.distributed._shard.sharded_tensor.metadata"
_ALLOWED = {
    **{
        (f"{_CHECKPOINT}.metadata", name): _Record
        for name in (
            "Metadata",
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "MetadataIndex",
            "TensorProperties",
            "StorageMeta",
        )
    },
    (f"{_CHECKPOINT}.metadata", "TensorStorageMetadata"): _TensorRecord,
    (f"{_CHECKPOINT}.metadata", "_MEM_FORMAT_ENCODING"): _word,
    (f"{_CHECKPOINT}.filesystem", "_StorageInfo"): _Record,
    (f"{_CHECKPOINT}.filesystem", "_StoragePrefix"): _Record,
    # Where torch before 2.3 kept two of them.
    (_SHARDED, "TensorProperties"): _Record,
    (_SHARDED, "MEM_FORMAT_ENCODING"): _word,
    ("torch", "Size"): _size,
    ("torch.serialization", "_get_layout"): _word,
    ("collections", "OrderedDict"): dict,
    **{
        (module, name): _word
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    **{
        ("torch", name): name
        for name in (
            *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
            *("int64", "int32", "int16", "int8", "uint8", "bool"),
        )
    },
}


class _MetadataUnpickler(pickle.Unpickler):
    """Knows the classes of checkpoint metadata and nothing else."""

    def __init__(self, handle, file: Path):
        super().__init__(handle)
        self._file = file

    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise InvalidInputError(
                f"{place(self._file)} refers to {one_line(f'{module}.{name}', 60)}, which checkpoint metadata has "
                "no use for; it may be meant to run code and is not read. Download the checkpoint again."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, identifier):
        raise InvalidInputError(f"{self._file} refers to data outside itself; it is not checkpoint metadata.")


def _tensors(root: _Record) -> dict[str, StoredTensor]:
    """Joins the two tables of the metadata: shapes and boxes by key, places in files by (key, offsets)."""
    places: dict[tuple[str, tuple[int, ...]], list[_Record]] = {}
    for index, info in root.storage_data.items():
        # The offset is absent for what is no tensor.
        places.setdefault((index.fqn, tuple(getattr(index, "offset", None) or ())), []).append(info)
    tensors = {}
    for key, entry in root.state_dict_metadata.items():
        if not isinstance(entry, _TensorRecord):
            continue
        pieces = []
        for chunk in entry.chunks:
            place = places[key, _numbers(chunk.offsets)][0]
            if getattr(place, "transform_descriptors", None):
                raise InvalidInputError(
                    f"{key!r} is stored through {place.transform_descriptors}; only plain checkpoints are read."
                )
            pieces.append(
                TensorPiece(
                    _numbers(chunk.offsets),
                    _numbers(chunk.sizes),
                    str(place.relative_path),
                    *_numbers((place.offset, place.length)),
                )
            )
        tensors[str(key)] = StoredTensor(_numbers(entry.size), tuple(pieces))
    return tensors


def _numbers(values) -> tuple[int, ...]:
    numbers = tuple(values)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"{numbers} are no sizes")
    return numbers


def _require_covered(file: Path, key: str, tensor: StoredTensor) -> None:
    """Boxes inside the tensor that do not overlap and whose volumes add up to it: together they are the tensor."""
    axes = len(tensor.shape)
    fits = bool(tensor.pieces) and all(len(p.offsets) == len(p.sizes) == axes for p in tensor.pieces)
    if fits and axes:
        start = np.array([piece.offsets for piece in tensor.pieces])
        end = start + np.array([piece.sizes for piece in tensor.pieces])
        volume = sum(prod(piece.sizes) for piece in tensor.pieces)
        shared = (np.maximum(start[:, None], start) < np.minimum(end[:, None], end)).all(-1)
        apart = not np.triu(shared, 1).any()
        fits = (end <= np.array(tensor.shape)).all() and volume == prod(tensor.shape) and apart
    elif fits:
        fits = len(tensor.pieces) == 1
    if not fits:
        raise InvalidInputError(
            f"{file}: the pieces of {key!r} do not make up its shape {tensor.shape}; download it again."
        )


def _require_in_file(folder: Path, key: str, piece: TensorPiece, sizes: dict[str, int]) -> None:
    if PurePath(piece.file).name != piece.file or "\\" in piece.file:
        raise InvalidInputError(
            f"{folder / METADATA_FILE}: {key!r} lies in {piece.file!r}, outside of the checkpoint's folder."
        )
    if piece.file not in sizes:
        file = folder / piece.file
        if not file.is_file():
            raise InvalidInputError(f"{file} is missing; download the checkpoint again.")
        sizes[piece.file] = file.stat().st_size
    if piece.start + piece.length > sizes[piece.file]:
        raise InvalidInputError(
            f"{folder / piece.file} has {sizes[piece.file]} bytes, and {key!r} ends at "
            f"{piece.start + piece.length}: it was cut off. Download it again."
        )
