"""What a new world is made from: files of a multipart request, stored under harmless names."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import unquote

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from backend.errors import TooLargeError
from lyra.common.errors import LyraError
from lyra.common.files import disk_full_explained

TEMPORARY_PREFIX = "upload-"
# What Windows opens as a device, whatever the folder and the suffix.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)


@contextlib.asynccontextmanager
async def upload_folder(parent: Path) -> AsyncIterator[Path]:
    """A folder for an upload that is looked at and not kept."""
    folder = Path(await run_in_threadpool(tempfile.mkdtemp, prefix=TEMPORARY_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)


def remove_upload(left: Path) -> None:
    """Removes what a service that was killed left of an upload, by the names that this program gives."""
    if left.name.startswith((TEMPORARY_PREFIX, tempfile.gettempprefix())):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                left.unlink()


def store_upload(upload: UploadFile, folder: Path, limit: int) -> Path:
    """Copies an upload into `folder` under a harmless form of its own name."""
    if upload.size > limit:
        raise TooLargeError(
            f"{upload.filename} has {upload.size / 1e6:.1f} MB; at most {limit / 1e6:.0f} MB are accepted. "
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
