"""Long work inside Blender as generators: the timer advances them by one short step per tick."""

from __future__ import annotations

from collections.abc import Iterator

from ..camera.conversion import CameraError
from ..importers.ply import FileError
from ..service import session


def begin(steps: Iterator[str | None]) -> None:
    """Queues a task behind those under way. A file or camera of no use ends it, and the panel says why."""
    session.current.tasks.append(_reporting(steps))
    session.wake()


def _reporting(steps: Iterator[str | None]) -> Iterator[str | None]:
    try:
        yield from steps
    except (FileError, CameraError, OSError) as error:
        session.current.say(str(error))
