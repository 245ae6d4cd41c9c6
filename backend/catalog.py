"""The worlds folder: finds, opens and deletes whatever world lies in it, whoever put it there."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

from backend.config import Config
from backend.errors import NotFoundError
from backend.leftovers import sweep_world_folder
from lyra.common.errors import InvalidInputError
from lyra.common.files import is_link, open_inside, refusal, retry_while_locked
from lyra.common.temporary import TEMPORARY_PREFIX
from lyra.world.files import LOCK_FILE, WORLD_FILE
from lyra.world.folder import World, no_other_process
from lyra.world.recovery import has_leftovers
from lyra.world.settings import ID_PATTERN

log = logging.getLogger("backend.catalog")


class WorldCatalog:
    """Finds worlds by id. A world's id is the name of its folder, or of a link to it in the worlds folder."""

    def __init__(self, config: Config):
        self._config = config
        self._folder = config.worlds
        self._trash = config.private_folder / "trash"

    def path(self, world_id: str) -> Path:
        """Where the world is or would be."""
        return self._config.world_folder(world_id)

    def open(self, world_id: str) -> World:
        """Raises NotFoundError, or InvalidInputError for a damaged or newer world."""
        folder = self._existing(world_id)
        try:
            return World.open(folder)
        except OSError as error:
            raise InvalidInputError(f"{refusal(error)}.") from error

    def _existing(self, world_id: str) -> Path:
        if not self.is_world(world_id):
            raise NotFoundError(
                f"There is no world {world_id!r} in {self._folder}; it was deleted or moved away, or lies in another "
                "folder. Put it back there, or make a new one."
            )
        return self.path(world_id)

    def is_world(self, name: str) -> bool:
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
        return sorted(filter(self.is_world, os.listdir(self._folder)))  # noqa: PTH208

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
            if has_leftovers(self.path(world_id)):
                sweep_world_folder(self.path(world_id))
