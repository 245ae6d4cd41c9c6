"""Resources of the service as frozen dataclasses; its JSON is read and checked here only.

Ids and file paths become parts of addresses and of names on this disk, so they are checked here. docs/api.md describes
the resources. Needs no Blender.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from .contract import JOB_STATES, SERVICE, WORLD_STATES, Range
from .fields import MAX_NAME, MAX_TEXT, NEXT, Fields, is_file_path, quoted
from .wire import ProtocolError

T = TypeVar("T")
MAX_SIDE, MAX_FRAMES, MAX_CHUNKS, MAX_ENTRIES = 1 << 16, 1_000_000, 12_500, 100_000
MAX_BYTES = 1 << 50
# The direction against gravity in the axes of a level camera, which an earlier service takes for granted.
LEVEL = (0.0, -1.0, 0.0)
_PROOF = re.compile(r"[0-9a-f]{64}")


def entries(value: object, parse: Callable[[object], T]) -> list[T]:
    """The resources of a list. Raises ProtocolError."""
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise ProtocolError(f"The service sent {quoted(value)} in place of a list. {NEXT}")
    return [parse(item) for item in value]


@dataclass(frozen=True)
class Hello:
    """Proof of a process that it knows the token."""

    service: str
    api: int
    pid: int
    proof: str

    @classmethod
    def from_json(cls, value: object) -> Hello:
        fields = Fields(value, "its greeting")
        proof = fields.text("proof", limit=64)
        if not _PROOF.fullmatch(proof):
            raise fields.refuse("proof", "64 hexadecimal digits")
        return cls(
            fields.one_of("service", {SERVICE}),
            fields.integer("api", 0, 1 << 31),
            fields.integer("pid", 0, 1 << 62),
            proof,
        )


@dataclass(frozen=True)
class Health:
    """State of the service."""

    api: int
    version: str
    pid: int
    owner: str
    device: str | None
    active_jobs: int

    @classmethod
    def from_json(cls, value: object) -> Health:
        fields = Fields(value, "its health")
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
    """The size of a picture as the service reads it, upright."""

    width: int
    height: int

    @classmethod
    def from_json(cls, value: object) -> Picture:
        fields = Fields(value, "the size of a picture")
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
        fields = Fields(value, "a licence")
        return cls(
            fields.name("id"),
            fields.text("title", limit=MAX_NAME),
            fields.text("text", limit=10 * MAX_TEXT),
            fields.flag("accepted"),
        )


@dataclass(frozen=True)
class EngineState:
    """Readiness of an engine: `status` names what is missing."""

    status: str
    text: str
    download_bytes: int
    licences: tuple[Licence, ...]

    @classmethod
    def from_json(cls, value: object) -> EngineState:
        fields = Fields(value, "the state of an engine")
        return cls(
            fields.text("status", limit=MAX_NAME),
            fields.text("text", ""),
            fields.integer("download_bytes", 0, MAX_BYTES, default=0),
            fields.items("licences", Licence.from_json, 100, required=False),
        )


def _range(value: object) -> Range:
    fields = Fields(value, "a setting of an engine")
    return Range(*(fields.number(key, -1e9, 1e9) for key in ("default", "min", "max")))


@dataclass(frozen=True)
class Engine:
    """An engine, and its readiness; `state` is None for one without weights."""

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
        fields = Fields(value, "an engine")
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
            {key: _range(each) for key, each in options.items() if each is not None},
        )


@dataclass(frozen=True)
class Chunk:
    """80 frames of a world; `index` counts from 1."""

    index: int
    prompt: str
    seconds: float

    @classmethod
    def from_json(cls, value: object) -> Chunk:
        fields = Fields(value, "a chunk")
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
        fields = Fields(value, "a file of a world")
        return cls(fields.path("path"), fields.integer("size", 0, MAX_BYTES))


def _portable(value: object) -> FileEntry | None:
    """A file of a world; None for one whose name only some systems know, which a user has put there."""
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(path, str) and not is_file_path(path) and not {"", ".", ".."}.intersection(path.split("/")):
        return None
    return FileEntry.from_json(value)


@dataclass(frozen=True)
class Results:
    """Numbers of splats and of mesh faces."""

    splats: int
    faces: int

    @classmethod
    def from_json(cls, value: object) -> Results:
        fields = Fields(value, "the results of a world")
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
    up: tuple[float, ...]
    seed: int
    license: str
    notes: tuple[str, ...]
    folder: str
    chunks: tuple[Chunk, ...]
    files: tuple[FileEntry, ...]
    results: Results | None

    @classmethod
    def from_json(cls, value: object) -> World:
        fields = Fields(value, "a world")
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
            fields.direction("up", LEVEL),
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
        fields = Fields(value, "a job")
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
    """A new world and the job that begins it."""

    world: World
    job: Job

    @classmethod
    def from_json(cls, value: object) -> NewWorld:
        fields = Fields(value, "a new world")
        world, job = fields.part("world", World.from_json), fields.part("job", Job.from_json)
        if world is None or job is None:
            raise fields.refuse("world" if world is None else "job", "one")
        return cls(world, job)
