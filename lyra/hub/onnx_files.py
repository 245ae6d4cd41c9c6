"""ONNX files: whole, self-contained, and no larger in memory than on disk. Nothing of their data is read.

Layout (onnx.proto of the ONNX specification): a protobuf message of nested fields, each a tag (number and wire type)
and its value. A network is read here as far as its tensors, with neither the package onnx nor its runtime: a tensor
may name another file for its data, anywhere on the disk, and state a shape that has nothing to do with its data.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place, value

# The most that a protobuf message may have; networks of this size keep their data in other files.
LARGEST_FILE = 2_000_000_000
# More messages than this, or deeper ones, no published network has.
MOST_FIELDS, DEEPEST = 3_000_000, 12
MAX_AXES = 16
_MEND = "download it again"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto: where messages lie that hold tensors, in the end.
_TENSOR, _SPARSE = "tensor", "sparse"
_MODEL = {7: "graph", 20: "training", 25: "function"}
_INSIDE = {
    "graph": {1: "node", 5: _TENSOR, 15: _SPARSE},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: _SPARSE, 23: _SPARSE},
}
_IR_VERSION, _GRAPH = 1, 7
_DIMS, _EXTERNAL_DATA, _DATA_LOCATION = 1, 13, 14


def check_onnx(file: Path) -> None:
    """Raises InvalidInputError for a file that is no whole ONNX network, or none that stands alone.

    Each tensor must lie in the file itself, and have at most two elements a byte of it, as the smallest types have.
    """
    named = place(file)
    try:
        size = file.stat().st_size
        if not 0 < size <= LARGEST_FILE:
            raise InvalidInputError(f"{named} has {size} bytes and is no whole ONNX network; {_MEND}.")
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Reader(data).check()
    except OSError as error:
        raise InvalidInputError(f"{named} cannot be read ({error.strerror or error}); {_MEND}.") from error
    except ValueError as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(
            one_line(f"{named} is damaged, or not an ONNX network ({error}); {_MEND}.")
        ) from error


class _Reader:
    """Walks the messages of one file. Raises ValueError for what is wrong with them."""

    def __init__(self, data: mmap.mmap):
        self._data = data
        self._fields = 0

    def check(self) -> None:
        seen = set()
        for number, kind, start, stop in self._messages(0, len(self._data)):
            seen.add(number)
            if kind == _BYTES and number in _MODEL:
                self._look(_MODEL[number], start, stop, 1)
        if not {_IR_VERSION, _GRAPH} <= seen:
            raise ValueError("it has no graph")

    def _look(self, message: str, start: int, stop: int, depth: int) -> None:
        if depth > DEEPEST:
            raise ValueError("its graphs are nested too deeply")
        if message == _SPARSE:
            raise ValueError("it has sparse tensors, which grow as they are read and are refused")
        if message == _TENSOR:
            self._check_tensor(start, stop)
            return
        inside = _INSIDE[message]
        for number, kind, begin, end in self._messages(start, stop):
            if kind == _BYTES and number in inside:
                self._look(inside[number], begin, end, depth + 1)

    def _check_tensor(self, start: int, stop: int) -> None:
        dims = []
        for number, kind, begin, end in self._messages(start, stop):
            if number == _DIMS:
                dims += [begin] if kind == _VARINT else self._packed(begin, end)
            elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and begin):
                raise ValueError("it keeps data in another file, which is refused")
            if len(dims) > MAX_AXES:
                raise ValueError(f"a tensor has more than {MAX_AXES} axes")
        if prod(dims) > 2 * (stop - start):
            raise ValueError(f"a tensor of {stop - start} bytes has the shape {value(tuple(dims))}")

    def _messages(self, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
        """(number, wire type, value, 0) of each field, or where the bytes of one begin and end."""
        at = start
        while at < stop:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise ValueError("it has too many parts")
            tag, at = self._varint(at, stop)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise ValueError(f"a field without a number at byte {at}")
            if kind == _VARINT:
                content, at = self._varint(at, stop)
                yield number, kind, content, 0
                continue
            if kind == _BYTES:
                length, at = self._varint(at, stop)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise ValueError(f"a field of the unknown type {kind} at byte {at}")
            if length > stop - at:
                raise ValueError(f"a field that goes beyond its end at byte {at}")
            yield number, kind, at, at + length
            at += length

    def _packed(self, start: int, stop: int) -> list[int]:
        numbers: list[int] = []
        while start < stop and len(numbers) <= MAX_AXES:
            number, start = self._varint(start, stop)
            numbers.append(number)
        return numbers

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        """An unsigned number of seven bits a byte, and where what follows begins."""
        number = 0
        for shift in range(0, 70, 7):
            if at >= stop:
                break
            byte = self._data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at
        raise ValueError(f"a number that does not end at byte {at}")
