"""What the service says, as typed objects: the one place where its JSON is checked.

Ids and paths of files become addresses and names on this disk, so they are checked here and nowhere else. Needs no
Blender; docs/api.md describes the resources.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from .wire import ProtocolError

T = TypeVar("T")
MAX_SIDE, MAX_FRAMES, MAX_CHUNKS, MAX_ENTRIES = 1 << 16, 1_000_000, 12_500, 100_000
MAX_TEXT, MAX_NAME, MAX_BYTES = 100_000, 1024, 1 << 50
WORLD_STATES = {"seeding", "ready", "damaged"}
JOB_STATES = {"queued", "running", "cancelling", "cancelled", "failed", "interrupted", "done"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_PROOF = re.compile(r"[0-9a-f]{64}")
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


class _Fields:
    """The fields of one JSON object; each is asked for with its type and bounds. Raises ProtocolError."""

    def __init__(self, value: object, what: str):
        if not isinstance(value, dict):
            raise ProtocolError(f"The engine sent {_quoted(value)} as {what}. {_NEXT}")
        self._value, self._what = value, what

    def has(self, key: str) -> bool:
        return self._value.get(key) is not None

    def refuse(self, key: str, wanted: str) -> ProtocolError:
        said = _quoted(self._value[key]) if key in self._value else "nothing"
        return ProtocolError(f"The engine sent {said} as {key} of {self._what}, not {wanted}. {_NEXT}")

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
        return self.items(key, lambda item: _Fields({key: item}, self._what).text(key), limit, required=False)

    def matrix(self, key: str, side: int) -> tuple[tuple[float, ...], ...]:
        """A matrix (side, side) of finite numbers."""
        rows = self._value.get(key)
        if not isinstance(rows, list) or len(rows) != side:
            raise self.refuse(key, f"a matrix of {side} x {side}")
        for row in rows:
            if not isinstance(row, list) or len(row) != side or not all(map(_is_number, row)):
                raise self.refuse(key, f"a matrix of {side} x {side} finite numbers")
        return tuple(tuple(float(value) for value in row) for row in rows)

    def intrinsics(self, key: str) -> tuple[tuple[float, ...], ...]:
        """A lens (3, 3) in pixels."""
        matrix = self.matrix(key, 3)
        if matrix[0][0] <= 0 or matrix[1][1] <= 0 or matrix[2] != (0.0, 0.0, 1.0):
            raise self.refuse(key, "the intrinsics of a lens")
        return matrix

    def part(self, key: str, parse: Callable[[object], T]) -> T | None:
        return parse(self._value[key]) if self.has(key) else None


_NEXT = "Update the older of engine and extension, or check the address."


def _is_number(value: object) -> bool:
    # Whole numbers beyond the range of floats are compared, never converted.
    return type(value) in (int, float) and -1e300 < value < 1e300 and not math.isnan(value)


def _quoted(value: object) -> str:
    # Of a long answer no more is written out than is shown.
    if isinstance(value, dict | list):
        return f"a {'object' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "a number of more than 60 digits"
    text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def entries(value: object, parse: Callable[[object], T]) -> list[T]:
    """The resources of a list. Raises ProtocolError."""
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise ProtocolError(f"The engine sent {_quoted(value)} in place of a list. {_NEXT}")
    return [parse(item) for item in value]


@dataclass(frozen=True)
class Hello:
    """How a process proves that it knows the token, before it gets it."""

    service: str
    api: int
    pid: int
    proof: str

    @classmethod
    def from_json(cls, value: object) -> Hello:
        fields = _Fields(value, "its greeting")
        proof = fields.text("proof", limit=64)
        if not _PROOF.fullmatch(proof):
            raise fields.refuse("proof", "64 hexadecimal digits")
        return cls(
            fields.one_of("service", {"lyra-worlds"}),
            fields.integer("api", 0, 1 << 31),
            fields.integer("pid", 0, 1 << 62),
            proof,
        )


@dataclass(frozen=True)
class Health:
    """How the service is."""

    api: int
    version: str
    pid: int
    owner: str
    device: str | None
    active_jobs: int

    @classmethod
    def from_json(cls, value: object) -> Health:
        fields = _Fields(value, "its health")
        return cls(
            fields.integer("api", 0, 1 << 31),
            fields.text("version", limit=64),
            fields.integer("pid", 0, 1 << 62),
            fields.text("owner", limit=64),
            fields.text("device", limit=256) if fields.has("device") else None,
            fields.integer("active_jobs", 0, 1 << 31, default=0),
        )


@dataclass(frozen=True)
class Picture:
    """The size of a picture as the engine sees it, upright."""

    width: int
    height: int

    @classmethod
    def from_json(cls, value: object) -> Picture:
        fields = _Fields(value, "the size of a picture")
        return cls(fields.integer("width", 1, MAX_SIDE), fields.integer("height", 1, MAX_SIDE))


@dataclass(frozen=True)
class Licence:
    """A licence of weights; `text` says what it allows."""

    id: str
    title: str
    text: str
    accepted: bool

    @classmethod
    def from_json(cls, value: object) -> Licence:
        fields = _Fields(value, "a licence")
        return cls(
            fields.name("id"),
            fields.text("title", limit=MAX_NAME),
            fields.text("text", limit=10 * MAX_TEXT),
            fields.flag("accepted"),
        )


@dataclass(frozen=True)
class EngineState:
    """What an engine lacks: `status` as the API names it."""

    status: str
    text: str
    download_bytes: int
    licences: tuple[Licence, ...]

    @classmethod
    def from_json(cls, value: object) -> EngineState:
        fields = _Fields(value, "the state of an engine")
        return cls(
            fields.text("status", limit=MAX_NAME),
            fields.text("text", ""),
            fields.integer("download_bytes", 0, MAX_BYTES, default=0),
            fields.items("licences", Licence.from_json, 100, required=False),
        )


@dataclass(frozen=True)
class Range:
    """The limits of a setting of an engine."""

    default: float
    min: float
    max: float

    @classmethod
    def from_json(cls, value: object) -> Range:
        fields = _Fields(value, "a setting of an engine")
        return cls(*(fields.number(key, -1e9, 1e9) for key in ("default", "min", "max")))


@dataclass(frozen=True)
class Engine:
    """What makes a world's frames, and what it lacks; `state` is None for one without weights."""

    id: str
    label: str
    ready: bool
    reason: str
    needs: str
    license: str
    state: EngineState | None
    options: dict[str, Range]

    @classmethod
    def from_json(cls, value: object) -> Engine:
        fields = _Fields(value, "an engine")
        options = value.get("options") or {}
        if not isinstance(options, dict) or len(options) > 100:
            raise fields.refuse("options", "an object of settings")
        return cls(
            fields.name("id"),
            fields.text("label", limit=MAX_NAME),
            fields.flag("ready"),
            fields.text("reason", ""),
            fields.text("needs", ""),
            fields.text("license", ""),
            fields.part("state", EngineState.from_json),
            {key: Range.from_json(each) for key, each in options.items() if each is not None},
        )


@dataclass(frozen=True)
class Chunk:
    """80 frames of a world; `index` counts from 1."""

    index: int
    prompt: str
    seconds: float

    @classmethod
    def from_json(cls, value: object) -> Chunk:
        fields = _Fields(value, "a chunk")
        return cls(
            fields.integer("index", 1, MAX_CHUNKS),
            fields.text("prompt", ""),
            fields.number("seconds", 0, 1e9, default=0.0),
        )


@dataclass(frozen=True)
class FileEntry:
    """A file of a world: `path` below its folder, `size` in bytes."""

    path: str
    size: int

    @classmethod
    def from_json(cls, value: object) -> FileEntry:
        fields = _Fields(value, "a file of a world")
        return cls(fields.path("path"), fields.integer("size", 0, MAX_BYTES))


def _portable(value: object) -> FileEntry | None:
    """A file of a world; None for one whose name only some systems know, which a user has put there."""
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(path, str) and not is_file_path(path) and not {"", ".", ".."}.intersection(path.split("/")):
        return None
    return FileEntry.from_json(value)


@dataclass(frozen=True)
class Results:
    """How much was reconstructed."""

    splats: int
    faces: int

    @classmethod
    def from_json(cls, value: object) -> Results:
        fields = _Fields(value, "the results of a world")
        faces = fields.integer("faces", 0, 1 << 40) if fields.has("faces") else 0
        return cls(fields.integer("splats", 0, 1 << 40), faces)


@dataclass(frozen=True)
class World:
    """A world as the service describes it; intrinsics (3, 3) in pixels, None while it has none, w2c (4, 4)."""

    id: str
    name: str
    engine: str
    created: str
    width: int
    height: int
    frames: int
    state: str
    intrinsics: tuple[tuple[float, ...], ...] | None
    last_w2c: tuple[tuple[float, ...], ...]
    scale: float
    seed: int
    license: str
    notes: tuple[str, ...]
    folder: str
    chunks: tuple[Chunk, ...]
    files: tuple[FileEntry, ...]
    results: Results | None

    @classmethod
    def from_json(cls, value: object) -> World:
        fields = _Fields(value, "a world")
        state = fields.one_of("state", WORLD_STATES)
        # Only a world that is ready has a picture, and so a size and a lens.
        smallest = 1 if state == "ready" else 0
        return cls(
            fields.identifier("id"),
            fields.text("name", limit=MAX_NAME),
            fields.text("engine", limit=MAX_NAME),
            fields.text("created", "", limit=64),
            fields.integer("width", smallest, MAX_SIDE),
            fields.integer("height", smallest, MAX_SIDE),
            fields.integer("frames", smallest, MAX_FRAMES),
            state,
            fields.intrinsics("intrinsics") if smallest or fields.has("intrinsics") else None,
            fields.matrix("last_w2c", 4),
            fields.number("scale", 1e-9, 1e9),
            fields.integer("seed", 0, 1 << 62, default=0),
            fields.text("license", ""),
            fields.texts("notes"),
            fields.text("folder", "", limit=MAX_NAME * 32),
            fields.items("chunks", Chunk.from_json, MAX_CHUNKS),
            tuple(filter(None, fields.items("files", _portable, MAX_ENTRIES))),
            fields.part("results", Results.from_json),
        )

    def to_json(self) -> dict:
        """What `from_json` takes."""
        return asdict(self)

    def size_of(self, path: str) -> int | None:
        """The size in bytes of a file; None for one that the world does not have."""
        return next((file.size for file in self.files if file.path == path), None)


@dataclass(frozen=True)
class Job:
    """Work of the service on a world; `world_id` is empty for a download, `progress` in 0 ... 1."""

    id: str
    world_id: str
    kind: str
    state: str
    stage: str
    progress: float
    eta_seconds: float | None
    message: str
    error: str
    notes: tuple[str, ...]
    preview: bool

    @classmethod
    def from_json(cls, value: object) -> Job:
        fields = _Fields(value, "a job")
        return cls(
            fields.identifier("id"),
            fields.identifier("world_id", may_be_empty=True),
            fields.text("kind", limit=64),
            fields.one_of("state", JOB_STATES),
            fields.text("stage", limit=MAX_NAME) if fields.has("stage") else "",
            fields.number("progress", 0, 1, default=0.0),
            fields.number("eta_seconds", 0, 1e12) if fields.has("eta_seconds") else None,
            fields.text("message", "") if fields.has("message") else "",
            fields.text("error", "") if fields.has("error") else "",
            fields.texts("notes"),
            fields.flag("preview", default=False),
        )


@dataclass(frozen=True)
class NewWorld:
    """What the service answers to Start World."""

    world: World
    job: Job

    @classmethod
    def from_json(cls, value: object) -> NewWorld:
        fields = _Fields(value, "a new world")
        world, job = fields.part("world", World.from_json), fields.part("job", Job.from_json)
        if world is None or job is None:
            raise fields.refuse("world" if world is None else "job", "one")
        return cls(world, job)
