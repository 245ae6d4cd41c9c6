"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from lyra.common.errors import DiskFullError, InvalidInputError

T = TypeVar("T")
TEMPORARY_PREFIX = ".partial-"
# Windows neither moves nor removes a file that any program has open, such as a virus scanner that looks at what was
# just written, or the service that sends it. They are done within moments.
WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()


def patiently(action: Callable[..., T], *arguments: object, **options: object) -> T:
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
    trial = there / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}"
    with _refusal_names(folder, trial):
        trial.mkdir()
        trial.rmdir()


@contextlib.contextmanager
def _refusal_names(target: Path, temporary: Path) -> Iterator[None]:
    """An OSError about `temporary`, or what is in it, names `target`: the other is gone when it is read."""
    try:
        with disk_full_explained(target):
            yield
    except OSError as error:
        named = error.filename
        if not isinstance(named, str) or not Path(named).absolute().is_relative_to(temporary.absolute()):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` (same suffix) that replaces it when the block ends well."""
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        with _refusal_names(target, temporary):
            yield temporary
            sync(temporary)
            patiently(temporary.replace, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target`, which must not exist, when the block ends well."""
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}")
    try:
        with _refusal_names(target, temporary):
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    sync(file)
            patiently(temporary.rename, target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in `parent`, gone when the block ends; those that interrupted runs left go first."""
    remove_partials(parent)
    temporary = parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}"
    try:
        with _refusal_names(parent, temporary):
            temporary.mkdir()
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_partials(folder: Path) -> None:
    """Deletes what interrupted runs left under temporary names."""
    for leftover in folder.glob(TEMPORARY_PREFIX + "*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def sync(file: Path) -> None:
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def require_small_arrays(source: Path | BinaryIO, limit: int) -> None:
    """Raises InvalidInputError for an .npz file whose arrays would take more than `limit` bytes.

    An array may state a shape that its file does not have the values for; memory is taken before that shows. Raises
    what zipfile and NumPy raise for a file that is none.
    """
    with zipfile.ZipFile(source) as archive:
        size = 0
        for item in archive.infolist():
            size += max(item.file_size, _stated_bytes(archive, item))
    if size > limit:
        raise InvalidInputError(
            f"It would unpack to {size / 1e6:.0f} MB; at most {limit / 1e6:.0f} MB are read."
        )


def _stated_bytes(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> int:
    """What the array in a file of an archive takes by its own header, 0 for what is no array. Raises ValueError."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with archive.open(item) as file:
            if not file.peek(6).startswith(np.lib.format.MAGIC_PREFIX):
                return 0
            version = np.lib.format.read_magic(file)
            if version not in readers:
                raise ValueError(f"{item.filename} is an array of version {version}")
            shape, _, kind = readers[version](file)
    except RuntimeError as error:
        # Encrypted, or packed in a way that zipfile does not know.
        raise ValueError(f"{item.filename}: {error}") from error
    return prod(shape) * kind.itemsize
