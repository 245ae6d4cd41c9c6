"""The world folder: one image, then a tree of whole chunks of 80 frames. Its layout: docs/conventions.md."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.common.files import inside, is_link, require_space, whole_file, whole_folder
from lyra.common.locks import only_one
from lyra.common.progress import SILENT, Progress
from lyra.common.temporary import sweep
from lyra.formats.ply_writer import write_elements
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.geometry.views import View
from lyra.media import video
from lyra.world import parking, walkthrough
from lyra.world.chunks import WATCHABLE, Chunk, ChunkFrames, read_optional_json, read_shaped
from lyra.world.files import (
    CHUNKS,
    FIGURES,
    LOCK_FILE,
    PACKED,
    RESULT_FILES,
    RESULTS,
    WALKTHROUGH,
    WORLD_FILE,
    list_files,
    remove_file,
    require_folders,
    sweep_beside,
    sweep_world,
)
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions
from lyra.world.plan import FACTS, Plan
from lyra.world.settings import FORMAT_VERSION, MAX_SCALE, Head, WorldSettings, now
from lyra.world.tree import FIRST_FRAME, ChunkTree
from lyra.world.views import WorldViews

# Frames as FFV1 take at most about 2 bytes a pixel and depth takes 2.
BYTES_PER_PIXEL = 4


def require_new_folder(folder: Path) -> None:
    """Raises InvalidInputError where a world folder cannot be made without overwriting something."""
    if is_link(folder):
        raise InvalidInputError(f"{folder} is a link; choose a folder that does not exist yet.")
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; choose a folder that does not exist yet.")
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} exists and is not empty; choose another folder.")


def no_other_process(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds a world folder's lock for a block. Raises InUseError while another process works on the world."""
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is not there any more; it was moved or deleted.")
    return only_one(folder / LOCK_FILE, f"Work on the world {folder}")


class World:
    """A world folder. Open an existing one with `open`, make one with `create`.

    Its chunks are a `tree`; `chunks` are those on the line from the first frame to the `head`, which is what the world
    shows. `switch` and `revert` show another line and lose nothing. The folder itself may be a link; what is in it is
    neither read nor written through one.
    """

    def __init__(self, folder: Path, settings: WorldSettings):
        self.folder = folder
        self.settings = settings
        self.tree = ChunkTree({})
        self.head = FIRST_FRAME
        self.chunks: list[Chunk] = []
        self._exclusive = False
        self.read_chunks()

    @classmethod
    def open(cls, folder: str | Path) -> World:
        """Raises InvalidInputError when there is no world, a newer one, or a damaged one."""
        folder = Path(folder)
        if is_link(folder) and not folder.exists():
            raise InvalidInputError(
                f"{folder} is a link to {folder.readlink()}, which is not there; connect the disk that holds it."
            )
        path = inside(folder, WORLD_FILE)
        if not path.is_file():
            wrong = "its world.json is a folder" if path.is_dir() else "it has no world.json"
            raise InvalidInputError(f"{folder} is no world folder: {wrong}.")
        return cls(folder, WorldSettings.read(path))

    @classmethod
    def create(
        cls, folder: Path, settings: WorldSettings, view: View, source: Path, points: np.ndarray
    ) -> World:
        """Writes a new world of one frame; `points` is the structured array of `seed_points.ply`."""
        require_new_folder(folder)
        if folder.exists():
            folder.rmdir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(folder.parent)
        require_space(folder.parent, source.stat().st_size + 16 * view.depth.size)
        with whole_folder(folder) as temporary:
            shutil.copyfile(source, temporary / f"source{source.suffix.lower()}")
            Image.fromarray(view.image).save(temporary / "seed.png")
            np.savez_compressed(temporary / "seed.npz", depth=view.depth, intrinsics=view.intrinsics)
            write_elements(temporary / "seed_points.ply", vertex=points)
            (temporary / CHUNKS).mkdir()
            (temporary / RESULTS).mkdir()
            settings.write(temporary / WORLD_FILE)
        return cls(folder, settings)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps other processes from working on this world; inside such a block, a further one changes nothing.

        What another process has added or removed by then is read first, and what killed ones left is removed. Raises
        InUseError while one works on it, InvalidInputError where a link would lead what is written elsewhere.
        """
        if self._exclusive:
            yield
            return
        with no_other_process(self.folder):
            self._exclusive = True
            try:
                require_folders(self.folder)
                sweep_beside(self.folder.parent)
                sweep_world(self.folder)
                self.settings = WorldSettings.read(inside(self.folder, WORLD_FILE))
                self.read_chunks()
                parking.recover(self.folder, self.head)
                Plan.sweep(self.folder)
                yield
            finally:
                self._exclusive = False

    def read_chunks(self) -> None:
        """Looks anew at which chunks there are."""
        self.tree = ChunkTree.read(self.folder, (self.height, self.width))
        self.head = self.tree.head(self.settings.head)
        self.chunks = self.tree.line(self.head)

    @property
    def id(self) -> str:
        return self.settings.id

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def engine(self) -> str:
        return self.settings.engine

    @property
    def height(self) -> int:
        return self.settings.height

    @property
    def width(self) -> int:
        return self.settings.width

    @property
    def notes(self) -> list[str]:
        return self.settings.notes

    @property
    def frames(self) -> int:
        return 1 + CHUNK_FRAMES * len(self.chunks)

    @property
    def last_w2c(self) -> np.ndarray:
        """World-to-camera (4, 4) of the head's last frame."""
        return self.chunks[-1].load_trajectory().w2c[-1] if self.chunks else np.eye(4)

    @property
    def intrinsics(self) -> np.ndarray:
        """Intrinsics (3, 3) of frame 0."""
        return read_shaped(inside(self.folder, "seed.npz"), {"intrinsics": (3, 3)})["intrinsics"]

    @property
    def walkthrough(self) -> Path:
        return self.folder / WALKTHROUGH

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    @property
    def figures(self) -> Path:
        """What the last reconstruction reached; written last, once all its files are whole."""
        return self.folder / FIGURES

    @property
    def packed(self) -> Path:
        """Where the service packs what leaves this world, in metres."""
        return self.folder / PACKED

    @property
    def reconstructed(self) -> bool:
        """Whether the results are whole and of all frames."""
        figures = self.load_figures()
        return figures is not None and figures.get("frames") == self.frames

    def load_figures(self) -> dict | None:
        """The figures; None where results are not whole, or links. Raises InvalidInputError for damaged ones."""
        if is_link(self.results) or is_link(self.figures):
            return None
        return read_optional_json(inside(self.folder, FIGURES))

    def rescale(self, scale: float) -> None:
        """Sets how many metres a unit of this world is; its files stay as they are. Raises InvalidInputError.

        What was packed at the old scale is removed.
        """
        if not (np.isfinite(scale) and 0 < scale < MAX_SCALE):
            raise InvalidInputError(f"The scale {scale} is not possible; give a positive number such as 1.0.")
        self._remove_packed()
        self._change_settings(scale=float(scale))
        # What was being packed looks at the scale once more when it is there.
        self._remove_packed()

    def _remove_packed(self) -> None:
        remove_file(self.folder, PACKED)
        parking.remove_exports(self.folder)

    def _change_settings(self, **changes: Any) -> None:
        """Writes world.json; what another process has changed in it meanwhile stays."""
        path = inside(self.folder, WORLD_FILE)
        self.settings = replace(WorldSettings.read(path), **changes)
        with whole_file(path) as temporary:
            self.settings.write(temporary)

    def clear_results(self) -> None:
        """Makes room for new results: the head's are removed, figures first, those of an earlier chunk are parked.

        Files of other names stay.
        """
        self._clear_results(removed=self.head)

    def _clear_results(self, removed: int | None = None) -> None:
        """Parks the results in place for the take that they are of; removes unfinished ones and those of `removed`."""
        # Not every program that copies or clears a world keeps an empty folder.
        inside(self.folder, RESULTS).mkdir(exist_ok=True)
        owner = self.results_owner()
        if owner not in (None, removed):
            parking.park(self.folder, owner, RESULT_FILES)
        for name in RESULT_FILES:
            remove_file(self.folder, name)

    def results_owner(self) -> int | None:
        """Id of the chunk whose results are in place, None where there are no whole ones.

        It is the head or, as long as that has none, a chunk before it.
        """
        try:
            figures = self.load_figures() or {}
        except InvalidInputError:
            # They are damaged.
            return None
        line = [FIRST_FRAME, *(chunk.id for chunk in self.chunks)]
        owners = {1 + CHUNK_FRAMES * index: take for index, take in enumerate(line)}
        frames = figures.get("frames")
        return owners.get(frames) if isinstance(frames, int) else None

    def seed_view(self) -> View:
        shapes = {"depth": (self.height, self.width), "intrinsics": (3, 3)}
        data = read_shaped(inside(self.folder, "seed.npz"), shapes)
        return View.at_origin(self._first_image(), data["depth"], data["intrinsics"])

    def trajectory(self) -> Trajectory:
        """The cameras of all frames, 1 + 80k."""
        seed = Trajectory(np.eye(4)[None], self.intrinsics[None], self.height, self.width)
        return Trajectory.joined([seed, *(chunk.load_trajectory() for chunk in self.chunks)])

    def views(self) -> WorldViews:
        """All frames with cameras and depth, loaded a chunk at a time."""
        return WorldViews(self.seed_view(), self.chunks)

    def add_chunk(
        self,
        trajectory: Trajectory,
        chunk: ChunkFrames,
        prompt: str,
        seed: int,
        seconds: float,
        job: str | None = None,
        options: EngineOptions = DEFAULT_OPTIONS,
    ) -> Chunk:
        """Writes a chunk that follows the head, whole or not at all; it becomes the head.

        `prompt`, `seed` and `options` of the engine are remembered with it, the `seconds` that it took, and `job`, the
        id of the service's job that it was made for.
        """
        require_folders(self.folder)
        sweep(self.folder / CHUNKS, unmarked=lambda path: True)
        index, chunk_id = len(self.chunks) + 1, self.tree.free_id(self.settings.head)
        if chunk_id != self.head + 1 and self.settings.format_version < FORMAT_VERSION:
            # Older releases would take it for one that follows the chunk numbered before it.
            self._change_settings(format_version=FORMAT_VERSION)
        target = self.folder / CHUNKS / f"{chunk_id:04d}"
        state_bytes = sum(array.nbytes for array in chunk.state.values())
        require_space(self.folder, chunk.depth.size * BYTES_PER_PIXEL + state_bytes)
        with whole_folder(target) as folder:
            trajectory.save(folder / "trajectory.npz")
            video.write_lossless(folder / "frames.mkv", chunk.frames)
            walkthrough.encode_part(folder / WATCHABLE, index, chunk.frames, self._first_image())
            np.savez(folder / "depth.npz", depth=chunk.depth.astype(np.float16))
            if chunk.state:
                np.savez_compressed(folder / "state.npz", **chunk.state)
            facts = {
                "parent": self.head,
                "prompt": prompt,
                "seed": seed,
                "engine": self.engine,
                "options": {
                    key: given for key, given in asdict(options).items() if given not in (None, False)
                },
                "seconds": round(seconds, 2),
                "created": now(),
            }
            if job is not None:
                facts["job"] = job
            if chunk.notes:
                facts["notes"] = list(chunk.notes)
            (folder / "chunk.json").write_text(json.dumps(facts, indent=2), "utf-8")
        added = Chunk.open(target, (self.height, self.width)).at(index)
        self.tree.chunks[chunk_id] = added
        self.head = chunk_id
        self.chunks.append(added)
        return added

    def revert(self, chunks: int, progress: Progress = SILENT) -> list[str]:
        """Moves the head back to the `chunks`-th chunk of its line; otherwise as `switch`, also in what it raises."""
        with self.exclusive():
            if not 0 <= chunks <= len(self.chunks):
                raise InvalidInputError(
                    f"The world has {len(self.chunks)} chunks; it cannot be reverted to {chunks}."
                )
            return self._move_head(self.chunks[chunks - 1].id if chunks else FIRST_FRAME, progress)

    def switch(self, take: int, progress: Progress = SILENT, *, with_walkthrough: bool = True) -> list[str]:
        """Makes chunk `take` the head, 0 for the first frame alone; returns notes for the user.

        Nothing is lost: results, walkthrough and unfinished path of the head are parked, and come back when it is the
        head again. A walkthrough that there never was is written, unless `with_walkthrough` is False because chunks are
        added at once. Raises InvalidInputError for a take that there is not, InUseError while another process works on
        the world, CancelledError from `progress` while the walkthrough is written, which the next switch makes up for.
        """
        with self.exclusive():
            return self._move_head(take, progress, with_walkthrough)

    def _move_head(self, take: int, progress: Progress, with_walkthrough: bool = True) -> list[str]:
        self.tree.line(take)
        notes = []
        if take != self.head:
            if self.is_unfinished(self.head):
                notes.append(
                    f"The unfinished path of take {self.head} stays with it: `lyra switch {self.folder} {self.head}` "
                    f"and `lyra resume {self.folder}` go on."
                )
            self._park()
            newest = max(self.tree.newest, self.settings.head.newest if self.settings.head else 0)
            self._change_settings(head=Head(take, newest), format_version=FORMAT_VERSION)
            self.read_chunks()
            parking.unpark(self.folder, take)
            if self.is_unfinished(take):
                notes.append(f"Take {take} has an unfinished path; `lyra resume {self.folder}` goes on.")
        if with_walkthrough and self.chunks and not self.walkthrough.exists():
            self.write_walkthrough(progress)
        progress.update("done", 1.0)
        return notes

    def _park(self) -> None:
        """Puts aside what is in place of the head and the chunks before it."""
        self._clear_results()
        # One of fewer frames, as a stopped run leaves it, is joined anew from the chunks.
        whole = not is_link(self.walkthrough) and video.frame_count(self.walkthrough) == self.frames
        parking.park(self.folder, self.head, (*([WALKTHROUGH] if whole else []), *parking.PLAN_FILES))
        remove_file(self.folder, WALKTHROUGH)

    def is_unfinished(self, take: int) -> bool:
        """Whether a path that was stopped goes on from a take."""
        if take == self.head:
            return inside(self.folder, FACTS).exists()
        return parking.parked_file(self.folder, take, FACTS).is_file()

    def ending_at(self, take: int) -> World:
        """This world as it is when `take` is its head, to be read alone. Raises InvalidInputError as `switch`."""
        other = copy.copy(self)
        other.head, other.chunks = take, self.tree.line(take)
        return other

    def write_walkthrough(self, progress: Progress = SILENT) -> None:
        """Writes walkthrough.mp4 of all chunks; a world of one frame has none. Raises CancelledError."""
        if self.chunks:
            walkthrough.write(self.walkthrough, self.chunks, self._first_image(), progress)
        else:
            remove_file(self.folder, WALKTHROUGH)

    def _first_image(self) -> np.ndarray:
        path = inside(self.folder, "seed.png")
        try:
            with Image.open(path, formats=("PNG",)) as image:
                if image.size != (self.width, self.height):
                    raise ValueError(f"{image.width}x{image.height} pixels, not {self.width}x{self.height}")
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InvalidInputError(f"{path} cannot be read ({error}); restore it from a copy.") from error

    def save_plan(self, plan: Plan) -> None:
        """Remembers the path under way: whoever holds the folder can resume an interrupted run."""
        plan.save(self.folder)

    def load_plan(self) -> Plan | None:
        """The path that an interrupted run left, or None."""
        return Plan.load(self.folder)

    def clear_plan(self) -> None:
        Plan.clear(self.folder)

    def files(self) -> list[tuple[str, int]]:
        """Relative POSIX path and size of every finished file, sorted; without names that are no Unicode."""
        return list_files(self.folder).files
