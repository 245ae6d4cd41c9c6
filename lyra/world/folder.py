"""The world folder: one image, then whole chunks of 80 frames. Its layout stands in docs/conventions.md."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

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
from lyra.world import walkthrough
from lyra.world.chunks import WATCHABLE, Chunk, ChunkFrames, read_json, read_shaped
from lyra.world.files import (
    CHUNKS,
    FIGURES,
    LOCK_FILE,
    PACKED,
    RESULT_FILES,
    RESULTS,
    WORLD_FILE,
    chunk_folders,
    list_files,
    remove_chunk,
    remove_file,
    require_folders,
    require_own,
    sweep_beside,
    sweep_world,
)
from lyra.world.plan import Plan
from lyra.world.settings import MAX_SCALE, WorldSettings, now
from lyra.world.views import WorldViews

WALKTHROUGH = "walkthrough.mp4"
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

    The folder itself may be a link; what is in it is neither read nor written through one.
    """

    def __init__(self, folder: Path, settings: WorldSettings):
        self.folder = folder
        self.settings = settings
        self.chunks: list[Chunk] = []
        self._exclusive = False
        self._read_chunks()

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
                self._sweep()
                self._read_chunks()
                yield
            finally:
                self._exclusive = False

    def _read_chunks(self) -> None:
        size = (self.height, self.width)
        self.chunks = [Chunk.open(path, size) for path in chunk_folders(self.folder)]

    def _sweep(self) -> None:
        sweep_beside(self.folder.parent)
        sweep_world(self.folder)
        Plan.sweep(self.folder)

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
        """World-to-camera (4, 4) of the newest frame."""
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
        return read_json(inside(self.folder, FIGURES), optional=True)

    def rescale(self, scale: float) -> None:
        """Sets how many metres a unit of this world is; its files stay as they are. Raises InvalidInputError.

        What was packed at the old scale is removed.
        """
        if not (np.isfinite(scale) and 0 < scale < MAX_SCALE):
            raise InvalidInputError(f"The scale {scale} is not possible; give a positive number such as 1.0.")
        remove_file(self.folder, PACKED)
        self.settings = replace(self.settings, scale=float(scale))
        with whole_file(self.folder / WORLD_FILE) as path:
            self.settings.write(path)
        # What was being packed looks at the scale once more when it is there.
        remove_file(self.folder, PACKED)

    def clear_results(self) -> None:
        """Removes what was reconstructed, its figures first; files of other names stay."""
        # Not every program that copies or clears a world keeps an empty folder.
        inside(self.folder, RESULTS).mkdir(exist_ok=True)
        for name in RESULT_FILES:
            remove_file(self.folder, name)

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
    ) -> Chunk:
        """Writes the next chunk, whole or not at all; `job` is the id of the service's job that it was made for."""
        require_folders(self.folder)
        sweep(self.folder / CHUNKS, unmarked=lambda path: True)
        index = len(self.chunks) + 1
        target = self.folder / CHUNKS / f"{index:04d}"
        state_bytes = sum(array.nbytes for array in chunk.state.values())
        require_space(self.folder, chunk.depth.size * BYTES_PER_PIXEL + state_bytes)
        with whole_folder(target) as folder:
            trajectory.save(folder / "trajectory.npz")
            video.write_lossless(folder / "frames.mkv", chunk.frames)
            walkthrough.encode_part(folder / WATCHABLE, index, chunk.frames, self._first_image())
            np.savez(folder / "depth.npz", depth=chunk.depth.astype(np.float16))
            if chunk.state:
                np.savez_compressed(folder / "state.npz", **chunk.state)
            facts = {"prompt": prompt, "seed": seed, "seconds": round(seconds, 2), "created": now()}
            if job is not None:
                facts["job"] = job
            if chunk.notes:
                facts["notes"] = list(chunk.notes)
            (folder / "chunk.json").write_text(json.dumps(facts, indent=2), "utf-8")
        self.chunks.append(Chunk.open(target, (self.height, self.width)))
        return self.chunks[-1]

    def revert(self, chunks: int) -> None:
        """Keeps the first `chunks` chunks; what was made from the removed ones goes too.

        Raises InvalidInputError for more than there are, InUseError while another process works on the world.
        """
        with self.exclusive():
            self._revert(chunks)

    def _revert(self, chunks: int) -> None:
        if not 0 <= chunks <= len(self.chunks):
            raise InvalidInputError(
                f"The world has {len(self.chunks)} chunks; it cannot be reverted to {chunks}."
            )
        if chunks == len(self.chunks) and (self.walkthrough.exists() or not self.chunks):
            return
        for chunk in self.chunks[chunks:]:
            require_own(chunk.folder)
        if chunks < len(self.chunks):
            self.clear_plan()
            # First of all: when this is stopped, nothing may stand beside the world that shows what it has no longer.
            remove_file(self.folder, WALKTHROUGH)
            self.clear_results()
        while len(self.chunks) > chunks:
            remove_chunk(self.chunks.pop().folder)
        self.write_walkthrough()

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

    def summary(self) -> dict:
        """What the backend's World resource says, without its state."""
        return {
            "id": self.id,
            "name": self.name,
            "engine": self.engine,
            "created": self.settings.created,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "intrinsics": self.intrinsics.tolist(),
            "last_w2c": self.last_w2c.tolist(),
            "scale": self.settings.scale,
            "seed": self.settings.seed,
            "depth_source": self.settings.depth_source,
            "license": self.settings.license,
            "notes": self.notes,
            "folder": str(self.folder.resolve()),
            "chunks": [
                {"index": chunk.index, "prompt": chunk.prompt, "seed": chunk.seed, "seconds": chunk.seconds}
                for chunk in self.chunks
            ],
            "files": [{"path": path, "size": size} for path, size in self.files()],
            "results": self.load_figures(),
        }
