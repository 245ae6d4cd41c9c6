"""Typed and bounded reading of the fields of a JSON object. Needs no Blender."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TypeVar

from .wire import ProtocolError

T = TypeVar("T")
MAX_TEXT, MAX_NAME = 100_000, 1024
NEXT = "Update the older of service and extension, or check the address."
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
# Names that Windows gives to devices, with any ending.
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{kind}{number}" for kind in ("com", "lpt") for number in "0123456789¹²³"}
_NO_NAME = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/]')
_SHOWN = 60


def is_id(identifier: str) -> bool:
    """Whether this can be the id of a world or job: it is part of addresses, and names folders and files."""
    return _ID.fullmatch(identifier) is not None and identifier.lower() not in _DEVICES


def is_file_path(path: str) -> bool:
    """Whether this names a file below a folder on every system: relative, with slashes, no link upwards, no drive."""
    if not 0 < len(path) <= MAX_NAME:
        return False
    return all(
        part not in ("", ".", "..")
        and len(part) <= 255
        and not _NO_NAME.search(part)
        and not part.endswith((".", " "))
        and part.split(".")[0].rstrip(" ").lower() not in _DEVICES
        for part in path.split("/")
    )


class Fields:
    """The fields of one JSON object; each is asked for with its type and bounds. Raises ProtocolError."""

    def __init__(self, value: object, what: str):
        if not isinstance(value, dict):
            raise ProtocolError(f"The service sent {quoted(value)} as {what}. {NEXT}")
        self._value, self._what = value, what

    def has(self, key: str) -> bool:
        return self._value.get(key) is not None

    def refuse(self, key: str, wanted: str) -> ProtocolError:
        said = quoted(self._value[key]) if key in self._value else "nothing"
        return ProtocolError(f"The service sent {said} as {key} of {self._what}, not {wanted}. {NEXT}")

    def text(self, key: str, default: str | None = None, limit: int = MAX_TEXT) -> str:
        value = self._value.get(key, default)
        if not isinstance(value, str) or len(value) > limit:
            raise self.refuse(key, f"a text of at most {limit:,} characters")
        # Half a surrogate pair can be written neither to a file nor into a .blend.
        return value.encode("utf-8", "replace").decode("utf-8")

    def one_of(self, key: str, choices: set[str]) -> str:
        value = self.text(key, limit=MAX_NAME)
        if value not in choices:
            raise self.refuse(key, f"one of {', '.join(sorted(choices))}")
        return value

    def identifier(self, key: str, may_be_empty: bool = False) -> str:
        value = self._value.get(key)
        if not isinstance(value, str) or not (is_id(value) or (may_be_empty and not value)):
            raise self.refuse(key, "an id of letters, digits, - and _")
        return value

    def name(self, key: str) -> str:
        """An id that may have single dots in it, as those of licences have, and never names a file."""
        value = self._value.get(key)
        if not isinstance(value, str) or not all(map(is_id, value.split("."))) or len(value) > 80:
            raise self.refuse(key, "an id of letters, digits, -, _ and dots")
        return value

    def path(self, key: str) -> str:
        value = self._value.get(key)
        if not isinstance(value, str) or not is_file_path(value):
            raise self.refuse(key, "the path of a file below the world's folder")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._value.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refuse(key, f"a whole number from {low:,} to {high:,}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._value.get(key, default)
        if not _is_number(value) or not low <= value <= high:
            raise self.refuse(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._value.get(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def items(
        self, key: str, parse: Callable[[object], T], limit: int, required: bool = True
    ) -> tuple[T, ...]:
        value = self._value.get(key) if required else self._value.get(key, [])
        if not isinstance(value, list) or len(value) > limit:
            raise self.refuse(key, f"a list of at most {limit:,}")
        return tuple(parse(item) for item in value)

    def texts(self, key: str, limit: int = 1000) -> tuple[str, ...]:
        return self.items(key, lambda item: Fields({key: item}, self._what).text(key), limit, required=False)

    def matrix(self, key: str, side: int) -> tuple[tuple[float, ...], ...]:
        """A matrix (side, side) of finite numbers."""
        rows = self._value.get(key)
        if not isinstance(rows, list) or len(rows) != side:
            raise self.refuse(key, f"a matrix of {side} x {side}")
        for row in rows:
            if not isinstance(row, list) or len(row) != side or not all(map(_is_number, row)):
                raise self.refuse(key, f"a matrix of {side} x {side} finite numbers")
        return tuple(tuple(float(value) for value in row) for row in rows)

    def direction(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """A unit vector (3,), about as exact as it is written; made exact."""
        value = self._value.get(key, default)
        if not isinstance(value, list | tuple) or len(value) != 3 or not all(map(_is_number, value)):
            raise self.refuse(key, "a direction of 3 finite numbers")
        length = math.hypot(*value)
        if not 0.99 < length < 1.01:
            raise self.refuse(key, "a direction of length 1")
        return tuple(float(number) / length for number in value)

    def intrinsics(self, key: str) -> tuple[tuple[float, ...], ...]:
        """A lens (3, 3) in pixels."""
        matrix = self.matrix(key, 3)
        if matrix[0][0] <= 0 or matrix[1][1] <= 0 or matrix[2] != (0.0, 0.0, 1.0):
            raise self.refuse(key, "the intrinsics of a lens")
        return matrix

    def part(self, key: str, parse: Callable[[object], T]) -> T | None:
        return parse(self._value[key]) if self.has(key) else None


def _is_number(value: object) -> bool:
    # Whole numbers beyond the range of floats are compared, never converted.
    return type(value) in (int, float) and -1e300 < value < 1e300 and not math.isnan(value)


def quoted(value: object) -> str:
    # Of a long answer no more is written out than is shown.
    if isinstance(value, dict | list):
        return f"a {'object' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "a number of more than 60 digits"
    text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
