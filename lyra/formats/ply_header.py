"""Headers of untrusted PLY files: bounded, with no more elements than the file can hold.

Format: G. Turk, The PLY Polygon File Format. Values are read by plyfile; it takes memory as a header says, so that
is checked here first.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO

import numpy as np

from lyra.common.quoting import value

MAX_HEADER = 1 << 16
MAX_PROPERTIES = 1000
FORMATS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}


@dataclass(frozen=True)
class Element:
    """A table of the file: `count` rows, the type of each plain property, and the names of its lists."""

    name: str
    count: int
    properties: dict[str, str]
    lists: tuple[str, ...]
    row_bytes: int
    """Of a row in binary; what lists hold comes on top."""


@dataclass(frozen=True)
class PlyHeader:
    """What a PLY file says of itself; `order` is "<" or ">", or "" for text. Its values begin at byte `size`."""

    order: str
    elements: tuple[Element, ...]
    size: int

    def element(self, name: str) -> Element:
        """The element of a name. Raises ValueError when there is none."""
        for element in self.elements:
            if element.name == name:
                return element
        raise ValueError(f"it has no element {name!r}")

    def dtype(self, element: Element) -> np.dtype:
        """The type of a row without lists, in binary."""
        return np.dtype([(name, self.order + kind) for name, kind in element.properties.items()])


def read_ply_header(source: IO[bytes]) -> PlyHeader:
    """The header at the beginning of `source`, which then stands behind it.

    Raises ValueError, with a reason for the middle of a sentence, for what is none and for more values than the file
    has bytes.
    """
    length = source.seek(0, io.SEEK_END)
    source.seek(0)
    lines = _lines(source)
    header = _parsed(lines, source.tell())
    least = sum(element.count * _least_bytes(element, header.order) for element in header.elements)
    if least > length - header.size:
        raise ValueError(f"it has {length - header.size} bytes of values and should have {least}")
    return header


def _least_bytes(element: Element, order: str) -> int:
    # In text a value takes a digit and a gap.
    return element.row_bytes if order else 2 * (len(element.properties) + len(element.lists))


def _lines(source: IO[bytes]) -> list[list[str]]:
    start = source.read(MAX_HEADER)
    end = start.find(b"end_header")
    stop = start.find(b"\n", end)
    if not start.startswith(b"ply") or end < 0 or stop < 0:
        raise ValueError("it has no PLY header")
    source.seek(stop + 1)
    lines = [line.split() for line in start[:end].decode("ascii").splitlines()]
    return [words for words in lines[1:] if words and words[0] not in ("comment", "obj_info")]


def _parsed(lines: list[list[str]], size: int) -> PlyHeader:
    if not lines or lines[0][:1] != ["format"] or len(lines[0]) != 3 or lines[0][1] not in FORMATS:
        raise ValueError(f"it is of the format {value(' '.join(lines[0][1:]) if lines else '')}")
    order = FORMATS[lines[0][1]]
    elements: list[Element] = []
    for words in lines[1:]:
        match words:
            case ["element", name, count] if count.isdecimal() and len(count) < 16:
                if any(element.name == name for element in elements):
                    raise ValueError(f"it has the element {value(name)} twice")
                elements.append(Element(name, int(count), {}, (), 0))
            case ["property", "list", count_type, item_type, name] if elements:
                _require_types(count_type, item_type)
                elements[-1] = _with_list(elements[-1], name, np.dtype(_TYPES[count_type]).itemsize)
            case ["property", kind, name] if elements:
                _require_types(kind)
                elements[-1] = _with_property(elements[-1], name, _TYPES[kind])
            case _:
                raise ValueError(f"its header has the line {value(' '.join(words))}")
    for element in elements:
        if len(element.properties) + len(element.lists) > MAX_PROPERTIES or element.row_bytes == 0:
            raise ValueError(
                f"its element {value(element.name)} has "
                f"{len(element.properties) + len(element.lists) or 'no'} properties"
            )
    return PlyHeader(order, tuple(elements), size)


def _require_types(*kinds: str) -> None:
    for kind in kinds:
        if kind not in _TYPES:
            raise ValueError(f"it has values of the type {value(kind)}")


def _with_property(element: Element, name: str, kind: str) -> Element:
    _require_new(element, name)
    row = element.row_bytes + np.dtype(kind).itemsize
    return Element(element.name, element.count, {**element.properties, name: kind}, element.lists, row)


def _with_list(element: Element, name: str, count_bytes: int) -> Element:
    _require_new(element, name)
    row = element.row_bytes + count_bytes
    return Element(element.name, element.count, element.properties, (*element.lists, name), row)


def _require_new(element: Element, name: str) -> None:
    if name in element.properties or name in element.lists:
        raise ValueError(f"it has the property {value(name)} twice")
