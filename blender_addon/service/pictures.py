"""Sizes of images, measured by the service, which is also what reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import session
from .resources import Picture
from .wire import Body, Reply

# A large picture is sent and looked at before the answer comes.
PATIENCE = 120.0

# The picture that was measured last, as it then was, and its size.
_measured: tuple[tuple[Path, int, int], tuple[int, int]] | None = None


class NotMeasuredError(OSError):
    """A picture that the service has not measured yet."""


def known(image: Path) -> tuple[int, int]:
    """Width and height of the picture that the service measured last, upright.

    Raises NotMeasuredError for any other picture, and OSError for one that is not there.
    """
    if _measured is None or _measured[0] != _state(image):
        raise NotMeasuredError(
            f"{image} is measured by the service, which is asked when a step needs the size."
        )
    return _measured[1]


def measure(image: Path, then: Callable[[tuple[int, int]], None], about: str) -> None:
    """Has the service measure a picture, and calls `then` with its width and height, upright.

    A service must be connected. `about` is what the session knows the request by. Raises OSError for a picture that is
    not there.
    """
    state = _state(image)
    if _measured is not None and _measured[0] == state:
        then(_measured[1])
        return

    def answered(reply: Reply) -> None:
        global _measured
        picture = Picture.from_json(reply.json())
        _measured = state, (picture.width, picture.height)
        then(_measured[1])

    session.current.client.request(
        "POST",
        "/pictures/measure",
        body=Body.multipart({}, {"image": image}),
        on_reply=answered,
        on_error=session.current.say,
        patience=PATIENCE,
        about=about,
    )
    session.wake()


def _state(image: Path) -> tuple[Path, int, int]:
    """A picture that is saved anew is another one."""
    facts = image.stat()
    return image, facts.st_mtime_ns, facts.st_size
