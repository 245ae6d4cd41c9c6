"""Multipart forms: a few parts of known names, received to the end before anything is refused."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from lyra.common.errors import InvalidInputError

FIELD_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def received_form(request: Request, files: int, fields: int = 0) -> AsyncIterator[FormData]:
    """The form of a request with at most so many files and texts; its temporary files go at the end.

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
