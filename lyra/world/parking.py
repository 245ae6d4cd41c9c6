"""Files that belong to a take: in their usual places while it is the head, else parked in takes/NNNN.

They move by renames. A set under way lies in takes/NNNN.moving; where a process was killed meanwhile, `recover` puts
what is there back to the usual places. A head is exchanged only while nothing moves, so these are always the head's.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from lyra.common.files import inside, is_link, retry_while_locked, sync_folder
from lyra.world import plan
from lyra.world.files import FIGURES, PACKED, RESULT_FILES, TAKES, WALKTHROUGH, remove_file

PLAN_FILES = (plan.FACTS, plan.CAMERAS)
PARKED = (*RESULT_FILES, WALKTHROUGH, *PLAN_FILES)
# What says that others are whole leaves its place first and comes back last.
_MARKS = (FIGURES, plan.FACTS)
_MOVING = ".moving"
_NAME = re.compile(rf"([0-9]{{4}})({re.escape(_MOVING)})?")


def park(folder: Path, take: int, relative: Iterable[str]) -> None:
    """Moves those of the files `relative` (of PARKED) that are there from their usual places to those of `take`."""
    there = [name for name in _marks_first(relative) if _is_file(folder, name)]
    if not there:
        return
    parked, moving = _place(folder, take), _place(folder, take, _MOVING)
    if parked.is_dir():
        retry_while_locked(parked.rename, moving)
    else:
        moving.mkdir(parents=True)
    for name in there:
        retry_while_locked((folder / name).replace, moving / _base(name))
    retry_while_locked(moving.rename, parked)
    _sync(folder)


def unpark(folder: Path, take: int) -> None:
    """Moves what is parked of `take` to its usual places."""
    if not any(True for _ in parked_files(folder, take)):
        return
    moving = _place(folder, take, _MOVING)
    retry_while_locked(_place(folder, take).rename, moving)
    _put_back(folder, moving)


def recover(folder: Path, head: int) -> None:
    """Ends what a killed process left half moved, and puts what is parked of the head to its usual places."""
    for path in _folders(folder, _MOVING):
        _put_back(folder, path)
    unpark(folder, head)
    for path in (*_folders(folder), folder / TAKES):
        if path.is_dir() and not any(path.iterdir()):
            _remove_if_empty(path)


def is_half_moved(folder: Path) -> bool:
    """Whether a killed process, or one at work, left files between their usual places and where they are parked."""
    return bool(_folders(folder, _MOVING))


def parked_takes(folder: Path) -> list[int]:
    """Ids of the takes of which anything is parked, ascending."""
    takes = (int(path.name) for path in _folders(folder))
    return [take for take in takes if any(True for _ in parked_files(folder, take))]


def parked_files(folder: Path, take: int) -> list[Path]:
    """What is parked of `take`. Raises InvalidInputError where a link would lead elsewhere."""
    place = _place(folder, take)
    return [place / _base(name) for name in PARKED if _is_file(place, _base(name))]


def parked_file(folder: Path, take: int, relative: str) -> Path:
    """Where the file `relative` (of PARKED) lies while `take` is not the head; it need not be there."""
    return inside(folder, f"{TAKES}/{take:04d}/{_base(relative)}")


def remove_parked(folder: Path, take: int, relative: Iterable[str] = PARKED) -> None:
    """Removes what is parked of `take`; files of other names stay."""
    place = _place(folder, take)
    for name in _marks_first(relative):
        remove_file(folder, f"{TAKES}/{take:04d}/{_base(name)}")
    _remove_if_empty(place)


def remove_exports(folder: Path) -> None:
    """Removes what is parked of packed files, which are in metres."""
    for take in parked_takes(folder):
        remove_parked(folder, take, (PACKED,))


def _marks_first(relative: Iterable[str]) -> list[str]:
    return sorted(relative, key=lambda name: name not in _MARKS)


def _base(relative: str) -> str:
    return relative.rpartition("/")[2]


def _place(folder: Path, take: int, suffix: str = "") -> Path:
    return inside(folder, f"{TAKES}/{take:04d}{suffix}")


def _folders(folder: Path, suffix: str = "") -> list[Path]:
    """Folders of takes, or with the suffix those that are half moved, in order of their ids."""
    takes = inside(folder, TAKES)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        names = sorted(os.listdir(takes))  # noqa: PTH208
        found = [match for name in names if (match := _NAME.fullmatch(name)) and (match[2] or "") == suffix]
        return [
            takes / match[0]
            for match in found
            if not is_link(takes / match[0]) and (takes / match[0]).is_dir()
        ]
    return []


def _is_file(folder: Path, relative: str) -> bool:
    path = folder / relative
    return not is_link(path) and path.is_file()


def _put_back(folder: Path, moving: Path) -> None:
    """Moves what lies in a half moved folder to the usual places; what is not this program's stays parked."""
    for name in reversed(_marks_first(PARKED)):
        if _is_file(moving, _base(name)):
            inside(folder, name).parent.mkdir(exist_ok=True)
            retry_while_locked((moving / _base(name)).replace, folder / name)
    if not _remove_if_empty(moving):
        parked = moving.with_name(moving.name.removesuffix(_MOVING))
        for path in list(moving.iterdir()) if parked.exists() else []:
            retry_while_locked(path.rename, parked / path.name)
        if not _remove_if_empty(moving):
            retry_while_locked(moving.rename, parked)
    _sync(folder)


def _remove_if_empty(place: Path) -> bool:
    """Whether the folder `place` is gone; that of all takes goes with the last one."""
    try:
        place.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if place.name != TAKES:
        _remove_if_empty(place.parent)
    return True


def _sync(folder: Path) -> None:
    for place in (folder / TAKES, inside(folder, FIGURES).parent, folder):
        if place.is_dir():
            sync_folder(place)
