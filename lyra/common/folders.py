"""The user's cache, settings and data folders, with temporary replacements where there is no home directory.

In a container a user may have neither HOME nor a name, or a home that cannot be written. Caches and settings then lie
in a temporary folder of this user alone, which is said once; worlds do not.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from lyra.common.errors import InvalidInputError

log = logging.getLogger("lyra.folders")
APP_NAME = "lyra-worlds"


def cache_folder() -> Path:
    """Where what can be made or fetched again is kept; it need not exist yet."""
    return _own(platformdirs.user_cache_dir) or _stand_in() / "cache"


def settings_folder() -> Path:
    """Where what the user decided is kept; it need not exist yet."""
    return _own(platformdirs.user_config_dir) or _stand_in() / "settings"


def data_folder(setting: str) -> Path:
    """Where worlds are kept; it need not exist yet.

    Raises InvalidInputError, naming the `setting` that chooses another place, where the user has no folder for it: a
    temporary one would be emptied.
    """
    folder = _own(platformdirs.user_data_dir)
    if folder is None:
        raise InvalidInputError(f"This user has no home folder that can be written; give {setting}.")
    return folder


def has_cache_folder(app: str) -> bool:
    """Whether another program's folder for caches can be written or made."""
    return _own(platformdirs.user_cache_dir, app) is not None


def expanded(path: str | Path) -> Path:
    """A path that a user gave, with "~" as the home folder. Raises InvalidInputError where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(
            f"{path} begins with a home folder that is not there; give the whole path."
        ) from error


def _own(find: Callable[..., str], app: str = APP_NAME) -> Path | None:
    """The user's folder that `find` of platformdirs tells, where it can be written or made; else None."""
    try:
        folder = Path(find(app, appauthor=False))
    except (RuntimeError, KeyError):
        return None
    # Older releases leave the "~" of a home that they do not find.
    if not folder.is_absolute():
        return None
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
    except OSError:
        return None
    return folder if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else None


@functools.cache
def _stand_in() -> Path:
    """A folder in the temporary one that nobody else can write or read."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    try:
        folder = Path(tempfile.gettempdir()) / f"{APP_NAME}-{user}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        facts = folder.lstat()
        # Another user may have made it first, to read what is put there.
        if not stat.S_ISDIR(facts.st_mode) or (
            user != "user" and (facts.st_uid, facts.st_mode & 0o077) != (user, 0)
        ):
            folder = Path(tempfile.mkdtemp(prefix=f"{APP_NAME}-"))
    except OSError as error:
        raise InvalidInputError(
            f"This user has neither a home folder that can be written nor a temporary one ({error.strerror}); set HOME "
            "to one that can be."
        ) from error
    log.warning(
        "There is no home folder that can be written: caches and settings lie in %s, which may be emptied. "
        "Set HOME, or LYRA_WEIGHTS for weights, to keep them.",
        folder,
    )
    return folder
