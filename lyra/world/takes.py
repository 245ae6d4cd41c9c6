"""The takes of a world: every end that it can have, and what is not needed for the one that is its head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lyra.geometry.cameras import CHUNK_FRAMES
from lyra.world import parking
from lyra.world.chunks import Chunk
from lyra.world.files import FIGURES, list_files, remove_chunk, require_own
from lyra.world.folder import World
from lyra.world.tree import FIRST_FRAME


@dataclass(frozen=True)
class Take:
    """One end that the world can have: chunk `id`, or 0 for the first frame alone, with the line that leads to it.

    `frames` is the length of that line. `results` says whether splats and mesh of all of them are there,
    `unfinished` whether a path that was stopped goes on from there.
    """

    id: int
    parent: int | None
    frames: int
    seed: int
    prompt: str
    engine: str
    options: dict
    created: str
    head: bool
    on_line: bool
    results: bool
    unfinished: bool


@dataclass(frozen=True)
class Unneeded:
    """What the head does without: `chunks` that are not on its line, results and paths of the other `takes`.

    `size` in bytes.
    """

    chunks: tuple[int, ...]
    takes: tuple[int, ...]
    size: int


def list_takes(world: World) -> list[Take]:
    """Every end that the world can have, in order of their ids; the first is its first frame alone."""
    line = {FIRST_FRAME, *(chunk.id for chunk in world.chunks)}
    parked = parking.parked_takes(world.folder)
    with_results: set[int | None] = {world.results_owner()}
    with_results |= {take for take in parked if parking.parked_file(world.folder, take, FIGURES).is_file()}

    def take_of(chunk: Chunk | None) -> Take:
        settings = world.settings
        number = chunk.id if chunk else FIRST_FRAME
        return Take(
            id=number,
            parent=chunk.parent if chunk else None,
            frames=1 + CHUNK_FRAMES * (chunk.index if chunk else 0),
            seed=chunk.seed if chunk else settings.seed,
            prompt=chunk.prompt if chunk else "",
            engine=(chunk and chunk.engine) or settings.engine,
            options=chunk.options if chunk else {},
            created=chunk.created if chunk else settings.created,
            head=number == world.head,
            on_line=number in line,
            results=number in with_results,
            unfinished=world.is_unfinished(number),
        )

    return [take_of(chunk) for chunk in (None, *world.tree.chunks.values())]


def unneeded(world: World) -> Unneeded:
    """What `clean` removes."""
    folders, takes = _chunks_off_line(world), _other_takes(world)
    size = sum(size for folder in folders for _, size in list_files(folder).files)
    size += sum(path.stat().st_size for take in takes for path in parking.parked_files(world.folder, take))
    return Unneeded(tuple(int(folder.name) for folder in folders), tuple(takes), size)


def clean(world: World) -> Unneeded:
    """Removes the chunks that are not on the head's line, and what is parked of other takes than the head.

    Raises InvalidInputError where a chunk holds anything that this program did not write, InUseError while another
    process works on the world.
    """
    with world.exclusive():
        found, folders = unneeded(world), _chunks_off_line(world)
        for folder in folders:
            require_own(folder)
        for take in found.takes:
            parking.remove_parked(world.folder, take)
        for folder in folders:
            remove_chunk(folder)
        world.read_chunks()
        return found


def _chunks_off_line(world: World) -> list[Path]:
    """Folders of the chunks that are not on the head's line, the newest first: none is ever without its parent."""
    line = {chunk.id for chunk in world.chunks}
    others = [chunk.folder for chunk in world.tree.chunks.values() if chunk.id not in line]
    return sorted([*others, *world.tree.strays], reverse=True)


def _other_takes(world: World) -> list[int]:
    return [take for take in parking.parked_takes(world.folder) if take != world.head]
