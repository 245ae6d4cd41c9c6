"""What killed processes left under temporary names, and its removal."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from pathlib import Path

from lyra.common.errors import InUseError, InvalidInputError
from lyra.common.temporary import sweep
from lyra.world import recovery
from lyra.world.folder import no_other_process

log = logging.getLogger("backend.leftovers")
UPLOAD_PREFIX = "upload-"  # of folders for uploads that are looked at and not kept


def remove_leftovers(world_folder: Path, job_folder: Path) -> None:
    """Deletes what a killed worker left in the world and the job that it was at."""
    sweep(job_folder, unmarked=lambda path: True)
    if world_folder.is_dir():
        sweep_world_folder(world_folder)


def sweep_world_folder(world_folder: Path) -> None:
    """Deletes what was being written into a world, unless another process works on it."""
    try:
        # What another process is writing has such names too; that one removes leftovers itself.
        with contextlib.suppress(InUseError, InvalidInputError), no_other_process(world_folder):
            recovery.remove_leftovers(world_folder)
    except OSError as error:
        # They are ignored where they lie, and the next run removes them.
        log.warning("leftovers stay", extra={"fields": {"world": world_folder.name, "reason": str(error)}})


def remove_uploads(upload_folder: Path) -> None:
    """Deletes uploads that a killed service had begun to receive, by the names that this program gives."""
    if not upload_folder.is_dir():
        return
    for left in upload_folder.iterdir():
        if not left.name.startswith((UPLOAD_PREFIX, tempfile.gettempprefix())):
            continue
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                left.unlink()
