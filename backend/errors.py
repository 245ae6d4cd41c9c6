"""Errors of the service, and the HTTP status of every error that a user can mend."""

from __future__ import annotations

from lyra.common.errors import DiskFullError, EngineNotReadyError, InUseError, InvalidInputError, LyraError
from lyra.common.quoting import one_line

ANSWER_BYTES = 900


def detail(text: object) -> str:
    """What stands in an answer of a refusal: one line that a client can show, and no kilobytes of its own input."""
    line = one_line(text)
    return line if len(line.encode()) <= ANSWER_BYTES else one_line(line, ANSWER_BYTES // 4)


class NotFoundError(LyraError):
    """There is no such world, job or file."""


class ConflictError(LyraError):
    """Possible, but not now."""


class TooLargeError(LyraError):
    """More bytes than the service accepts."""


class MediaTypeError(LyraError):
    """A body of another type than the call takes."""


class RangeError(LyraError):
    """A byte range that begins behind the end of a file of `size` bytes."""

    def __init__(self, asked: str, size: int):
        super().__init__(f"The range {asked!r} begins behind the end; the file has {size} bytes.")
        self.headers = {"Content-Range": f"bytes */{size}"}


class ChallengeError(LyraError):
    """What a client asked to be proven is no challenge."""


class QueueFullError(LyraError):
    """Too many jobs are waiting."""


class StoreError(LyraError):
    """The jobs cannot be saved."""


class StartError(LyraError):
    """The service cannot start here."""


_STATUS = {
    InvalidInputError: 400,
    NotFoundError: 404,
    EngineNotReadyError: 409,
    InUseError: 409,
    ConflictError: 409,
    TooLargeError: 413,
    MediaTypeError: 415,
    RangeError: 416,
    ChallengeError: 422,
    QueueFullError: 429,
    DiskFullError: 507,
    StoreError: 507,
}


def status_of(error: LyraError) -> int:
    """The HTTP status of a failure; what is no special case is something the user gave."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
