"""What killed runs left in a world folder: whether anything, and its removal."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import is_link
from lyra.common.temporary import TEMPORARY_PREFIX
from lyra.world import parking
from lyra.world.files import CHUNKS, RESULTS, sweep_world
from lyra.world.folder import World
from lyra.world.plan import CAMERAS, FACTS, Plan


def has_leftovers(folder: Path) -> bool:
    """Whether `remove_leftovers` may have something to do in the world `folder`. It writes nothing."""
    for place in (folder, folder / CHUNKS, folder / RESULTS):
        with contextlib.suppress(OSError):
            if place == folder or not is_link(place):
                names = {path.name for path in place.iterdir()}
                if any(name.startswith(TEMPORARY_PREFIX) for name in names):
                    return True
                if CAMERAS in names and FACTS not in names:
                    return True
    with contextlib.suppress(InvalidInputError, OSError):
        parked = parking.parked_takes(folder)
        return parking.is_half_moved(folder) or (bool(parked) and World.open(folder).head in parked)
    return False


def remove_leftovers(folder: Path) -> None:
    """Removes what killed runs left in the world `folder`, whose lock the caller holds, and ends what they moved.

    Raises InvalidInputError for a damaged world, of which what can be removed is.
    """
    sweep_world(folder)
    try:
        parking.recover(folder, World.open(folder).head)
    finally:
        Plan.sweep(folder)
