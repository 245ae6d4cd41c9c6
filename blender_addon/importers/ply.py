"""Reader of binary PLY files, in short steps. Needs NumPy only."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
MAX_HEAD = 1 << 16
# So many bytes are read in one step: a few milliseconds, also from a disk that must be asked.
PIECE = 1 << 22


class FileError(ValueError):
    """A file that is not what its name says; the message is for the user."""


@dataclass(frozen=True)
class Element:
    """`fields` of a PLY element by name, each (count,); a list of triangles is one field (count, 3)."""

    count: int
    fields: dict[str, np.ndarray]

    def part(self, start: int, stop: int) -> Element:
        """Some of its rows, without copying."""
        fields = {name: values[start:stop] for name, values in self.fields.items()}
        return Element(max(0, min(stop, self.count) - start), fields)

    def stacked(self, *names: str) -> np.ndarray:
        """Some fields side by side, (count, len(names)) float32."""
        return np.stack([self.fields[name] for name in names], 1).astype(np.float32, copy=False)


def reading(path: Path) -> Generator[None, None, dict[str, Element]]:
    """The elements of a binary little-endian PLY file by name, in short steps; returned when it is whole.

    Lists must be triangles. Raises FileError.
    """
    with path.open("rb") as file:
        head, start = _split_head(file.read(MAX_HEAD), path)
        file.seek(start)
        try:
            elements = {}
            for name, count, properties in _parse(head):
                elements[name] = yield from _reading_element(file, count, properties)
            return elements
        except (KeyError, ValueError, IndexError) as error:
            raise FileError(f"{path} is damaged ({error}). Import the results again.") from error


def _split_head(beginning: bytes, path: Path) -> tuple[list[list[str]], int]:
    end = beginning.find(b"end_header\n")
    if not beginning.startswith(b"ply") or end < 0:
        raise FileError(f"{path} is not a PLY file. Import the results again.")
    lines = [line.split() for line in beginning[:end].decode("latin-1").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise FileError(f"{path} is not a binary little-endian PLY file. Import the results again.")
    return lines, end + len(b"end_header\n")


def _parse(head: list[list[str]]) -> list[tuple[str, int, list[list[str]]]]:
    elements: list[tuple[str, int, list[list[str]]]] = []
    for words in head:
        if words[:1] == ["element"]:
            elements.append((words[1], int(words[2]), []))
        elif words[:1] == ["property"]:
            elements[-1][2].append(words[1:])
    return elements


def _reading_element(file, count: int, properties: list[list[str]]) -> Generator[None, None, Element]:
    fields: list[tuple] = []
    for words in properties:
        if words[0] == "list":
            fields.append((f"{words[3]}:count", "<" + _TYPES[words[1]]))
            fields.append((words[3], "<" + _TYPES[words[2]], (3,)))
        else:
            fields.append((words[1], "<" + _TYPES[words[0]]))
    layout = np.dtype(fields)
    announced, rest = layout.itemsize * count, _size(file) - file.tell()
    if rest < announced:
        raise ValueError(f"{rest} bytes where {announced} were announced")
    records = np.empty(count, layout)
    room = memoryview(records.view(np.uint8))
    for start in range(0, announced, PIECE):
        file.readinto(room[start : start + PIECE])
        yield
    for name in layout.names:
        if name.endswith(":count") and not (records[name] == 3).all():
            raise ValueError("a face that is no triangle")
    return Element(count, {name: records[name] for name in layout.names if not name.endswith(":count")})


def _size(file) -> int:
    return os.fstat(file.fileno()).st_size
