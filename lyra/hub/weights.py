"""The weights folder and its contents."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.folders import cache_folder, expanded
from lyra.common.json_file import read_object
from lyra.common.quoting import place, value
from lyra.hub.catalog import CHECKPOINT, CONVERSIONS, Item, item, needs
from lyra.hub.manifest import PARTIAL_SUFFIX, Manifest, partial

ENVIRONMENT_VARIABLE = "LYRA_WEIGHTS"
MANIFESTS = ".lyra"
CONVERTED = "converted"
CONVERSION_MANIFEST = f"{MANIFESTS}/manifest.json"
LARGEST_INDEX = 16_000_000
INDEX = "diffusion_pytorch_model.safetensors.index.json"


@dataclass(frozen=True)
class Weights:
    """The weights folder. Downloads lie in `<owner>--<name>/` as in their repository, conversions in `converted/`.

    `root` is the environment variable LYRA_WEIGHTS or the user's cache folder when it is not given.
    """

    root: Path

    def __init__(self, root: str | Path | None = None):
        chosen = root or os.environ.get(ENVIRONMENT_VARIABLE)
        object.__setattr__(self, "root", expanded(chosen) if chosen else cache_folder() / "weights")

    def repository(self, repository_id: str) -> Path:
        """Folder of a repository's files."""
        return self.root / repository_id.replace("/", "--")

    def path(self, item_id: str) -> Path:
        """Folder or file of an item of the catalogue, or of a conversion ("lyra2-bf16", "lyra2-fp8").

        Raises EngineNotReadyError, naming the command that fetches or makes it, when it is not whole.
        """
        if item_id in CONVERSIONS:
            if not self.has(item_id):
                dtype = item_id.removeprefix("lyra2-")
                raise EngineNotReadyError(
                    f"The Lyra 2.0 network is not there as {dtype} in {self.conversion(item_id)}; make it with: "
                    f"lyra models convert --dtype {dtype}"
                )
            return self.conversion(item_id)
        entry = item(item_id)
        if not self.has(item_id):
            raise EngineNotReadyError(
                f"{entry.label} is not whole in {self.repository(entry.repository)}; get it with: "
                f"lyra models download {item_id}"
            )
        return self.place(entry)

    def place(self, entry: Item) -> Path:
        """Where an item lies or would lie."""
        return self.repository(entry.repository) / entry.path

    def conversion(self, conversion_id: str) -> Path:
        """Where a conversion lies or would lie."""
        return self.root / CONVERTED / conversion_id

    def has(self, item_id: str) -> bool:
        """Whether an item or a conversion is whole: all files there, in the right size. Nothing is read."""
        if item_id in CONVERSIONS:
            return self._conversion_is_whole(self.conversion(item_id))
        return not self.missing_bytes(item_id)

    def missing_bytes(self, item_id: str) -> int:
        """What is still to be downloaded of an item; 0 when it is whole, about its size when nothing is there.

        Files that were put there by hand, without a manifest, count when all required names are there.
        """
        entry = item(item_id)
        folder = self.repository(entry.repository)
        manifest = self.manifest(item_id)
        if manifest is not None:
            return sum(
                absent.size - self._begun(folder / absent.path, absent.size)
                for absent in manifest.absent(folder)
            )
        return entry.size if entry.lacks(self.files(entry)) or self._lacks_shards(entry) else 0

    def size(self, item_id: str) -> int:
        """Bytes of an item: as its download stated them, else about."""
        manifest = self.manifest(item_id)
        return manifest.size if manifest else item(item_id).size

    def files(self, entry: Item) -> list[str]:
        """Files of an item that are there, relative to its repository's folder, sorted."""
        folder = self.repository(entry.repository)
        place = folder / entry.path
        start = place if place.is_dir() else folder / PurePosixPath(entry.path).parent
        found = (file.relative_to(folder).as_posix() for file in start.rglob("*") if file.is_file())
        return sorted(file for file in found if entry.holds(file) and not file.endswith(PARTIAL_SUFFIX))

    def manifest_file(self, item_id: str) -> Path:
        return self.repository(item(item_id).repository) / MANIFESTS / f"{item_id}.json"

    def manifest(self, item_id: str) -> Manifest | None:
        """What a download of this item consists of; None for files that were put there by hand, or not at all."""
        file = self.manifest_file(item_id)
        return Manifest.read(file) if file.is_file() else None

    def missing(self, name: str) -> tuple[str, ...]:
        """Items that an engine, depth model or add-on lacks.

        The float32 checkpoint is not needed any more once the network is converted.
        """
        converted = self.usable_conversion(name) is not None
        return tuple(i for i in needs(name).items if not (converted and i == CHECKPOINT) and not self.has(i))

    def usable_conversion(self, name: str) -> str | None:
        """The best conversion of the network that an engine can use and that is whole, or None."""
        return next((i for i in needs(name).conversions if self.has(i)), None)

    @staticmethod
    def _begun(file: Path, size: int) -> int:
        begun = partial(file)
        return min(begun.stat().st_size, size) if begun.is_file() else 0

    def _lacks_shards(self, entry: Item) -> bool:
        """Whether an index of shards names files that are not there."""
        folder = self.repository(entry.repository)
        for file in self.files(entry):
            if file.endswith(".safetensors.index.json"):
                index = folder / file
                if any(not (index.parent / shard).is_file() for shard in shards(index)):
                    return True
        return False

    @staticmethod
    def _conversion_is_whole(folder: Path) -> bool:
        file = folder / CONVERSION_MANIFEST
        return file.is_file() and not Manifest.read(file).absent(folder)


def shards(index: Path) -> tuple[str, ...]:
    """File names in a safetensors index, sorted. Raises InvalidInputError for a damaged index."""
    return tuple(sorted(set(shard_places(index).values())))


def shard_places(index: Path) -> dict[str, str]:
    """File name of each key in a safetensors index. Raises InvalidInputError for a damaged index."""
    advice = "download or convert it again"
    try:
        places = read_object(index, limit=LARGEST_INDEX, advice=advice).get("weight_map")
    except FileNotFoundError as error:
        raise InvalidInputError(f"{place(index)} is missing; {advice}.") from error
    if not isinstance(places, dict):
        raise InvalidInputError(f"{place(index)} is damaged (weight_map is {value(places)}); {advice}.")
    for name in places.values():
        if not isinstance(name, str) or not name or Path(name).name != name or "\\" in name:
            raise InvalidInputError(
                f"{place(index)} names the file {value(name)}, which leads out of its folder; {advice}."
            )
    return places
