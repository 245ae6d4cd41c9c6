"""Which files a world folder has: the names that this program writes, what is removed by name, and the listing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import inside, is_link, retry_while_locked
from lyra.common.temporary import TEMPORARY_PREFIX, leads_elsewhere, sweep

LOCK_FILE = ".lyra.lock"
WORLD_FILE = "world.json"
CHUNKS, RESULTS, TAKES = "chunks", "results", "takes"
WALKTHROUGH = "walkthrough.mp4"
FIGURES, PACKED = f"{RESULTS}/results.json", f"{RESULTS}/export.zip"
# Figures first: results without them are seen as unfinished.
RESULT_FILES = (FIGURES, *(f"{RESULTS}/{name}" for name in ("splats.ply", "mesh.glb", "mesh.ply")), PACKED)
CHUNK_FILES = ("trajectory.npz", "frames.mkv", "frames.mp4", "depth.npz", "state.npz", "chunk.json")
# What file managers leave in every folder that is looked at.
_LITTER = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini", re.IGNORECASE)
_OF_A_NEW_WORLD = re.compile(
    r"source(\..*)?|seed\.(png|npz)|seed_points\.ply|chunks|results|world\.json|\.partial-.*"
)


def require_folders(folder: Path) -> None:
    """Raises InvalidInputError where what a world's files are written into is a link: they would lie elsewhere."""
    for name in (CHUNKS, RESULTS, TAKES):
        inside(folder, name)


def numbered_folders(folder: Path) -> list[Path]:
    """The folders of chunks in the world `folder`, in the order of their ids. Raises InvalidInputError for a link."""
    found = sorted(inside(folder, CHUNKS).glob("[0-9]" * 4))
    return [path for path in found if int(path.name) and inside(folder, f"{CHUNKS}/{path.name}").is_dir()]


def remove_file(folder: Path, relative: str) -> None:
    """Removes a file that this program writes into the world `folder`, or a link in its place; others stay."""
    parent, _, name = relative.rpartition("/")
    path = (inside(folder, parent) if parent else folder) / name
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode) or path.is_symlink():
            retry_while_locked(path.unlink, missing_ok=True)


def require_own(chunk: Path) -> None:
    """Raises InvalidInputError for a chunk's folder with anything that this program did not write."""
    others = [path.name for path in chunk.iterdir() if not _is_own(path)]
    if others:
        raise InvalidInputError(
            f"{chunk} holds {min(others)!r}, which this program did not write and would be removed; move it elsewhere."
        )


def _is_own(path: Path) -> bool:
    known = path.name in CHUNK_FILES or _LITTER.fullmatch(path.name) or path.name.startswith(TEMPORARY_PREFIX)
    return bool(known) and not is_link(path) and path.is_file()


def remove_chunk(chunk: Path) -> None:
    """Removes a chunk's folder, whole or not at all. Raises InvalidInputError as `require_own`."""
    require_own(chunk)
    # Of a shape that is swept when this is stopped in the middle. Renamed first: a chunk must never be half there.
    doomed = chunk.with_name(f"{TEMPORARY_PREFIX}{chunk.name}")
    retry_while_locked(chunk.rename, doomed)
    shutil.rmtree(doomed)


def sweep_world(folder: Path) -> None:
    """Removes what killed runs left in the world `folder`, whose lock the caller holds."""
    for place in (folder, folder / CHUNKS, folder / RESULTS, *_real_folders(folder / CHUNKS)):
        if place == folder or not is_link(place):
            sweep(place, unmarked=lambda path: True)


def sweep_beside(folder: Path) -> None:
    """Removes what killed runs left of new worlds in `folder`, which holds other things of the user's as well."""
    sweep(folder, unmarked=_is_half_world)


def _is_half_world(path: Path) -> bool:
    """Whether `path` is a folder with nothing but files of a new world, as versions without locks left them."""
    try:
        inner = None if is_link(path) else [found.name for found in path.iterdir()]
    except OSError:
        return False
    return inner is not None and all(map(_OF_A_NEW_WORLD.fullmatch, inner))


def _real_folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        if not is_link(folder):
            yield from (path for path in folder.glob("[0-9]" * 4) if not is_link(path) and path.is_dir())


@dataclass(frozen=True)
class Listing:
    """`files`: relative POSIX path and size of every finished file, sorted, without names that are no Unicode.

    `folders`: each folder that was looked into.
    """

    files: list[tuple[str, int]]
    folders: list[str]


def list_files(folder: Path) -> Listing:
    """What lies in the world `folder`; links and what is being written are left out."""
    files: list[tuple[str, int]] = []
    folders: list[str] = []
    places = [(str(folder), "")]
    while places:
        place, prefix = places.pop()
        # A job may replace or remove files while they are listed.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            folders.append(place)
            for entry in entries:
                if entry.name.startswith(TEMPORARY_PREFIX) or entry.name == LOCK_FILE:
                    continue
                with contextlib.suppress(FileNotFoundError, UnicodeEncodeError):
                    entry.name.encode()
                    facts = entry.stat(follow_symlinks=False)
                    if leads_elsewhere(facts):
                        continue
                    if stat.S_ISDIR(facts.st_mode):
                        places.append((entry.path, f"{prefix}{entry.name}/"))
                    elif stat.S_ISREG(facts.st_mode):
                        files.append((prefix + entry.name, facts.st_size))
    return Listing(sorted(files), folders)
