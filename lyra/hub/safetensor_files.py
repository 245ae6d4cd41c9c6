"""Headers of safetensors files: validation without reading tensor data."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import parse_json
from lyra.common.quoting import one_line, place, value
from lyra.hub.weights import INDEX, shard_places

LARGEST_HEADER = 16_000_000
MAX_AXES = 16
_FAULT = "has a damaged header"
_MEND = "download or convert it again"
_TYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


def read_header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor by key. Raises InvalidInputError for a file that is cut off or damaged.

    Layout (safetensors, format documentation): eight bytes little-endian header length, JSON header, data; the
    tensors' offsets cover the data exactly, each with as many bytes as its type and shape take.
    """
    named = place(file)
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER):
                raise InvalidInputError(f"{named} is no whole safetensors file; {_MEND}.")
            header = handle.read(length)
    except OSError as error:
        raise InvalidInputError(f"{named} cannot be read ({error.strerror or error}); {_MEND}.") from error
    entries = parse_json(header, named, limit=LARGEST_HEADER, advice=_MEND, fault=_FAULT)
    try:
        stated = [_Stated.of(key, entry) for key, entry in _checked_entries(entries).items()]
        end = 0
        for start, stop in sorted((entry.start, entry.stop) for entry in stated):
            if start != end:
                raise ValueError(f"a gap or an overlap at byte {end}")
            end = stop
    except ValueError as error:
        raise InvalidInputError(one_line(f"{named} {_FAULT} ({error}); {_MEND}.")) from error
    if size != 8 + length + end:
        raise InvalidInputError(
            f"{named} has {size} bytes and should have {8 + length + end}: it was cut off. "
            "Download or convert it again."
        )
    for entry in stated:
        if entry.stop - entry.start != _TYPE_BYTES[entry.kind] * prod(entry.shape):
            raise InvalidInputError(
                one_line(
                    f"{named} {_FAULT} ({value(entry.key)} has {entry.stop - entry.start} bytes and the shape "
                    f"{value(entry.shape)} of {entry.kind}); {_MEND}."
                )
            )
    return {entry.key: (entry.kind, entry.shape) for entry in stated}


@dataclass(frozen=True)
class _Stated:
    """What a header says of a tensor: its numbers are the bytes from `start` to `stop` of the data."""

    key: str
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @classmethod
    def of(cls, key: str, entry: object) -> _Stated:
        """Raises ValueError for what is none, whatever the data holds."""
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"{value(key)} is {value(entry)}")
        kind, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(kind, str) or kind not in _TYPE_BYTES:
            raise ValueError(f"{value(key)} is of the type {value(kind)}")
        if not _are_numbers(shape) or len(shape) > MAX_AXES:
            raise ValueError(f"{value(key)} has the shape {value(shape)}")
        if not _are_numbers(span) or len(span) != 2 or span[0] > span[1]:
            raise ValueError(f"{value(key)} lies at {value(span)}")
        return cls(key, kind, tuple(shape), *span)


def _checked_entries(entries: object) -> dict:
    """Entries by key, without the metadata, which are texts by name. Raises ValueError."""
    if not isinstance(entries, dict):
        raise ValueError("no object")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("metadata that is no texts")
    return entries


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(
        type(number) is int and 0 <= number < 1 << 63 for number in values
    )


def read_sharded_headers(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a folder with an index of shards.

    Raises InvalidInputError for missing or damaged shards and where index and shards disagree.
    """
    index = folder / INDEX
    if not index.is_file():
        raise InvalidInputError(f"{index} is missing; convert the network again.")
    placed = shard_places(index)
    tensors = {}
    for name in sorted(set(placed.values())):
        if not (folder / name).is_file():
            raise InvalidInputError(f"{folder / name} is missing; download or convert it again.")
        for key, entry in read_header(folder / name).items():
            if placed.get(key) != name:
                raise InvalidInputError(
                    f"{folder / name} holds {key!r}, which the index does not place there."
                )
            tensors[key] = entry
    lacking = sorted(set(placed) - set(tensors))
    if lacking:
        raise InvalidInputError(
            f"{folder / placed[lacking[0]]} lacks {lacking[0]!r}; convert the network again."
        )
    return tensors
