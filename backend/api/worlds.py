"""The World resource of a world that is ready, being made or damaged, and the list of all worlds."""

from __future__ import annotations

import datetime
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from backend.api import schemas
from backend.catalog import WorldCatalog
from backend.errors import NotFoundError, detail
from backend.jobs.store import Job
from lyra.common.errors import InvalidInputError
from lyra.common.files import refusal
from lyra.world.files import list_files
from lyra.world.folder import World
from lyra.world.settings import LEVEL

log = logging.getLogger("backend.api.worlds")
# What a resource is made of beside the names and sizes of the world's files.
_READ = re.compile(r"world\.json|seed\.npz|results/results\.json|chunks/\d{4}/(chunk\.json|trajectory\.npz)")
# A file that is changed twice within its file system's tick looks the same after both; FAT's is the longest.
_TICK = 2_000_000_000

# Time of change, size and number of a file or folder; None where nothing is.
Mark = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Kept:
    """A world's resource, and the state of the folders and files that it was made of."""

    resource: dict
    marks: dict[str, Mark]


class WorldList:
    """The resources of all worlds of a catalog; of those that have not changed since they were read, as kept."""

    def __init__(self, catalog: WorldCatalog):
        self._catalog = catalog
        self._kept: dict[str, _Kept] = {}

    def resources(self) -> list[dict]:
        """Every world as in docs/api.md; one that cannot be opened is `damaged` and says why.

        A world whose folders and figures have not changed since is not read again, damaged or not.
        """
        kept, found = {}, []
        for world_id in self._catalog.ids():
            known = self._kept.get(world_id)
            try:
                if known is None or any(_mark(path) != mark for path, mark in known.marks.items()):
                    known = self._read(world_id)
            except NotFoundError:
                # Deleted while the others were read.
                continue
            except (InvalidInputError, OSError) as error:
                if not self._catalog.is_world(world_id):
                    continue
                reason = str(error) if isinstance(error, InvalidInputError) else f"{refusal(error)}."
                found.append(self._damaged(world_id, reason))
                continue
            found.append(known.resource)
            if _settled(known.marks):
                kept[world_id] = known
        self._kept = kept
        return found

    def _read(self, world_id: str) -> _Kept:
        folder = self._catalog.path(world_id)
        listing = list_files(folder)
        read = [f"{folder}/{name}" for name, _ in listing.files if _READ.fullmatch(name)]
        # Before they are read: what changes meanwhile is read again the next time.
        marks = {path: _mark(path) for path in (*listing.folders, *read)}
        try:
            return _Kept(resource(self._catalog.open(world_id)), marks)
        except InvalidInputError as error:
            # What the system refuses today it may allow tomorrow, without a change of any file.
            if isinstance(error.__cause__, OSError):
                raise
            return _Kept(self._damaged(world_id, str(error)), marks)

    def _damaged(self, world_id: str, reason: str) -> dict:
        log.warning("damaged", extra={"fields": {"world": world_id, "reason": reason}})
        return damaged_resource(self._catalog.path(world_id), reason)


def _mark(path: str) -> Mark:
    # Thousands of these make a listing: without the objects of pathlib.
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _settled(marks: dict[str, Mark]) -> bool:
    newest = max((mark[0] for mark in marks.values() if mark is not None), default=0)
    return newest < time.time_ns() - _TICK


def resource(world: World) -> dict:
    """The World of docs/api.md. Raises InvalidInputError for a world whose files hold what cannot be told."""
    facts = {
        # The name of its folder in the worlds folder, which may be a link.
        "id": world.folder.name,
        "state": "ready",
        "error": None,
        "name": world.name,
        "engine": world.engine,
        "created": world.settings.created,
        "width": world.width,
        "height": world.height,
        "frames": world.frames,
        "head": world.head,
        "intrinsics": world.intrinsics.tolist(),
        "last_w2c": world.last_w2c.tolist(),
        "scale": world.settings.scale,
        "up": world.settings.up,
        "seed": world.settings.seed,
        "depth_source": world.settings.depth_source,
        "license": world.settings.license,
        "notes": world.notes,
        "folder": str(world.folder.resolve()),
        "chunks": [
            {
                "id": chunk.id,
                "index": chunk.index,
                "parent": chunk.parent,
                "prompt": chunk.prompt,
                "seed": chunk.seed,
                "seconds": chunk.seconds,
                "engine": chunk.engine or world.engine,
                "options": chunk.options,
            }
            for chunk in world.chunks
        ],
        "files": [{"path": path, "size": size} for path, size in world.files()],
        "results": world.load_figures(),
    }
    try:
        schemas.World(**facts).model_dump_json()
    except (ValidationError, PydanticSerializationError) as error:
        first = (
            error.errors()[0]["loc"] if isinstance(error, ValidationError) else ("a text that is no Unicode",)
        )
        raise InvalidInputError(
            f"{world.folder} is damaged (in {'.'.join(map(str, first))}); restore it from a copy, or make the world "
            "again."
        ) from error
    return facts


def seeding_resource(job: Job, folder: Path) -> dict:
    """What docs/api.md promises of a world in state `seeding`: what was asked for, and no frames yet."""
    asked = {key: job.request[key] for key in ("name", "engine", "width", "height", "seed")}
    created = datetime.datetime.fromtimestamp(job.created, datetime.UTC).isoformat(timespec="seconds")
    return _without_frames(folder) | asked | {"created": created, "state": "seeding"}


def damaged_resource(folder: Path, error: str) -> dict:
    """What docs/api.md promises of a world in state `damaged`: that it is there, and why it cannot be opened."""
    return _without_frames(folder) | {"state": "damaged", "error": detail(error)}


def _without_frames(folder: Path) -> dict:
    return {
        "id": folder.name,
        "name": folder.name,
        "engine": "",
        "created": "",
        "width": 0,
        "height": 0,
        "frames": 0,
        "error": None,
        "intrinsics": None,
        "last_w2c": np.eye(4).tolist(),
        "scale": 1.0,
        "up": list(LEVEL),
        "seed": 0,
        "depth_source": "",
        "license": "",
        "notes": [],
        "folder": _resolved(folder),
        "chunks": [],
        "files": [],
        "results": None,
    }


def _resolved(folder: Path) -> str:
    try:
        return str(folder.resolve())
    except (OSError, RuntimeError):
        # A link in a circle, or to a disk that fails.
        return str(folder.absolute())
