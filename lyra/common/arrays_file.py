"""Untrusted .npz and .npy files: sizes are checked before memory is allocated, and nothing is unpickled.

Format: numpy.lib.format of NumPy's documentation; .npz is a zip archive with one .npy file an array.
"""

from __future__ import annotations

import ast
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.files import open_given
from lyra.common.quoting import one_line, place, value

Source = Path | str | bytes | IO[bytes]

MAX_MEMBERS = 1000
MAX_DIRECTORY = 1 << 20
MAX_HEADER = 10_000
MAX_AXES = 8
BLOCK = 1 << 20
AGAIN = "save it again with numpy.savez"

_MAGIC = b"\x93NUMPY"
_KIND = re.compile(r"([<>=|]?)([biufc])(\d{1,2})")
_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}
_KINDS_SAID = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers", "c": "complex numbers"}
# Python 2 wrote 81L for 81.
_LONG = re.compile(r"(?<=\d)L\b")
_END = struct.Struct("<4s4H2LH")
_END_MAGIC, _WIDE_MAGIC, _WIDE_LENGTH = b"PK\x05\x06", b"PK\x06\x07", 20
_LONGEST_COMMENT = 1 << 16
# Deflate makes at most 1032 bytes of one.
_DEFLATE_RATIO = 1032
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# What zipfile and zlib raise on archives that are damaged or made to mislead.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ArrayLimit:
    """What an array of a file may be.

    `size` in bytes is the most that it may take, `kinds` are the kinds of its type (NumPy's letters), `shape` holds
    None for an axis of any length; without a shape any is allowed. An `optional` array may be missing.
    """

    size: int
    kinds: str = "fiu"
    shape: tuple[int | None, ...] | None = None
    optional: bool = False


@dataclass(frozen=True)
class _Header:
    """What an array says of itself; its numbers begin after `start` bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    column_major: bool
    start: int

    @property
    def size(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class _RefusedError(Exception):
    """Why something is not read, without the name of the file."""


def read_arrays(
    source: Source,
    wanted: Mapping[str, ArrayLimit],
    *,
    others: ArrayLimit | None = None,
    total: int | None = None,
    name: str | None = None,
    advice: str = AGAIN,
) -> dict[str, np.ndarray]:
    """The `wanted` arrays of an .npz file, and all `others` where a limit for each is given; `total` bytes at most.

    What is not wanted is not looked at. `name` stands for the file in messages, by default its path; `advice` is the
    next step. Raises InvalidInputError, one line that names file and array, for a file that is missing, damaged or
    beyond a limit, before memory is taken for it.
    """
    with _explained(source, name, advice), _opened(source) as file:
        archive, members = _archive(file)
        with archive:
            lacking = sorted(
                key for key, limit in wanted.items() if not limit.optional and key not in members
            )
            if lacking:
                there = ", ".join(sorted(members)[:8]) or "nothing"
                raise _RefusedError(f"has no array {' and no '.join(map(value, lacking))}; it holds {there}")
            chosen = {key: wanted.get(key, others) for key in members}
            arrays = {}
            for key, limit in chosen.items():
                if limit is not None:
                    left = limit if total is None else replace(limit, size=min(limit.size, total))
                    arrays[key] = _read_member(archive, key, members[key], left, file)
                    total = None if total is None else total - arrays[key].nbytes
            return arrays


def read_last(
    source: Source, key: str, limit: ArrayLimit, *, name: str | None = None, advice: str = AGAIN
) -> np.ndarray:
    """The last entry, along the first axis, of one array of an .npz file; the rest is passed over, not kept.

    `limit` is that of the entry. Errors as of `read_arrays`.
    """
    with _explained(source, name, advice), _opened(source) as file:
        archive, members = _archive(file)
        with archive:
            if key not in members:
                raise _RefusedError(f"has no array {value(key)}")
            with archive.open(members[key]) as member:
                header = _read_header(member)
                if header.dtype.kind not in limit.kinds or header.column_major or 0 in (header.shape or (0,)):
                    raise _RefusedError(
                        f"has {value(key)} of shape {value(header.shape)}, type {header.dtype}"
                    )
                size = header.size // header.shape[0]
                if size > limit.size or header.start + header.size != members[key].file_size:
                    raise _RefusedError(
                        f"has {value(key)} of shape {value(header.shape)}, which does not fit"
                    )
                member.seek(header.start + header.size - size)
                data = member.read(size)
    if len(data) < size:
        raise InvalidInputError(one_line(f"{place(name or str(source))} is cut short; {advice}."))
    return np.frombuffer(data, header.dtype).reshape(header.shape[1:]).astype(header.dtype.newbyteorder("="))


def array_names(source: Source, *, name: str | None = None, advice: str = AGAIN) -> tuple[str, ...]:
    """Names of what an .npz file holds, sorted; errors as of `read_arrays`."""
    with _explained(source, name, advice), _opened(source) as file:
        archive, members = _archive(file)
        archive.close()
        return tuple(sorted(members))


def read_array(
    source: Source,
    limit: ArrayLimit,
    *,
    name: str | None = None,
    advice: str = "save it again with numpy.save",
) -> np.ndarray:
    """The array of an .npy file; errors as of `read_arrays`."""
    with _explained(source, name, advice), _opened(source) as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _read_one(file, length, limit)


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, (str, Path)):
        with open_given(source)[0] as file:
            yield file
    else:
        yield source


@contextmanager
def _explained(source: Source, name: str | None, advice: str) -> Iterator[None]:
    named = place(source) if isinstance(source, (str, Path)) else "The file"
    named = named if name is None else place(name)
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidInputError(one_line(f"There is no file {named}; {advice}.")) from error
    except _RefusedError as error:
        raise InvalidInputError(one_line(f"{named} {error}; {advice}.")) from error
    except _DAMAGE as error:
        why = one_line(getattr(error, "strerror", None) or error or type(error).__name__, 80)
        raise InvalidInputError(one_line(f"{named} cannot be read ({why}); {advice}.")) from error


# ----------------------------------------------------------------------------------------------------------- archive
def _archive(file: IO[bytes]) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """The archive and its members by the names of their arrays. Its directory is bounded before it is read."""
    length = file.seek(0, io.SEEK_END)
    tail_length = min(length, _END.size + _LONGEST_COMMENT + _WIDE_LENGTH)
    file.seek(length - tail_length)
    tail = file.read(tail_length)
    end = tail.rfind(_END_MAGIC)
    if end < 0 or end + _END.size > len(tail):
        raise _RefusedError("is no .npz file of arrays")
    _, _, _, _, count, directory, _, _ = _END.unpack_from(tail, end)
    # Archives beyond 2 GB keep further numbers elsewhere; nothing that is read here is that large.
    if tail[max(end - _WIDE_LENGTH, 0) : end].startswith(_WIDE_MAGIC):
        raise _RefusedError("is an archive of more than 2 GB")
    if count > MAX_MEMBERS or directory > MAX_DIRECTORY:
        raise _RefusedError(f"is an archive of {count} files; at most {MAX_MEMBERS} are read")
    archive = zipfile.ZipFile(file)
    members: dict[str, zipfile.ZipInfo] = {}
    for item in archive.infolist():
        key = item.filename.removesuffix(".npy")
        if key in members:
            raise _RefusedError(f"holds {value(key)} twice")
        members[key] = item
    return archive, members


def _read_member(
    archive: zipfile.ZipFile, key: str, item: zipfile.ZipInfo, limit: ArrayLimit, file: IO[bytes]
) -> np.ndarray:
    try:
        if item.flag_bits & _ENCRYPTED:
            raise _RefusedError("is encrypted")
        if item.compress_type not in _METHODS:
            raise _RefusedError(f"is packed by method {item.compress_type}, which numpy.savez does not use")
        length = file.seek(0, io.SEEK_END)
        if item.compress_size > length or item.file_size > _DEFLATE_RATIO * item.compress_size + 64:
            raise _RefusedError("says a size that its file cannot hold")
        with archive.open(item) as member:
            return _read_one(member, item.file_size, limit)
    except _RefusedError as error:
        raise _RefusedError(f"cannot be used: {value(key)} {error}") from error
    except _DAMAGE as error:
        raise _RefusedError(f"is damaged at {value(key)} ({one_line(error, 80)})") from error


# ------------------------------------------------------------------------------------------------------------- array
def _read_one(file: IO[bytes], length: int, limit: ArrayLimit) -> np.ndarray:
    """The array in `file`, `length` bytes with its header; nothing may follow it."""
    header = _read_header(file)
    if header.dtype.kind not in limit.kinds:
        wanted = " or ".join(dict.fromkeys(_KINDS_SAID[kind] for kind in limit.kinds))
        raise _RefusedError(f"is of type {header.dtype}; {wanted} are needed")
    if limit.shape is not None and not _has_shape(header.shape, limit.shape):
        needed = ", ".join("any" if axis is None else str(axis) for axis in limit.shape)
        raise _RefusedError(f"has the shape {value(header.shape)}; ({needed}) is needed")
    if header.size > limit.size:
        raise _RefusedError(
            f"would take {header.size / 1e6:.5g} MB, shape {value(header.shape)}; "
            f"at most {limit.size / 1e6:.5g} MB are read"
        )
    if header.start + header.size != length:
        raise _RefusedError(f"has {length - header.start} bytes of numbers and should have {header.size}")
    numbers = np.empty(prod(header.shape), header.dtype)
    target = numbers.data.cast("B") if numbers.size else memoryview(b"")
    for start in range(0, header.size, BLOCK):
        _fill(file, target[start : start + BLOCK])
    # At its end an archive compares the sum of what was read.
    if file.read(1):
        raise _RefusedError("goes on behind its numbers")
    shaped = numbers.reshape(header.shape[::-1]).T if header.column_major else numbers.reshape(header.shape)
    return shaped.astype(header.dtype.newbyteorder("="), copy=False)


def _fill(file: IO[bytes], target: memoryview) -> None:
    done = 0
    while done < len(target):
        # Binary files have it, which the type of them all does not say.
        count = file.readinto(target[done:])  # type: ignore[attr-defined]
        if not count:
            raise _RefusedError("is cut short")
        done += count


def _has_shape(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))


def _read_header(file: IO[bytes]) -> _Header:
    start = file.read(8)
    if len(start) < 8 or not start.startswith(_MAGIC):
        raise _RefusedError("is no array")
    if start[6] not in (1, 2, 3):
        raise _RefusedError(f"is an array of version {start[6]}; versions 1 to 3 are read")
    wide = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(wide), "little")
    if length > MAX_HEADER:
        raise _RefusedError(f"has a header of {length} bytes; at most {MAX_HEADER} are read")
    text = file.read(length)
    if len(text) < length:
        raise _RefusedError("is cut short")
    stated = _literal(text.decode("latin-1"))
    if not isinstance(stated, dict) or stated.keys() != {"descr", "fortran_order", "shape"}:
        raise _RefusedError("has a header that is none of an array")
    shape, kind = stated["shape"], stated["descr"]
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_AXES
        or not all(type(side) is int and 0 <= side < 1 << 48 for side in shape)
    ):
        raise _RefusedError(f"has the shape {value(shape)}")
    found = _KIND.fullmatch(kind) if isinstance(kind, str) else None
    if found is None or int(found[3]) not in _SIZES[found[2]]:
        raise _RefusedError(f"is of type {value(kind)}; plain numbers are needed")
    if type(stated["fortran_order"]) is not bool:
        raise _RefusedError("has a header that is none of an array")
    return _Header(shape, np.dtype(kind), stated["fortran_order"], 8 + wide + length)


def _literal(text: str) -> object:
    """The Python literal that an array's header is, or None for what is none."""
    try:
        return ast.literal_eval(_LONG.sub("", text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
