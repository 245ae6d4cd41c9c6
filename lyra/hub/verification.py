"""Verification of weights on disk, file by file, without using them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_json
from lyra.common.progress import SILENT, Progress
from lyra.hub.catalog import CONVERSIONS, ITEMS, item
from lyra.hub.manifest import Manifest
from lyra.hub.onnx_files import check_onnx
from lyra.hub.safetensor_files import read_header
from lyra.hub.weights import CONVERSION_MANIFEST, Weights, shards

# Tokenizers list their words in JSON.
LARGEST_JSON = 100_000_000
# Looks into the whole files of an item or a conversion; raises InvalidInputError for what they must not hold.
ContentCheck = Callable[[], None]


@dataclass(frozen=True)
class Finding:
    """What is wrong with an item or a conversion; the message quotes the file and says what to do."""

    id: str
    problem: str


def present(weights: Weights) -> list[str]:
    """Items and conversions of which something is there: what `verify` looks at when nothing is named."""
    items = [i for i, entry in ITEMS.items() if weights.manifest(i) or weights.files(entry)]
    return items + [c for c in CONVERSIONS if weights.conversion(c).is_dir()]


def verify(
    weights: Weights,
    ids: Iterable[str] | None = None,
    quick: bool = False,
    progress: Progress = SILENT,
    checks: Mapping[str, ContentCheck] | None = None,
) -> list[Finding]:
    """All that is wrong with items and conversions, by default with all that are there; empty when all is well.

    Every file must be there in its size and with its digest, safetensors and ONNX files and indices whole. `quick`
    leaves the digests out, which need all data to be read. `checks` look further into items and conversions, by their
    ids, whose files are good as far as that goes; an engine hands in those of its networks.
    """
    chosen = list(dict.fromkeys(present(weights) if ids is None else ids))
    for name in chosen:
        if name not in CONVERSIONS:
            item(name)
    checks = checks or {}
    total = max(sum(_size(weights, i) for i in chosen), 1)
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress.update("verify", min(done / total, 1.0))

    findings = []
    for chosen_id in chosen:
        progress.update("verify", min(done / total, 1.0))
        look = _conversion_problems if chosen_id in CONVERSIONS else _item_problems
        problems = look(weights, chosen_id, quick, count, checks.get(chosen_id))
        findings += [Finding(chosen_id, problem) for problem in problems]
    return findings


def _size(weights: Weights, chosen_id: str) -> int:
    if chosen_id in CONVERSIONS:
        file = weights.conversion(chosen_id) / CONVERSION_MANIFEST
        return Manifest.read(file).size if file.is_file() else 0
    manifest = weights.manifest(chosen_id)
    return manifest.size if manifest else 0


def _item_problems(
    weights: Weights, item_id: str, quick: bool, count: Callable[[int], None], check: ContentCheck | None
) -> Iterator[str]:
    entry, manifest = item(item_id), weights.manifest(item_id)
    folder = weights.repository(entry.repository)
    again = f"Delete it and run: lyra models download {item_id}"
    damaged = set()
    for file in manifest.files if manifest else ():
        complaint = file.complaint(folder / file.path, None if quick else count)
        if complaint:
            damaged.add(file.path)
            yield f"{complaint}. {again}"
    files = weights.files(entry)
    if not manifest:
        yield from (f"{folder} has no {name!r} of {entry.label}. {again}" for name in entry.lacks(files))
    for name in files:
        # One complaint a file: a file of the wrong size has no readable header either.
        if name not in damaged:
            yield from _told(partial(_check_file, folder / name))
    if check and files and not damaged:
        yield from _told(check)


def _conversion_problems(
    weights: Weights,
    conversion_id: str,
    quick: bool,
    count: Callable[[int], None],
    check: ContentCheck | None,
) -> Iterator[str]:
    folder = weights.conversion(conversion_id)
    again = f"Delete the folder and run: lyra models convert --dtype {conversion_id.removeprefix('lyra2-')}"
    if not (folder / CONVERSION_MANIFEST).is_file():
        yield f"{folder} is no whole conversion. {again}"
        return
    complaints = [
        complaint
        for entry in Manifest.read(folder / CONVERSION_MANIFEST).files
        if (complaint := entry.complaint(folder / entry.path, None if quick else count))
    ]
    yield from (f"{complaint}. {again}" for complaint in complaints)
    if check and not complaints:
        yield from _told(check)


def _told(check: ContentCheck) -> Iterator[str]:
    """The message of what `check` refuses, if it does."""
    try:
        check()
    except InvalidInputError as error:
        yield str(error)


def _check_file(file: Path) -> None:
    if file.suffix == ".safetensors":
        read_header(file)
    elif file.suffix == ".onnx":
        check_onnx(file)
    elif file.name.endswith(".safetensors.index.json"):
        for name in shards(file):
            if not (file.parent / name).is_file():
                raise InvalidInputError(f"{file.parent / name} is missing, which {file.name} names.")
    elif file.suffix == ".json":
        read_json(file, limit=LARGEST_JSON, advice="download it again")
