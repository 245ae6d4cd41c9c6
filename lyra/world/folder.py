"""The world folder: one image, then whole chunks of 80 frames. Its layout stands in docs/conventions.md."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.common.files import (
    TEMPORARY_PREFIX,
    patiently,
    remove_partials,
    require_space,
    whole_file,
    whole_folder,
)
from lyra.common.locks import only_one
from lyra.common.progress import SILENT, Progress
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.geometry.views import View
from lyra.media import video
from lyra.world import walkthrough
from lyra.world.chunks import WATCHABLE, Chunk, ChunkFrames, read_arrays, read_json
from lyra.world.plan import Plan
from lyra.world.settings import MAX_SCALE, WorldSettings, now
from lyra.world.views import WorldViews

LOCK_FILE = ".lyra.lock"
# Frames as FFV1 take at most about 2 bytes a pixel and depth takes 2.
BYTES_PER_PIXEL = 4


def require_new_folder(folder: Path) -> None:
    """Raises InvalidInputError where a world folder cannot be made without overwriting something."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; choose a folder that does not exist yet.")
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} exists and is not empty; choose another folder.")


def no_other_process(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds a world folder's lock for a block. Raises InUseError while another process works on the world."""
    return only_one(folder / LOCK_FILE, f"Work on the world {folder}")


class World:
    """A world folder. Open an existing one with `open`, make one with `create`."""

    def __init__(self, folder: Path, settings: WorldSettings):
        self.folder = folder
        self.settings = settings
        self.chunks: list[Chunk] = []
        self._alone = False
        self._read_chunks()

    @classmethod
    def open(cls, folder: str | Path) -> World:
        """Raises InvalidInputError when there is no world, a newer one, or a damaged one."""
        folder = Path(folder)
        path = folder / "world.json"
        if not path.is_file():
            raise InvalidInputError(f"{folder} is no world folder: it has no world.json.")
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
        require_space(folder.parent, source.stat().st_size + 16 * view.depth.size)
        with whole_folder(folder) as temporary:
            shutil.copyfile(source, temporary / f"source{source.suffix.lower()}")
            Image.fromarray(view.image).save(temporary / "seed.png")
            np.savez_compressed(temporary / "seed.npz", depth=view.depth, intrinsics=view.intrinsics)
            _write_points(temporary / "seed_points.ply", points)
            (temporary / "chunks").mkdir()
            (temporary / "results").mkdir()
            settings.write(temporary / "world.json")
        return cls(folder, settings)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from working on this world; inside such a block, a further one changes nothing.

        What another process has added or removed by then is read first. Raises InUseError while one works on it.
        """
        if self._alone:
            yield
            return
        with no_other_process(self.folder):
            self._alone = True
            try:
                self._read_chunks()
                yield
            finally:
                self._alone = False

    def _read_chunks(self) -> None:
        folders = sorted(path for path in (self.folder / "chunks").glob("[0-9]" * 4) if path.is_dir())
        whole = [path for number, path in enumerate(folders, 1) if int(path.name) == number]
        self.chunks = [Chunk.open(path) for path in whole]

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
        return read_arrays(self.folder / "seed.npz", "intrinsics")["intrinsics"]

    @property
    def walkthrough(self) -> Path:
        return self.folder / "walkthrough.mp4"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def figures(self) -> Path:
        """What the last reconstruction reached; written last, once all its files are whole."""
        return self.results / "results.json"

    @property
    def packed(self) -> Path:
        """Where the service packs what leaves this world, in metres."""
        return self.results / "export.zip"

    @property
    def reconstructed(self) -> bool:
        """Whether the results are whole and of all frames."""
        figures = read_json(self.figures, optional=True)
        return figures is not None and figures.get("frames") == self.frames

    def rescale(self, scale: float) -> None:
        """Sets how many metres a unit of this world is; its files stay as they are. Raises InvalidInputError.

        What was packed at the old scale is removed.
        """
        if not (np.isfinite(scale) and 0 < scale < MAX_SCALE):
            raise InvalidInputError(f"The scale {scale} is not possible; give a positive number such as 1.0.")
        patiently(self.packed.unlink, missing_ok=True)
        self.settings = replace(self.settings, scale=float(scale))
        with whole_file(self.folder / "world.json") as path:
            self.settings.write(path)
        # What was being packed looks at the scale once more when it is there.
        patiently(self.packed.unlink, missing_ok=True)

    def clear_results(self) -> None:
        """Removes what was reconstructed, its figures first."""
        # Not every program that copies or clears a world keeps an empty folder.
        self.results.mkdir(exist_ok=True)
        patiently(self.figures.unlink, missing_ok=True)
        for stale in self.results.iterdir():
            if stale.is_file() or stale.is_symlink():
                patiently(stale.unlink)

    def seed_view(self) -> View:
        data = read_arrays(self.folder / "seed.npz", "depth", "intrinsics")
        return View.at_origin(self._first_image(), data["depth"], data["intrinsics"])

    def trajectory(self) -> Trajectory:
        """The cameras of all frames, 1 + 80k."""
        seed = Trajectory(np.eye(4)[None], self.intrinsics[None], self.height, self.width)
        return Trajectory.joined([seed, *(chunk.load_trajectory() for chunk in self.chunks)])

    def views(self) -> WorldViews:
        """All frames with cameras and depth, loaded a chunk at a time."""
        return WorldViews(self)

    def add_chunk(
        self, trajectory: Trajectory, chunk: ChunkFrames, prompt: str, seed: int, seconds: float
    ) -> Chunk:
        """Writes the next chunk, whole or not at all."""
        remove_partials(self.folder / "chunks")
        index = len(self.chunks) + 1
        target = self.folder / "chunks" / f"{index:04d}"
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
            if chunk.notes:
                facts["notes"] = list(chunk.notes)
            (folder / "chunk.json").write_text(json.dumps(facts, indent=2), "utf-8")
        self.chunks.append(Chunk.open(target))
        return self.chunks[-1]

    def revert(self, chunks: int) -> None:
        """Keeps the first `chunks` chunks; what was made from the removed ones goes too.

        Raises InvalidInputError for more than there are, InUseError while another process works on the world.
        """
        with self.alone():
            self._revert(chunks)

    def _revert(self, chunks: int) -> None:
        if not 0 <= chunks <= len(self.chunks):
            raise InvalidInputError(
                f"The world has {len(self.chunks)} chunks; it cannot be reverted to {chunks}."
            )
        if chunks == len(self.chunks) and (self.walkthrough.exists() or not self.chunks):
            return
        if chunks < len(self.chunks):
            self.clear_plan()
            # First of all: when this is stopped, nothing may stand beside the world that shows what it has no longer.
            patiently(self.walkthrough.unlink, missing_ok=True)
            self.clear_results()
        remove_partials(self.folder / "chunks")
        for chunk in reversed(self.chunks[chunks:]):
            # Renamed first: a chunk must never be half there.
            doomed = chunk.folder.with_name(f"{TEMPORARY_PREFIX}{chunk.folder.name}")
            patiently(chunk.folder.rename, doomed)
            self.chunks.pop()
            shutil.rmtree(doomed)
        self.write_walkthrough()

    def write_walkthrough(self, progress: Progress = SILENT) -> None:
        """Writes walkthrough.mp4 of all chunks; a world of one frame has none. Raises CancelledError."""
        if self.chunks:
            walkthrough.write(self.walkthrough, self.chunks, self._first_image(), progress)
        else:
            patiently(self.walkthrough.unlink, missing_ok=True)

    def _first_image(self) -> np.ndarray:
        with Image.open(self.folder / "seed.png") as image:
            return np.asarray(image.convert("RGB"))

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
        found = []
        for folder, subfolders, names in os.walk(self.folder):
            subfolders[:] = [name for name in subfolders if not name.startswith(TEMPORARY_PREFIX)]
            for name in names:
                if name == LOCK_FILE:
                    continue
                path = Path(folder, name)
                # A job may replace or remove files while they are listed.
                with contextlib.suppress(FileNotFoundError, UnicodeEncodeError):
                    str(path).encode()
                    facts = path.lstat()
                    if stat.S_ISREG(facts.st_mode) and not name.startswith(TEMPORARY_PREFIX):
                        found.append((path.relative_to(self.folder).as_posix(), facts.st_size))
        return sorted(found)

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
            "results": read_json(self.figures, optional=True),
        }


def _write_points(path: Path, points: np.ndarray) -> None:
    from plyfile import PlyData, PlyElement

    PlyData([PlyElement.describe(points, "vertex")], text=False).write(str(path))
