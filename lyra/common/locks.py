"""One process at a time: Blender's backend and a terminal may both be told to download, or to extend one world."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lyra.common.errors import InUseError

log = logging.getLogger("lyra.common.locks")
# What the systems answer when another process holds a lock; the rest means that the file system knows none.
HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


@contextmanager
def only_one(lock: Path, work: str) -> Iterator[None]:
    """Holds `lock` for the block; the system lets it go when the process ends, however it ends.

    Raises InUseError, saying that `work` is under way, when someone else holds it. On a file system without locks
    nobody can be kept out, which is logged.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as handle:
        try:
            _take(handle)
        except OSError as error:
            if error.errno in HELD:
                raise InUseError(
                    f"{work} is under way already, in another process that holds {lock}; wait for it, or stop it."
                ) from error
            log.warning("%s cannot be locked (%s): let no other process work there.", lock, error.strerror)
        yield


if os.name == "nt":
    import msvcrt

    def _take(handle: BinaryIO) -> None:
        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(handle: BinaryIO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
