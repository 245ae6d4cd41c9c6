"""What world.json says of a world, and how worlds are named."""

from __future__ import annotations

import datetime
import json
import re
import secrets
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_origin, get_type_hints

from lyra.common import quoting
from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place
from lyra.world.chunks import MAX_SIDE, read_json

# The newest that is read. A plain sequence of chunks is written as version 1, which older releases open.
FORMAT_VERSION = 2
PLAIN_VERSION = 1
MAX_SCALE = 1e6
MAX_NAME, MAX_TEXT, MAX_NOTES = 64, 10_000, 1_000
# Marks, embeddings, overrides and isolates, with which a name can show as another.
_BIDI = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# How far the squared length of the up vector may be from 1.
UNIT_TOLERANCE = 1e-3
# The up vector of a level camera, which is not written: older releases do not know it.
LEVEL = (0.0, -1.0, 0.0)
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{3,63}")


@dataclass(frozen=True)
class Head:
    """Id of the `chunk` at which the world ends, 0 for its first frame alone; a chunk above `newest` takes its place.

    `newest` is the largest id there was when the head was moved, so that adding a chunk writes nothing but the chunk.
    """

    chunk: int
    newest: int


@dataclass(frozen=True)
class WorldSettings:
    """What world.json holds. `scale` is metres per unit; `license` says what may be done with the outputs; `up` is the
    unit vector against gravity in the OpenCV axes of the first camera, [0, -1, 0] for a level one.

    `head` is None where it was never moved: the newest chunk is the head.
    """

    id: str
    name: str
    engine: str
    height: int
    width: int
    seed: int
    depth_source: str
    license: str
    created: str
    scale: float = 1.0
    notes: list[str] = field(default_factory=list)
    format_version: int = PLAIN_VERSION
    head: Head | None = None
    up: list[float] = field(default_factory=lambda: list(LEVEL))

    @classmethod
    def read(cls, path: Path) -> WorldSettings:
        """Those in the file `path`. Raises InvalidInputError when it is of a newer version, or damaged."""
        data = read_json(path)
        version = data.get("format_version")
        if not isinstance(version, int):
            raise InvalidInputError(
                f"{place(path)} has format_version {quoting.value(version)}; it is damaged or no world of ours."
            )
        if version > FORMAT_VERSION:
            raise InvalidInputError(
                f"{path.parent} was made by a newer Lyra Worlds (world format {version}, this one reads up to "
                f"{FORMAT_VERSION}); update lyra-worlds to open it."
            )
        head = data.pop("head", None)
        try:
            settings = cls(**data, head=None if head is None else Head(**head))
        except TypeError as error:
            raise InvalidInputError(f"{place(path)} is damaged: {one_line(error, 120)}.") from error
        settings.check(path)
        return settings

    def write(self, path: Path) -> None:
        facts = asdict(self)
        if self.head is None:
            del facts["head"]
        if tuple(self.up) == LEVEL:
            del facts["up"]
        path.write_text(json.dumps(facts, indent=2), "utf-8")

    def check(self, path: Path) -> None:
        """Raises InvalidInputError when the file `path` held something of another type, or out of range."""
        for key, kind in get_type_hints(type(self)).items():
            if key == "head":
                continue
            value = getattr(self, key)
            wanted = (int, float) if kind is float else get_origin(kind) or kind
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise InvalidInputError(f"{place(path)} is damaged: {key} is {quoting.value(value)}.")
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise InvalidInputError(f"{place(path)} is damaged: the size is {self.width}x{self.height}.")
        if not 0 < self.scale < MAX_SCALE:
            raise InvalidInputError(f"{place(path)} is damaged: scale is {self.scale!r}.")
        if not (
            len(self.up) == 3
            and all(type(number) in (int, float) for number in self.up)
            and abs(sum(number * number for number in self.up) - 1) < UNIT_TOLERANCE
        ):
            raise InvalidInputError(f"{place(path)} is damaged: up is {quoting.value(self.up)}.")
        if self.head and not all(type(number) is int and number >= 0 for number in vars(self.head).values()):
            raise InvalidInputError(f"{place(path)} is damaged: head is {quoting.value(asdict(self.head))}.")
        texts = [text for text in (*vars(self).values(), *self.notes) if isinstance(text, str)]
        if len(self.notes) > MAX_NOTES or any(len(text) > MAX_TEXT for text in texts):
            raise InvalidInputError(
                f"{place(path)} is damaged: its texts are longer than {MAX_TEXT} characters, or more than {MAX_NOTES}."
            )
        if not all(isinstance(note, str) for note in self.notes):
            raise InvalidInputError(f"{place(path)} is damaged: notes is {quoting.value(self.notes)}.")


def clean_name(name: str) -> str:
    """A world's name in one line of at most MAX_NAME characters, without control and bidirectional characters."""
    kept = (c for c in name if c.isspace() or not (unicodedata.category(c) in ("Cc", "Cs") or c in _BIDI))
    return " ".join("".join(kept).split())[:MAX_NAME].strip() or "World"


def new_id(name: str) -> str:
    """A readable world id: the name in small letters and digits, and eight random hexadecimal digits."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{words or 'world'}-{secrets.token_hex(4)}"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
