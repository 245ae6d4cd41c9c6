"""Locks between processes: a service and a terminal may both download weights or extend one world."""

from __future__ import annotations

import enum
import errno
import logging
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lyra.common.errors import InUseError, InvalidInputError

log = logging.getLogger("lyra.common.locks")
# What the systems answer when another process holds a lock; the rest means that the file system knows none.
HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


class Held(enum.Enum):
    """Who holds a lock after an attempt to take it; NOWHERE on a file system without locks."""

    HERE = enum.auto()
    ELSEWHERE = enum.auto()
    NOWHERE = enum.auto()


@contextmanager
def only_one(lock: Path, work: str) -> Iterator[None]:
    """Holds `lock` for the block; the system lets it go when the process ends, however it ends.

    Raises InUseError, saying that `work` is under way, when someone else holds it. On a file system without locks
    nobody can be kept out, which is logged.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open_lock(lock) as handle:
        held = hold_if_free(handle)
        if held is Held.ELSEWHERE:
            raise InUseError(
                f"{work} is under way already, in another process that holds {lock}; wait for it, or stop it."
            )
        if held is Held.NOWHERE:
            log.warning("%s cannot be locked: let no other process work there.", lock)
        yield


def open_lock(lock: Path, new: bool = False) -> BinaryIO:
    """A lock file, made where there is none; a `new` one must not exist yet. Nothing is written into it.

    Raises InvalidInputError where a link or anything but a file has its name.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    # A pipe in its place would be waited for.
    flags |= (os.O_EXCL if new else 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(lock, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _no_lock(lock) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_lock(lock)
    return os.fdopen(descriptor, "r+b", buffering=0)


def _no_lock(lock: Path) -> InvalidInputError:
    return InvalidInputError(f"{lock} is a link, or no file; it should be an empty one: remove it.")


def hold_if_free(handle: BinaryIO) -> Held:
    """Takes the lock of an open file unless another has it; closing the file gives it back."""
    try:
        _take(handle)
    except OSError as error:
        return Held.ELSEWHERE if error.errno in HELD else Held.NOWHERE
    return Held.HERE


if sys.platform == "win32":
    import msvcrt

    def _take(handle: BinaryIO) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
