"""Headers of safetensors files: whole, and holding what they should. Nothing of the data is read."""

from __future__ import annotations

import json
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.hub.weights import INDEX, shards

LARGEST_HEADER = 100_000_000


def read_header(file: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor by key. Raises InvalidInputError for a file that is cut off or damaged.

    Layout (safetensors, format documentation): eight bytes little-endian header length, JSON header, data; the
    tensors' offsets cover the data exactly.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise InvalidInputError(f"{file} is no whole safetensors file; download or convert it again.")
        header = handle.read(length)
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        tensors = {key: (str(e["dtype"]), tuple(map(int, e["shape"]))) for key, e in entries.items()}
        spans = sorted(tuple(map(int, entry["data_offsets"])) for entry in entries.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{file} has a damaged header ({error}); download or convert it again."
        ) from error
    end = 0
    for start, stop in spans:
        if start != end or stop < start:
            raise InvalidInputError(f"{file} has a damaged header; download or convert it again.")
        end = stop
    if size != 8 + length + end:
        raise InvalidInputError(
            f"{file} has {size} bytes and should have {8 + length + end}: it was cut off. Download or convert it again."
        )
    return tensors


def read_sharded_headers(folder: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a folder with an index of shards.

    Raises InvalidInputError for missing or damaged shards and where index and shards disagree.
    """
    index = folder / INDEX
    if not index.is_file():
        raise InvalidInputError(f"{index} is missing; convert the network again.")
    names = shards(index)
    placed = json.loads(index.read_text("utf-8"))["weight_map"]
    tensors = {}
    for name in names:
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
