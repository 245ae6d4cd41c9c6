"""The worlds folder: whatever world lies in it is served, whoever put it there."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from backend.api import schemas
from backend.config import Config
from backend.errors import NotFoundError
from backend.jobs.seeding import damaged_resource
from lyra.common.errors import InUseError, InvalidInputError
from lyra.common.files import patiently, remove_partials
from lyra.world.folder import World, no_other_process
from lyra.world.settings import ID_PATTERN

log = logging.getLogger("backend.catalog")


class WorldCatalog:
    """Finds worlds by id. A world's id is the name of its folder."""

    def __init__(self, config: Config):
        self._folder = config.worlds
        self._trash = config.private_folder / "trash"

    def path(self, world_id: str) -> Path:
        """Where the world is or would be."""
        return self._folder / world_id

    def open(self, world_id: str) -> World:
        """Raises NotFoundError, or InvalidInputError for a damaged or newer world."""
        return World.open(self._existing(world_id))

    def _existing(self, world_id: str) -> Path:
        if not self._is_world(world_id):
            raise NotFoundError(
                f"There is no world {world_id!r} in {self._folder}; it was deleted or moved away, or lies in another "
                "folder. Put it back there, or make a new one."
            )
        return self.path(world_id)

    def _is_world(self, name: str) -> bool:
        folder = self._folder / name
        return (
            ID_PATTERN.fullmatch(name) is not None
            and not folder.is_symlink()
            and (folder / "world.json").is_file()
        )

    def ids(self) -> list[str]:
        """Ids of all folders that look like a world, sorted."""
        return sorted(folder.name for folder in self._folder.iterdir() if self._is_world(folder.name))

    def resources(self) -> list[dict]:
        """Every world as in docs/api.md; one that cannot be opened is `damaged` and says why."""
        found = []
        for world_id in self.ids():
            try:
                found.append(resource(self.open(world_id)))
            except NotFoundError:
                # Deleted while the others were read.
                continue
            except InvalidInputError as error:
                if not self._is_world(world_id):
                    continue
                log.warning("damaged", extra={"fields": {"world": world_id, "reason": str(error)}})
                found.append(damaged_resource(self.path(world_id), str(error)))
        return found

    def file(self, world_id: str, relative: str) -> Path:
        """The path of one of the world's own files. Raises NotFoundError for anything else, links included."""
        world = self.open(world_id)
        path = world.folder / relative
        known = relative in {name for name, _ in world.files()}
        if not known or path.resolve() != world.folder.resolve() / relative:
            raise NotFoundError(
                f"World {world_id} has no file {relative!r}; reconstruct it to make splats and mesh, or take one of "
                "the files it lists."
            )
        return path

    def delete(self, world_id: str) -> None:
        """Out of sight in one step, then removed; a damaged or newer world as well.

        Raises NotFoundError, or InUseError while another process works on the world.
        """
        folder = self._existing(world_id)
        # Let go before the folder is moved: Windows moves no open files.
        with no_other_process(folder):
            self._trash.mkdir(exist_ok=True)
        doomed = self._trash / secrets.token_hex(8)
        patiently(folder.rename, doomed)
        # What cannot be removed now goes when the service starts next.
        shutil.rmtree(doomed, ignore_errors=True)

    def empty_trash(self) -> None:
        """Removes what a delete left that was cut short."""
        shutil.rmtree(self._trash, ignore_errors=True)


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
    try:
        if job_folder.is_dir():
            remove_partials(job_folder)
        if world_folder.is_dir():
            # What another process is writing has such names too; that one removes leftovers itself.
            with contextlib.suppress(InUseError), no_other_process(world_folder):
                for folder in (world_folder, world_folder / "chunks", world_folder / "results"):
                    if folder.is_dir():
                        remove_partials(folder)
    except OSError as error:
        # They are ignored where they lie, and the next run removes them.
        log.warning("leftovers stay", extra={"fields": {"world": world_folder.name, "reason": str(error)}})
