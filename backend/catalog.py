"""The worlds folder: whatever world lies in it is served, whoever put it there."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from backend.api import schemas
from backend.config import Config
from backend.errors import NotFoundError
from backend.jobs.seeding import damaged_resource
from lyra.common.errors import InUseError, InvalidInputError
from lyra.common.files import is_link, open_inside, refusal, retry_while_locked
from lyra.common.temporary import TEMPORARY_PREFIX, sweep
from lyra.world import recovery
from lyra.world.files import LOCK_FILE, WORLD_FILE, list_files
from lyra.world.folder import World, no_other_process
from lyra.world.settings import ID_PATTERN

log = logging.getLogger("backend.catalog")
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


class WorldCatalog:
    """Finds worlds by id. A world's id is the name of its folder, or of a link to it in the worlds folder."""

    def __init__(self, config: Config):
        self._folder = config.worlds
        self._trash = config.private_folder / "trash"
        self._kept: dict[str, _Kept] = {}

    def path(self, world_id: str) -> Path:
        """Where the world is or would be."""
        return self._folder / world_id

    def open(self, world_id: str) -> World:
        """Raises NotFoundError, or InvalidInputError for a damaged or newer world."""
        folder = self._existing(world_id)
        try:
            return World.open(folder)
        except OSError as error:
            raise InvalidInputError(f"{refusal(error)}.") from error

    def _existing(self, world_id: str) -> Path:
        if not self._is_world(world_id):
            raise NotFoundError(
                f"There is no world {world_id!r} in {self._folder}; it was deleted or moved away, or lies in another "
                "folder. Put it back there, or make a new one."
            )
        return self.path(world_id)

    def _is_world(self, name: str) -> bool:
        """Also of one that cannot be opened: what is wrong with it should be read, not that it is gone."""
        if ID_PATTERN.fullmatch(name) is None:
            return False
        folder = f"{self._folder}/{name}"
        try:
            os.lstat(f"{folder}/{WORLD_FILE}")
        except FileNotFoundError:
            return is_link(Path(folder)) and not Path(folder).exists()
        except NotADirectoryError:
            return False
        except OSError:
            return True
        return True

    def ids(self) -> list[str]:
        """Ids of all folders that look like a world, sorted."""
        return sorted(filter(self._is_world, os.listdir(self._folder)))  # noqa: PTH208

    def resources(self) -> list[dict]:
        """Every world as in docs/api.md; one that cannot be opened is `damaged` and says why.

        A world whose folders and figures have not changed since is not read again.
        """
        kept, found = {}, []
        for world_id in self.ids():
            known = self._kept.get(world_id)
            try:
                if known is None or any(_mark(path) != mark for path, mark in known.marks.items()):
                    known = self._read(world_id)
            except NotFoundError:
                # Deleted while the others were read.
                continue
            except (InvalidInputError, OSError) as error:
                if not self._is_world(world_id):
                    continue
                reason = str(error) if isinstance(error, InvalidInputError) else f"{refusal(error)}."
                log.warning("damaged", extra={"fields": {"world": world_id, "reason": reason}})
                found.append(damaged_resource(self.path(world_id), reason))
                continue
            found.append(known.resource)
            if _settled(known.marks):
                kept[world_id] = known
        self._kept = kept
        return found

    def _read(self, world_id: str) -> _Kept:
        folder = self.path(world_id)
        listing = list_files(folder)
        read = [f"{folder}/{name}" for name, _ in listing.files if _READ.fullmatch(name)]
        # Before they are read: what changes meanwhile is read again the next time.
        marks = {path: _mark(path) for path in (*listing.folders, *read)}
        return _Kept(resource(self.open(world_id)), marks)

    def open_file(self, world_id: str, relative: str) -> tuple[BinaryIO, int]:
        """One of the world's own files, open, and its size. Raises NotFoundError for anything else, links included."""
        hidden = any(
            part.casefold() == LOCK_FILE or part.casefold().startswith(TEMPORARY_PREFIX)
            for part in relative.split("/")
        )
        try:
            if not hidden:
                return open_inside(self._existing(world_id), relative)
        except (InvalidInputError, OSError, ValueError) as error:
            log.info("no file", extra={"fields": {"world": world_id, "reason": str(error)}})
        raise NotFoundError(
            f"World {world_id} has no file {relative!r}; reconstruct it to make splats and mesh, or take one of "
            "the files it lists."
        )

    def delete(self, world_id: str) -> None:
        """Out of sight in one step, then removed; a damaged or newer world as well. Of a link the link alone.

        Raises NotFoundError, or InUseError while another process works on the world.
        """
        folder = self._existing(world_id)
        if is_link(folder):
            if folder.exists():
                with no_other_process(folder):
                    pass
            folder.unlink()
            return
        # Let go before the folder is moved: Windows moves no open files.
        with no_other_process(folder):
            self._trash.mkdir(exist_ok=True)
        doomed = self._trash / secrets.token_hex(8)
        retry_while_locked(folder.rename, doomed)
        # What cannot be removed now goes when the service starts next.
        shutil.rmtree(doomed, ignore_errors=True)

    def empty_trash(self) -> None:
        """Removes what a delete left that was cut short, and what killed programs left in the worlds."""
        shutil.rmtree(self._trash, ignore_errors=True)
        for world_id in self.ids():
            if recovery.has_leftovers(self.path(world_id)):
                _sweep(self.path(world_id))


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
        **world.summary(),
        "id": world.folder.name,
        "state": "ready",
        "error": None,
        "folder": str(world.folder.resolve()),
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


def remove_leftovers(world_folder: Path, job_folder: Path) -> None:
    """Deletes what a killed worker left under temporary names."""
    sweep(job_folder, unmarked=lambda path: True)
    if world_folder.is_dir():
        _sweep(world_folder)


def _sweep(world_folder: Path) -> None:
    try:
        # What another process is writing has such names too; that one removes leftovers itself.
        with contextlib.suppress(InUseError, InvalidInputError), no_other_process(world_folder):
            recovery.remove_leftovers(world_folder)
    except OSError as error:
        # They are ignored where they lie, and the next run removes them.
        log.warning("leftovers stay", extra={"fields": {"world": world_folder.name, "reason": str(error)}})
