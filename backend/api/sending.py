"""Files over HTTP: opened once without following links, then measured and sent from that same open file."""

from __future__ import annotations

import email.utils
import mimetypes
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi.concurrency import run_in_threadpool
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

from backend.errors import RangeError
from lyra.common.files import open_inside

PIECE = 256 * 1024
SMALL_FILE_BYTES = 4_000_000
_RANGE = re.compile(r"bytes=(\d{0,18})\d*-(\d{0,18})\d*", re.ASCII)


def read_small_file(root: Path, relative: str) -> bytes:
    """A file that is replaced again and again, whole. Raises FileNotFoundError, or InvalidInputError for a link."""
    file, _ = open_inside(root, relative)
    with file:
        return file.read(SMALL_FILE_BYTES)


def file_response(
    file: BinaryIO, size: int, name: str, wanted: str = "", unless_changed: str = ""
) -> StreamingResponse:
    """An open file called `name`, or the byte range `wanted` of it, as the header says it; it is closed at the end.

    `unless_changed` is the header If-Range: a client that has the first part of another version gets the whole file.
    Several ranges, or one of an unknown form, are answered with the whole file, too. Raises RangeError.
    """
    facts = os.fstat(file.fileno())
    version, changed = (
        f'"{facts.st_mtime_ns:x}-{size:x}"',
        email.utils.formatdate(facts.st_mtime, usegmt=True),
    )
    try:
        first, last = _asked("" if unless_changed not in ("", version, changed) else wanted, size)
    except RangeError:
        file.close()
        raise
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Last-Modified": changed,
        "ETag": version,
    }
    partial = (first, last) != (0, size - 1)
    if partial:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return StreamingResponse(
        _pieces(file, first, last - first + 1),
        206 if partial else 200,
        headers,
        mimetypes.guess_type(name)[0] or "application/octet-stream",
        BackgroundTask(file.close),
    )


def _asked(wanted: str, size: int) -> tuple[int, int]:
    """First and last byte of a file of `size` bytes that the header `wanted` asks for."""
    asked = _RANGE.fullmatch(wanted.replace(" ", ""))
    if asked is None or not (asked[1] or asked[2]):
        return 0, size - 1
    if asked[1]:
        first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
        if first >= size:
            raise RangeError(wanted[:80], size)
    else:
        first, last = max(size - int(asked[2]), 0), size - 1
    return (first, last) if first <= last else (0, size - 1)


async def _pieces(file: BinaryIO, first: int, count: int) -> AsyncIterator[bytes]:
    with file:
        await run_in_threadpool(file.seek, first)
        while count > 0 and (piece := await run_in_threadpool(file.read, min(PIECE, count))):
            count -= len(piece)
            yield piece
