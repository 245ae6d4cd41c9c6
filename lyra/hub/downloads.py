"""Downloads of weights: resumable, cancellable, checked by size and digest."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from lyra.common.errors import CancelledError, EngineNotReadyError
from lyra.common.files import disk_full_explained, require_space, retry_while_locked, sync
from lyra.common.locks import only_one
from lyra.common.progress import SILENT, Progress
from lyra.hub.catalog import Item, item
from lyra.hub.licences import AcceptedLicences
from lyra.hub.manifest import FileEntry, Manifest, partial
from lyra.hub.revisions import pinned_revision
from lyra.hub.sources import Source
from lyra.hub.weights import Weights

# Files fetched at the same time; a single connection to the hub is slower than most lines.
CONNECTIONS = 4
POLL_SECONDS = 0.2
# Share of the progress that reading everything again for its digest gets.
CHECK_SHARE = 0.1
SPARE_BYTES = 500_000_000


@dataclass(frozen=True)
class _Wanted:
    """One file to fetch: where it belongs and where it comes from."""

    repository: str
    revision: str
    entry: FileEntry
    target: Path


def download(
    item_ids: Iterable[str],
    weights: Weights,
    source: Source,
    licences: AcceptedLicences | None = None,
    progress: Progress = SILENT,
    newest: bool = False,
) -> int:
    """Brings items of the catalogue into the weights folder; returns how many bytes were fetched.

    They come from the pinned revision of their repository (lyra.hub.revisions), with `newest` from its newest one.

    Whole files stay as they are, begun ones are continued. The disk is checked first. `progress` counts bytes and
    may raise to stop; what is there by then is kept. Raises EngineNotReadyError when a licence is not accepted, the
    source does not have a file, or what came is not what the source stated; InUseError when another process downloads
    into the same folder; DiskFullError when it would not fit.
    """
    entries = [item(item_id) for item_id in dict.fromkeys(item_ids)]
    (licences or AcceptedLicences()).require(entry.licence for entry in entries)
    with only_one(weights.root / ".lyra-download.lock", f"A download into {weights.root}"):
        return _download(entries, weights, source, progress, newest)


def _download(entries: list[Item], weights: Weights, source: Source, progress: Progress, newest: bool) -> int:
    listings: dict[str, Manifest] = {}
    wanted: list[_Wanted] = []
    for entry in entries:
        progress.update("listing", 0.0)
        if entry.repository not in listings:
            listings[entry.repository] = source.listing(
                entry.repository, None if newest else pinned_revision(entry.repository, weights)
            )
        manifest = _select(listings[entry.repository], entry.id)
        folder = weights.repository(entry.repository)
        _forget_outdated(weights.manifest(entry.id), manifest, folder)
        manifest.write(weights.manifest_file(entry.id))
        wanted += [
            _Wanted(entry.repository, manifest.revision, file, folder / file.path)
            for file in manifest.absent(folder)
        ]
    begun = sum(_size(partial(file.target)) for file in wanted)
    total = sum(file.entry.size for file in wanted)
    if wanted:
        require_space(weights.root, total - begun + SPARE_BYTES)
    _fetch_all(wanted, source, begun, total, progress)
    progress.update("download", 1.0)
    return total - begun


def _select(listing: Manifest, item_id: str) -> Manifest:
    """The files of an item among those of its repository."""
    entry = item(item_id)
    files = tuple(file for file in listing.files if entry.holds(file.path))
    lacking = entry.lacks([file.path for file in files])
    if lacking:
        raise EngineNotReadyError(
            f"{listing.source} has no {lacking[0]!r} of {entry.label} ({entry.repository}); the repository may have "
            "changed: update lyra-worlds, or use another source."
        )
    return replace(listing, files=files)


def _forget_outdated(known: Manifest | None, newest: Manifest, folder: Path) -> None:
    """Deletes files, whole and begun, whose digest the source now states differently.

    Without this a file of the same size from an older revision would count as whole, or be continued with the
    bytes of another.
    """
    now = {file.path: file for file in newest.files}
    for old in known.files if known else ():
        if old.path in now and now[old.path].contradicts(old):
            (folder / old.path).unlink(missing_ok=True)
            partial(folder / old.path).unlink(missing_ok=True)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


class _Tally:
    """Bytes fetched and checked, counted by all threads; how they hear that the user wants to stop."""

    def __init__(self, total: int, begun: int):
        self.total, self.stop = max(total, 1), threading.Event()
        self._lock = threading.Lock()
        self._fetched, self._checked = begun, 0

    def fetched(self, number: int) -> None:
        self._count(number, 0)

    def checked(self, number: int) -> None:
        self._count(0, number)

    def _count(self, fetched: int, checked: int) -> None:
        if self.stop.is_set():
            raise CancelledError("download")
        with self._lock:
            self._fetched += fetched
            self._checked += checked

    @property
    def fraction(self) -> float:
        return ((1 - CHECK_SHARE) * self._fetched + CHECK_SHARE * self._checked) / self.total


def _fetch_all(wanted: list[_Wanted], source: Source, begun: int, total: int, progress: Progress) -> None:
    """Several files at a time; progress and cancel are handled in the caller's thread."""
    tally = _Tally(total, begun)
    # Biggest first, so that no single large file is left for the end.
    queue = sorted(wanted, key=lambda file: -file.entry.size)
    with ThreadPoolExecutor(CONNECTIONS, "download") as pool:
        futures = {pool.submit(_fetch, file, source, tally) for file in queue}
        try:
            while futures:
                finished, futures = wait(futures, timeout=POLL_SECONDS)
                for future in finished:
                    future.result()
                progress.update("download", tally.fraction)
        except BaseException:
            tally.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch(file: _Wanted, source: Source, tally: _Tally) -> None:
    """One file: continue it, check it, give it its name. A file that fails its check is thrown away."""
    tally.fetched(0)
    growing = partial(file.target)
    growing.parent.mkdir(parents=True, exist_ok=True)
    with disk_full_explained(file.target), growing.open("ab") as target:
        if target.tell() > file.entry.size:
            tally.fetched(-target.tell())
            # Where a file that is appended to stands does not follow its end by itself.
            target.seek(target.truncate(0))
        if target.tell() < file.entry.size:
            source.fetch(file.repository, file.revision, file.entry, target, tally.fetched)
    size = growing.stat().st_size
    if size < file.entry.size:
        # Not every line that breaks says so. What came may be gigabytes, and is checked with the rest.
        raise EngineNotReadyError(
            f"{growing} has {size} of {file.entry.size} bytes: the answer for {file.repository} was cut short; "
            "download again. What is downloaded is kept."
        )
    complaint = file.entry.complaint(growing, tally.checked)
    if complaint:
        growing.unlink()
        raise EngineNotReadyError(
            f"{complaint}: what came is not what {file.repository} states. It was deleted; download again."
        )
    sync(growing)
    retry_while_locked(growing.replace, file.target)
