"""Says of weights on disk whether they are what they should be, file by file, without using them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_json
from lyra.common.progress import SILENT, Progress
from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.engines.readiness import network_config
from lyra.hub.catalog import CHECKPOINT, CONVERSIONS, ITEMS, LYRA2, item, needs
from lyra.hub.manifest import Manifest
from lyra.hub.packages import require_packages
from lyra.hub.safetensor_files import read_header, read_sharded_headers
from lyra.hub.weights import CONVERSION_MANIFEST, Weights, shards

# Tokenizers list their words in JSON.
LARGEST_JSON = 100_000_000
NEGATIVE = "lyra2-negative-prompt"
LORA_FOLDER = "checkpoints/lora/"


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
    weights: Weights, ids: Iterable[str] | None = None, quick: bool = False, progress: Progress = SILENT
) -> list[Finding]:
    """All that is wrong with items and conversions, by default with all that are there; empty when all is well.

    Every file must be there in its size and with its digest, safetensors files and indices whole, the network's keys
    and shapes complete, and what is no safetensors file must hold tensors only. `quick` leaves the digests out, which
    need all data to be read. Needs torch for what belongs to the network.
    """
    chosen = list(dict.fromkeys(present(weights) if ids is None else ids))
    for name in chosen:
        if name not in CONVERSIONS:
            item(name)
    if any(name in CONVERSIONS or ITEMS[name].repository == LYRA2 for name in chosen):
        require_packages(needs("lyra2").packages, "lyra2", "Checking the network's weights")
    total = max(sum(_size(weights, i) for i in chosen), 1)
    done = 0

    def count(number: int) -> None:
        nonlocal done
        done += number
        progress.update("verify", min(done / total, 1.0))

    findings = []
    for chosen_id in chosen:
        progress.update("verify", min(done / total, 1.0))
        check = _conversion_problems if chosen_id in CONVERSIONS else _item_problems
        findings += [Finding(chosen_id, problem) for problem in check(weights, chosen_id, quick, count)]
    return findings


def _size(weights: Weights, chosen_id: str) -> int:
    if chosen_id in CONVERSIONS:
        file = weights.conversion(chosen_id) / CONVERSION_MANIFEST
        return Manifest.read(file).size if file.is_file() else 0
    manifest = weights.manifest(chosen_id)
    return manifest.size if manifest else 0


def _item_problems(weights: Weights, item_id: str, quick: bool, count) -> Iterator[str]:
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
    for file in files:
        # One complaint a file: a file of the wrong size has no readable header either.
        if file not in damaged:
            yield from _told(lambda file=file: _check_file(folder / file))
    if item_id == CHECKPOINT and files and not damaged:
        yield from _told(lambda: _check_network(weights.place(entry)))
    if entry.path.startswith(LORA_FOLDER) and files and not damaged and not quick:
        yield from _told(lambda: _check_lora(weights, weights.place(entry)))
    if item_id == NEGATIVE and files and not damaged:
        yield from _told(lambda: _check_negative(weights))


def _conversion_problems(weights: Weights, conversion_id: str, quick: bool, count) -> Iterator[str]:
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
    if not complaints:
        yield from _told(lambda: _check_converted(folder, conversion_id))


def _told(check) -> Iterator[str]:
    """The message of what `check` refuses, if it does."""
    try:
        check()
    except InvalidInputError as error:
        yield str(error)


def _check_file(file: Path) -> None:
    if file.suffix == ".safetensors":
        read_header(file)
    elif file.name.endswith(".safetensors.index.json"):
        for name in shards(file):
            if not (file.parent / name).is_file():
                raise InvalidInputError(f"{file.parent / name} is missing, which {file.name} names.")
    elif file.suffix == ".json":
        read_json(file, limit=LARGEST_JSON, advice="download it again")


def _check_network(checkpoint: Path) -> None:
    """Keys and shapes of the published checkpoint, from its metadata."""
    from lyra.engines.lyra2.conversion import match_keys, network_shapes
    from lyra.engines.lyra2.metadata import read_metadata

    found = {key: stored.shape for key, stored in read_metadata(checkpoint).items()}
    match_keys(checkpoint, found, network_shapes(NetworkConfig.beside(checkpoint)))


def _check_lora(weights: Weights, file: Path) -> None:
    """That it fits the network, layer by layer."""
    from lyra.engines.lyra2.conversion import network_shapes
    from lyra.engines.lyra2.lora import check_fits, read_lora

    check_fits(file, read_lora(file), network_shapes(network_config(weights)))


def _check_negative(weights: Weights) -> None:
    from lyra.engines.lyra2.pretrained import REPAIR
    from lyra.engines.lyra2.text import load_negative_embedding

    try:
        load_negative_embedding(weights.place(item(NEGATIVE)), network_config(weights).text_dim)
    except InvalidInputError as error:
        # Its advice is to run what is running.
        raise InvalidInputError(
            str(error).replace(REPAIR, f"delete it and run: lyra models download {NEGATIVE}")
        ) from error


def _check_converted(folder: Path, conversion_id: str) -> None:
    """Keys, shapes and types of a conversion, from its headers."""
    from lyra.engines.lyra2.conversion import SAFETENSORS_TYPES, expected_types, network_shapes

    found = read_sharded_headers(folder)
    shapes = network_shapes(NetworkConfig.read(folder / CONFIG))
    types = expected_types(shapes, conversion_id)
    expected = {key: (SAFETENSORS_TYPES[types[key]], shape) for key, shape in shapes.items()}
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            raise InvalidInputError(
                f"{folder}: {key!r} is {found.get(key, 'missing')} and should be {expected.get(key, 'absent')}; delete "
                "the folder and convert again."
            )
