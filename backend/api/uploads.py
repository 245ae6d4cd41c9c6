"""Uploads: forms of a few parts with known names, and their files, stored under harmless names."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import unquote

from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from backend.errors import TooLargeError
from backend.leftovers import UPLOAD_PREFIX
from lyra.common.errors import InvalidInputError, LyraError
from lyra.common.files import disk_full_explained

FIELD_BYTES = 64 * 1024
# What Windows opens as a device, whatever the folder and the suffix.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)


@contextlib.asynccontextmanager
async def received_form(request: Request, files: int, fields: int = 0) -> AsyncIterator[FormData]:
    """The form of a request with at most so many files and texts, received to its end; its files go afterwards.

    Raises InvalidInputError, or HTTPException for too many parts or bytes.
    """
    try:
        _require_multipart(request.headers.get("content-type", ""))
        form = await request.form(max_files=files, max_fields=fields, max_part_size=FIELD_BYTES)
    except (InvalidInputError, HTTPException):
        # A client that is still sending when the connection closes would not see the answer.
        with contextlib.suppress(HTTPException, ClientDisconnect, RuntimeError):
            async for _ in request.stream():
                pass
        raise
    try:
        yield form
    finally:
        await form.close()


def _require_multipart(content_type: str) -> None:
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise InvalidInputError(
            f"The body's type is {content_type[:80]!r}; send multipart/form-data with the file 'image'."
        )
    # Any of Python's codecs could be named, and some of them take minutes.
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidInputError(f"The form says that it is {charset[:80]!r}; send it as UTF-8.")


def file_of(form: FormData, key: str) -> UploadFile | None:
    given = form.get(key)
    if isinstance(given, str):
        raise InvalidInputError(f"The field {key!r} is a text; send it as a file with a file name.")
    return given


def image_of(form: FormData) -> UploadFile:
    image = file_of(form, "image")
    if image is None:
        raise InvalidInputError("The field 'image' is missing; send the picture as a file there.")
    return image


@contextlib.asynccontextmanager
async def upload_folder(parent: Path) -> AsyncIterator[Path]:
    """A folder for an upload that is looked at and not kept."""
    folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix=UPLOAD_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


def store_upload(upload: UploadFile, folder: Path, limit: int) -> Path:
    """Copies an upload into `folder` under a harmless form of its own name."""
    size = upload.size or 0
    if size > limit:
        raise TooLargeError(
            f"{upload.filename} has {size / 1e6:.1f} MB; at most {limit / 1e6:.0f} MB are accepted. "
            "Save it smaller."
        )
    target = folder / plain_name(upload.filename)
    with disk_full_explained(target):
        folder.mkdir(exist_ok=True)
        with target.open("wb") as handle:
            shutil.copyfileobj(upload.file, handle, 1 << 20)
    return target


def plain_name(filename: str | None) -> str:
    """The last part of a path of any system, with letters, digits, dots and dashes only."""
    # Some clients send names percent-encoded, as in a URL.
    last = re.split(r"[\\/]", unquote(filename or ""))[-1]
    stem, dot, suffix = re.sub(r"[^\w.-]+", "_", last).strip("._").rpartition(".")
    stem, suffix = (stem, suffix) if dot else (suffix, "")
    # File systems count bytes, some of them no more than 143.
    stem, suffix = (
        text.encode()[:most].decode(errors="ignore") for text, most in ((stem[:60], 120), (suffix, 8))
    )
    if _DEVICES.fullmatch(stem.split(".")[0]):
        stem = f"_{stem}"
    return f"{stem or 'image'}{dot}{suffix}"


@contextlib.contextmanager
def plain_names(folder: Path) -> Iterator[None]:
    """Messages from inside name the files in `folder` as the user knows them, not where they are kept."""
    try:
        yield
    except LyraError as error:
        plain = re.sub(rf"{re.escape(str(folder))}[\\/]((image|depth)[\\/])?", "", str(error))
        raise type(error)(plain) from error
