"""Manifests: files with sizes and digests, and comparison with those on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lyra.common.errors import InvalidInputError
from lyra.common.files import whole_file
from lyra.common.json_file import read_object
from lyra.common.quoting import one_line, place, value

BLOCK = 1 << 22
LARGEST_MANIFEST = 16_000_000
# A download grows under its name with this behind it until it is whole and checked.
PARTIAL_SUFFIX = ".part"


@dataclass(frozen=True)
class FileEntry:
    """One file, `path` relative to the folder of the manifest with forward slashes.

    Digests are hexadecimal. `sha256` is of the content; `git_blob` is git's SHA-1 of a file that a repository does
    not keep in large-file storage. Both are None where the source states none.
    """

    path: str
    size: int
    sha256: str | None = None
    git_blob: str | None = None

    def contradicts(self, other: FileEntry) -> bool:
        """Whether the two state different contents. What one of them does not state is no contradiction."""
        pairs = (
            (self.size, other.size),
            (self.sha256, other.sha256),
            (self.git_blob, other.git_blob),
        )
        return any(a != b for a, b in pairs if a is not None and b is not None)

    def complaint(self, file: Path, on_bytes: Callable[[int], None] | None = None) -> str:
        """What is wrong with `file`, or "". The content is read when `on_bytes` is given, which hears how much."""
        if not file.is_file():
            return f"{file} is missing"
        size = file.stat().st_size
        if size != self.size:
            return f"{file} has {size} bytes and should have {self.size}"
        if on_bytes is None or not (self.sha256 or self.git_blob):
            return ""
        kind, expected = ("SHA-256", self.sha256) if self.sha256 else ("git SHA-1", self.git_blob)
        found = digest(file, "sha256" if self.sha256 else "git", on_bytes)
        return "" if found == expected else f"{file} has {kind} {found} and should have {expected}"


@dataclass(frozen=True)
class Manifest:
    """The files of one item at one revision of its source."""

    source: str
    revision: str
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)

    def absent(self, folder: Path) -> tuple[FileEntry, ...]:
        """Entries that `folder` lacks or has in another size. Cheap: nothing is read."""
        return tuple(entry for entry in self.files if entry.complaint(folder / entry.path))

    def complaints(self, folder: Path, on_bytes: Callable[[int], None]) -> Iterator[str]:
        """What is wrong with the files in `folder`; all of them are read."""
        for entry in self.files:
            complaint = entry.complaint(folder / entry.path, on_bytes)
            if complaint:
                yield complaint

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, file: Path) -> Manifest:
        """Raises InvalidInputError for a damaged file."""
        advice = "delete it and download the weights again"
        try:
            data = read_object(file, limit=LARGEST_MANIFEST, advice=advice)
            entries = tuple(_entry(stated) for stated in _required(data, "files", list))
            return cls(_required(data, "source", str), _required(data, "revision", str), entries)
        except FileNotFoundError as error:
            raise InvalidInputError(f"{place(file)} is missing; download the weights again.") from error
        except InvalidInputError:
            raise
        except ValueError as error:
            raise InvalidInputError(one_line(f"{place(file)} is damaged ({error}); {advice}.")) from error


def _required(data: object, key: str, kind: type) -> Any:
    """What stands under a key. Raises ValueError for another type, or nothing."""
    found = data.get(key) if isinstance(data, dict) else None
    if type(found) is not kind:
        raise ValueError(f"{key} is {value(found)}")
    return found


def _entry(stated: object) -> FileEntry:
    path, size = _required(stated, "path", str), _required(stated, "size", int)
    if not 0 <= size < 1 << 63:
        raise ValueError(f"{value(path)} has {value(size)} bytes")
    require_inside(path)
    digests = {
        key: _required(stated, key, str)
        for key in ("sha256", "git_blob")
        if isinstance(stated, dict) and stated.get(key) is not None
    }
    return FileEntry(path, size, **digests)


def partial(file: Path) -> Path:
    """Where the download of `file` grows."""
    return file.with_name(file.name + PARTIAL_SUFFIX)


def require_inside(path: str) -> None:
    """Raises InvalidInputError for a path that would leave its folder, whoever states it."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path or "\0" in path:
        raise InvalidInputError(f"The file name {value(path)} leads out of its folder; it is refused.")


def digest(file: Path, kind: str, on_bytes: Callable[[int], None]) -> str:
    """Hexadecimal digest of a file: `kind` "sha256", or "git" for git's SHA-1 of a blob."""
    if kind == "git":
        # git hashes a header with the size before the content.
        hasher = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        hasher = hashlib.sha256()
    with file.open("rb") as handle:
        while block := handle.read(BLOCK):
            hasher.update(block)
            on_bytes(len(block))
    return hasher.hexdigest()
