"""Atomic file writes, and paths inside a folder that follow no links."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from lyra.common.errors import DiskFullError, InvalidInputError
from lyra.common.temporary import TEMPORARY_PREFIX, leads_elsewhere, temporary_name

T = TypeVar("T")
# Windows neither moves nor removes a file that any program has open, such as a virus scanner that looks at what was
# just written, or the service that sends it. They are done within moments.
WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()
# What file systems answer that cannot sync, such as shares of Windows for folders. Written data is kept all the same.
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
# And those that let no program open a folder.
NO_FOLDERS = (errno.EACCES, errno.EPERM, errno.EISDIR)


def retry_while_locked(action: Callable[..., T], *arguments: object, **options: object) -> T:
    """What `action` returns, which moves or removes a file; where another program has it open, in a moment."""
    for wait in WAITS:
        try:
            return action(*arguments, **options)
        except PermissionError:
            time.sleep(wait)
    return action(*arguments, **options)


def refusal(error: OSError) -> str:
    """What the user reads of what the system refuses: a folder that may not be written, a drive that is gone."""
    return (
        f"{error.filename or 'A file'} cannot be used: {error.strerror or error}. Choose another path, change its "
        "permissions or close the program that holds it"
    )


@contextlib.contextmanager
def disk_full_explained(target: Path) -> Iterator[None]:
    """Turns 'no space left' into a DiskFullError that names the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"The disk that holds {target} is full; free some space, then resume or try again. "
            "Everything finished is kept."
        ) from error


def require_space(folder: Path, needed: int) -> None:
    """Raises DiskFullError before work starts that could not be written."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{folder} has {free / 1e9:.2f} GB free and this needs about {needed / 1e9:.2f} GB; "
            "free some space, then resume or try again, or choose another folder."
        )


def require_place(folder: Path) -> None:
    """Raises what would keep a new folder from being put at `folder`, before work starts: OSError, InvalidInputError.

    Asking the system for permissions does not tell on every one of them; making a folder there does.
    """
    if folder.exists() and folder.samefile(Path.cwd()):
        raise InvalidInputError(f"{folder} is the folder you are in; choose one that does not exist yet.")
    there = next(parent for parent in folder.absolute().parents if parent.exists())
    with _refusal_names(folder, there), temporary_name(there) as trial:
        trial.mkdir()


@contextlib.contextmanager
def _refusal_names(target: Path, folder: Path) -> Iterator[None]:
    """An OSError about a temporary name in `folder`, or what is under it, names `target`.

    The other is gone when it is read.
    """
    try:
        with disk_full_explained(target):
            yield
    except OSError as error:
        named, folder = error.filename, folder.absolute()
        if not isinstance(named, str) or not Path(named).absolute().is_relative_to(folder):
            raise
        if not str(Path(named).absolute().relative_to(folder)).startswith(TEMPORARY_PREFIX):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` (same suffix) that replaces it when the block ends well.

    Where `target` is a link, the link is replaced and what it leads to stays. Raises InvalidInputError where it is
    neither: a folder, a pipe, a device.
    """
    with _refusal_names(target, target.parent), temporary_name(target.parent, target.suffix) as temporary:
        _require_replaceable(target)
        yield temporary
        sync(temporary)
        retry_while_locked(temporary.replace, target)
        sync_folder(target.parent)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target`, which must not exist, when the block ends well."""
    with _refusal_names(target, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_name(target.parent) as temporary:
            temporary.mkdir()
            yield temporary
            for path in temporary.rglob("*"):
                if path.is_file():
                    sync(path)
                else:
                    sync_folder(path)
            sync_folder(temporary)
            retry_while_locked(temporary.rename, target)
            sync_folder(target.parent)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in `parent`, gone when the block ends; those that interrupted runs left go first."""
    with _refusal_names(parent, parent), temporary_name(parent) as temporary:
        temporary.mkdir()
        yield temporary


def _require_replaceable(target: Path) -> None:
    if os.path.lexists(target) and not (target.is_symlink() or target.is_file()):
        kind = "a folder" if target.is_dir() else "a pipe or a device"
        raise InvalidInputError(f"{target} is {kind}; name a file that does not exist yet.")


def sync(file: Path) -> None:
    """Waits until a file's bytes are on the disk, where its file system can tell."""
    with file.open("rb+") as handle:
        _sync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where its file system can tell."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in NO_FOLDERS:
            return
        raise
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def is_link(path: Path) -> bool:
    """Whether `path` itself is a symbolic link, or a junction of Windows."""
    try:
        return leads_elsewhere(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return False


def inside(root: Path, relative: str) -> Path:
    """The path `relative` ("results/splats.ply") in the folder `root`, which may be a link; nothing need be there.

    Raises InvalidInputError for a path that leads out, through a link, or to what is neither a file nor a folder.
    """
    path = root
    for part in _parts(relative):
        path = path / part
        try:
            facts = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if leads_elsewhere(facts):
            raise InvalidInputError(
                f"{path} is a link, which is not followed inside {root}; put what it leads to in its place."
            )
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            raise InvalidInputError(f"{path} is a pipe or a device; remove it.")
    return path


def open_given(path: str | Path) -> tuple[BinaryIO, int]:
    """An open file that the user named, through links too, and its size.

    Raises OSError as `open` does, and for a pipe or a device, which may never end.
    """
    # Without waiting for the other end of a pipe.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOINHERIT", 0))
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.ENODEV, "a pipe or a device, no file", str(path))
    return os.fdopen(descriptor, "rb"), facts.st_size


def open_inside(root: Path, relative: str) -> tuple[BinaryIO, int]:
    """An open file of `inside(root, relative)` and its size: that of the file that is read, whatever replaces it.

    Raises InvalidInputError as `inside` and for a folder, FileNotFoundError where nothing is.
    """
    path = inside(root, relative)
    try:
        descriptor = _descriptor(root, _parts(relative), path)
    except OSError as error:
        # Exchanged for a link since it was looked at.
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise InvalidInputError(f"{path} is a link, which is not followed inside {root}.") from error
        raise
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise InvalidInputError(f"{path} is no file; remove it.")
    return os.fdopen(descriptor, "rb"), facts.st_size


def _descriptor(root: Path, parts: tuple[str, ...], path: Path) -> int:
    """Opens a file for reading, each part of its path in turn where the system can, without waiting for a pipe."""
    if os.open not in os.supports_dir_fd:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0))
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for number, part in enumerate(parts, 1):
        flags = os.O_DIRECTORY if number < len(parts) else os.O_NONBLOCK
        try:
            opened = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | flags, dir_fd=folder)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            os.close(folder)
        folder = opened
    return folder


def _parts(relative: str) -> tuple[str, ...]:
    """Of a path below a folder. Raises InvalidInputError for one that leads out, or that a system reads otherwise."""
    parts = PurePosixPath(relative).parts
    plain = bool(parts) and "/".join(parts) == relative and ".." not in parts and "\0" not in relative
    if os.name == "nt":
        # Streams behind a colon, and names that Windows takes for those without their last dot or space.
        plain = plain and not any(set(part) & set('\\:*?"<>|') or part[-1] in ". " for part in parts)
    if not plain:
        raise InvalidInputError(f"{relative!r} is no path of a file inside a folder.")
    return parts
