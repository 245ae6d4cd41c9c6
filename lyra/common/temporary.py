"""Temporary names beside a target file, locked while their writer lives.

A writer that was killed leaves its temporary file or folder and the lock file beside it. Whoever writes into the same
folder next finds the lock free and removes both; what a living process writes stays.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lyra.common.errors import InvalidInputError
from lyra.common.locks import Held, hold_if_free, open_lock

log = logging.getLogger("lyra.temporary")
TEMPORARY_PREFIX = ".partial-"
# A key of eight hexadecimal digits, then a file's suffix. Older versions named chunks that were removed by number.
_SHAPE = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}(?:([0-9a-f]{{8}})(-lock|\.[^./\\]*)?|[0-9]{{4}})")


@contextlib.contextmanager
def temporary_name(folder: Path, suffix: str = "") -> Iterator[Path]:
    """A free name in `folder`, which must exist; leftovers of killed writers there go first.

    What the block leaves under that name is removed at its end.
    """
    sweep(folder)
    while True:
        key = uuid.uuid4().hex[:8]
        lock = folder / f"{TEMPORARY_PREFIX}{key}-lock"
        handle = open_lock(lock, new=True)
        # Another process may sweep it in the moment before it is held.
        if hold_if_free(handle) is not Held.ELSEWHERE and lock.exists():
            break
        handle.close()
    temporary = folder / f"{TEMPORARY_PREFIX}{key}{suffix}"
    try:
        yield temporary
    finally:
        # A folder that cannot be emptied now, such as one with a file that is being looked at, keeps its lock file.
        _let_go(handle, lock if _remove(temporary) else None)


def _let_go(handle: BinaryIO, lock: Path | None) -> None:
    """Gives a lock back and removes its file; nobody else may take it in between where the system allows that."""
    with contextlib.suppress(OSError), handle:
        if lock is not None and os.name != "nt":
            lock.unlink(missing_ok=True)
    # Windows removes no open file.
    if lock is not None and os.name == "nt":
        with contextlib.suppress(OSError):
            lock.unlink(missing_ok=True)


def sweep(folder: Path, unmarked: Callable[[Path], bool] = lambda path: False) -> None:
    """Removes what killed writers left in `folder`, and nothing that a living process writes.

    Leftovers of versions that held no locks are removed where `unmarked` says so of their path. What has a name of
    another shape, or is a link, is not this program's. What cannot be removed stays for the next time.
    """
    try:
        with os.scandir(folder) as entries:
            found = [match for entry in entries if (match := _SHAPE.fullmatch(entry.name))]
    except OSError:
        return
    for match in found:
        path, lock = folder / match[0], folder / f"{TEMPORARY_PREFIX}{match[1]}-lock"
        # Looked for anew: a listing under way may show what is written without the lock that came before it.
        if match[1] and os.path.lexists(lock):
            _remove_if_dead(lock)
        elif unmarked(path):
            _remove(path)


def _remove_if_dead(lock: Path) -> None:
    """Removes what lies under the key of a lock that nobody holds, and the lock."""
    with contextlib.suppress(OSError, InvalidInputError):
        handle = open_lock(lock)
        if hold_if_free(handle) is not Held.HERE:
            handle.close()
            return
        key = lock.name.removesuffix("-lock")
        dead = [path for path in lock.parent.glob(f"{key}*") if path != lock and _SHAPE.fullmatch(path.name)]
        _let_go(handle, lock if all([_remove(path) for path in dead]) else None)


def _remove(path: Path) -> bool:
    """Whether nothing is there any more. A link is left as it is."""
    try:
        facts = path.lstat()
        if stat.S_ISDIR(facts.st_mode) and not leads_elsewhere(facts):
            shutil.rmtree(path)
        elif stat.S_ISREG(facts.st_mode):
            path.unlink()
        return not os.path.lexists(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        log.debug("%s stays: %s", path, error)
        return False


def leads_elsewhere(facts: os.stat_result) -> bool:
    """Whether what `lstat` tells is of a link, or of a junction or another stand-in of Windows."""
    name_surrogate = 0x2000_0000
    return stat.S_ISLNK(facts.st_mode) or bool(getattr(facts, "st_reparse_tag", 0) & name_surrogate)
