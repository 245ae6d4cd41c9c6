"""Download sources: the Hugging Face hub, or a local mirror of its repositories."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.folders import expanded
from lyra.common.quoting import one_line, place, value
from lyra.hub.manifest import BLOCK, PARTIAL_SUFFIX, FileEntry, Manifest, require_inside
from lyra.hub.packages import require_packages

MIRROR_VARIABLE = "LYRA_MIRROR"
CHECKSUMS = "SHA256SUMS"
LARGEST_CHECKSUMS = 16_000_000
SHA256 = re.compile("[0-9a-fA-F]{64}")

OnBytes = Callable[[int], None]


class Source(Protocol):
    """Lists repositories and hands out their files."""

    def listing(self, repository_id: str, revision: str | None = None) -> Manifest:
        """All files of a repository at a revision, by default its newest; a mirror has one only.

        Raises EngineNotReadyError when it cannot be had.
        """
        ...

    def fetch(
        self, repository_id: str, revision: str, entry: FileEntry, target: BinaryIO, on_bytes: OnBytes
    ) -> None:
        """Appends to `target` what it lacks of a file; `on_bytes` hears of each piece and may raise to stop."""
        ...


def choose_source(mirror: str | Path | None = None) -> Source:
    """The mirror that was given or that LYRA_MIRROR names, else the hub."""
    chosen = mirror or os.environ.get(MIRROR_VARIABLE)
    return MirrorSource(expanded(chosen)) if chosen else HubSource()


class MirrorSource:
    """A folder with repositories as `<owner>--<name>/`: another machine's weights folder, or a share.

    A file SHA256SUMS in a repository's folder (lines of digest and path, as sha256sum writes them) is what the copies
    are checked against. Raises InvalidInputError when the folder is not there.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise InvalidInputError(
                f"The mirror {folder} is no folder; give one that holds <owner>--<name> folders."
            )
        self.folder = folder

    def listing(self, repository_id: str, revision: str | None = None) -> Manifest:
        folder = self._repository(repository_id)
        if not folder.is_dir():
            raise EngineNotReadyError(
                f"The mirror {self.folder} has no {folder.name}; copy the repository {repository_id} there, or "
                "download without a mirror."
            )
        digests = read_checksums(folder / CHECKSUMS)
        files = sorted(
            file
            for file in folder.rglob("*")
            if file.is_file() and file.name != CHECKSUMS and file.suffix != PARTIAL_SUFFIX
        )
        entries = []
        for file in files:
            path = file.relative_to(folder).as_posix()
            entries.append(FileEntry(path, file.stat().st_size, digests.pop(path, None)))
        if digests:
            raise EngineNotReadyError(
                f"{folder / CHECKSUMS} names {min(digests)!r}, which the mirror does not have; complete the mirror."
            )
        return Manifest(str(self.folder), "mirror", tuple(entries))

    def fetch(
        self, repository_id: str, revision: str, entry: FileEntry, target: BinaryIO, on_bytes: OnBytes
    ) -> None:
        with (self._repository(repository_id) / entry.path).open("rb") as source:
            source.seek(target.tell())
            while block := source.read(BLOCK):
                target.write(block)
                on_bytes(len(block))

    def _repository(self, repository_id: str) -> Path:
        return self.folder / repository_id.replace("/", "--")


def read_checksums(file: Path) -> dict[str, str]:
    """Path to SHA-256 of a SHA256SUMS file; empty when there is none. Raises InvalidInputError for another layout."""
    if not file.is_file():
        return {}
    digests = {}
    try:
        with file.open("rb") as handle:
            text = handle.read(LARGEST_CHECKSUMS).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{place(file)} cannot be read ({one_line(error, 80)}); write it with sha256sum."
        ) from error
    for number, line in enumerate(text.splitlines(), 1):
        digest, _, path = line.partition(" ")
        path = path.lstrip(" *")
        if not SHA256.fullmatch(digest) or not path:
            raise InvalidInputError(
                f"{place(file)}, line {number}: {value(line)} is no SHA-256 and path; write it with sha256sum."
            )
        require_inside(path)
        digests[path] = digest.lower()
    return digests


class HubSource:
    """The Hugging Face hub, through the package huggingface_hub.

    Its settings hold: HF_TOKEN or a stored login for gated repositories, HF_HUB_OFFLINE, HF_ENDPOINT. Files come by
    ranged HTTP requests, because the package's own file download begins anew after a stop, which is too dear for
    shards of several gigabytes. Raises EngineNotReadyError when the package is missing or offline mode is on.
    """

    def __init__(self, endpoint: str | None = None):
        require_packages(["huggingface_hub"], "", "Downloading")
        from huggingface_hub.constants import HF_HUB_OFFLINE

        if HF_HUB_OFFLINE:
            raise EngineNotReadyError(
                "HF_HUB_OFFLINE is set, so nothing is downloaded; unset it, or name a folder with --mirror."
            )
        self.endpoint = endpoint

    def listing(self, repository_id: str, revision: str | None = None) -> Manifest:
        from huggingface_hub import HfApi

        with _hub_errors_explained(repository_id):
            info = HfApi(endpoint=self.endpoint).model_info(
                repository_id, revision=revision, files_metadata=True
            )
        entries = []
        for sibling in info.siblings or ():
            require_inside(sibling.rfilename)
            sha256 = sibling.lfs.sha256 if sibling.lfs else None
            size = sibling.lfs.size if sibling.lfs else sibling.size
            entries.append(
                FileEntry(sibling.rfilename, size or 0, sha256, None if sha256 else sibling.blob_id)
            )
        return Manifest(repository_id, info.sha or "main", tuple(entries))

    def fetch(
        self, repository_id: str, revision: str, entry: FileEntry, target: BinaryIO, on_bytes: OnBytes
    ) -> None:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(repository_id, entry.path, revision=revision, endpoint=self.endpoint)
        with _hub_errors_explained(repository_id):
            # The size is checked by the caller. Given here, it would make the package refuse plain HTTP for files
            # of more than 50 GB.
            http_get(
                url,
                # The package writes, seeks, tells and truncates, nothing else.
                cast(BinaryIO, _Counting(target, on_bytes)),
                resume_size=target.tell(),
                headers=build_hf_headers(),
                tqdm_class=_NoBar,
            )


class _Counting(io.RawIOBase):
    """A file that tells of every piece written to it, and takes pieces back when the server begins anew."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes):
        self._file, self._on_bytes = file, on_bytes

    def write(self, piece: Any) -> int:
        written = self._file.write(piece)
        self._on_bytes(len(piece))
        return written

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = self._file.tell()
        after = self._file.seek(offset, whence)
        self._on_bytes(after - before)
        return after

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)


class _NoBar:
    """Stands where huggingface_hub wants a progress bar; the bytes are counted as they are written."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self, count: int) -> None:
        pass


@contextmanager
def _hub_errors_explained(repository_id: str) -> Iterator[None]:
    """Turns what the hub and the network refuse into an EngineNotReadyError with the next step."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except GatedRepoError as error:
        raise EngineNotReadyError(
            f"The repository {repository_id} is gated: ask for access on its page, then put a token of your account "
            "into HF_TOKEN (or run: hf auth login) and download again."
        ) from error
    except RepositoryNotFoundError as error:
        raise EngineNotReadyError(
            f"The hub does not show {repository_id} to this user. If it is private or gated, put a token of an account "
            "with access into HF_TOKEN (or run: hf auth login) and download again."
        ) from error
    except RevisionNotFoundError as error:
        raise EngineNotReadyError(
            f"The hub no longer has the revision of {repository_id} that is pinned. Download again with --newest to "
            "take what is there now; worlds made before may not continue exactly."
        ) from error
    except HfHubHTTPError as error:
        raise EngineNotReadyError(
            f"The hub refused {repository_id} ({str(error).splitlines()[0]}); try again later. What is downloaded is "
            "kept."
        ) from error
    except HTTPError as error:
        raise EngineNotReadyError(
            f"The hub cannot be reached for {repository_id} ({error}); check the connection and download again. What "
            "is downloaded is kept."
        ) from error
    except OSError as error:
        # The package's own complaint about a short answer carries no number; what the system refuses does.
        if error.errno is not None:
            raise
        raise EngineNotReadyError(
            f"The hub's answer for {repository_id} was cut short ({str(error).splitlines()[0]}); download again. What "
            "is downloaded is kept."
        ) from error
