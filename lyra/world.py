"""The world folder: one image, then whole chunks of 80 frames. Its layout stands in docs/conventions.md."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import get_origin, get_type_hints

import numpy as np
from PIL import Image

from lyra import video, walkthrough
from lyra.chunks import WATCHABLE, Chunk, Plan, read_arrays, read_json
from lyra.engines.base import ChunkFrames, EngineOptions, SeedView
from lyra.errors import InvalidInputError
from lyra.files import TEMPORARY_PREFIX, remove_partials, require_space, whole_file, whole_folder
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.geometry.views import View
from lyra.locks import only_one
from lyra.progress import SILENT, Progress

FORMAT_VERSION = 1
LOCK_FILE = ".lyra.lock"
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{3,63}")
# Frames as FFV1 take at most about 2 bytes a pixel and depth takes 2.
BYTES_PER_PIXEL = 4
MAX_SCALE = 1e6


def require_new_folder(folder: Path) -> None:
    """Raises InvalidInputError where a world folder cannot be made without overwriting something."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInputError(f"{folder} is a file; choose a folder that does not exist yet.")
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(f"{folder} exists and is not empty; choose another folder.")


def no_other_process(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds a world folder's lock for a block. Raises InUseError while another process works on the world."""
    return only_one(folder / LOCK_FILE, f"Work on the world {folder}")


@dataclass(frozen=True)
class WorldSettings:
    """What world.json holds. `scale` is metres per unit; `license` says what may be done with the outputs."""

    id: str
    name: str
    engine: str
    height: int
    width: int
    seed: int
    depth_source: str
    license: str
    created: str
    scale: float = 1.0
    notes: list[str] = field(default_factory=list)
    format_version: int = FORMAT_VERSION

    def check(self, path: Path) -> None:
        """Raises InvalidInputError when the file `path` held something of another type."""
        for key, kind in get_type_hints(type(self)).items():
            value = getattr(self, key)
            wanted = (int, float) if kind is float else get_origin(kind) or kind
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise InvalidInputError(f"{path} is damaged: {key} is {value!r}.")
        if min(self.height, self.width) < 1:
            raise InvalidInputError(f"{path} is damaged: the size is {self.width}x{self.height}.")


def new_id(name: str) -> str:
    """A readable world id: the name in small letters and digits, and eight random hexadecimal digits."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{words or 'world'}-{secrets.token_hex(4)}"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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
        data = read_json(path)
        version = data.get("format_version")
        if not isinstance(version, int):
            raise InvalidInputError(
                f"{path} has format_version {version!r}; it is damaged or no world of ours."
            )
        if version > FORMAT_VERSION:
            raise InvalidInputError(
                f"{folder} was made by a newer Lyra Worlds (world format {version}, this one reads up to "
                f"{FORMAT_VERSION}); update lyra-worlds to open it."
            )
        try:
            settings = WorldSettings(**data)
        except TypeError as error:
            raise InvalidInputError(f"{path} is damaged: {error}.") from error
        settings.check(path)
        return cls(folder, settings)

    @classmethod
    def create(
        cls, folder: Path, settings: WorldSettings, view: SeedView, source: Path, points: np.ndarray
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
            (temporary / "world.json").write_text(json.dumps(asdict(settings), indent=2), "utf-8")
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
        self.packed.unlink(missing_ok=True)
        self.settings = replace(self.settings, scale=float(scale))
        with whole_file(self.folder / "world.json") as path:
            path.write_text(json.dumps(asdict(self.settings), indent=2), "utf-8")
        # What was being packed looks at the scale once more when it is there.
        self.packed.unlink(missing_ok=True)

    def clear_results(self) -> None:
        """Removes what was reconstructed, its figures first."""
        # Not every program that copies or clears a world keeps an empty folder.
        self.results.mkdir(exist_ok=True)
        self.figures.unlink(missing_ok=True)
        for stale in self.results.iterdir():
            if stale.is_file() or stale.is_symlink():
                stale.unlink()

    def seed_view(self) -> SeedView:
        data = read_arrays(self.folder / "seed.npz", "depth", "intrinsics")
        return SeedView(self._first_image(), data["depth"], data["intrinsics"])

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
            self.walkthrough.unlink(missing_ok=True)
            self.clear_results()
        remove_partials(self.folder / "chunks")
        for chunk in reversed(self.chunks[chunks:]):
            # Renamed first: a chunk must never be half there.
            doomed = chunk.folder.with_name(f"{TEMPORARY_PREFIX}{chunk.folder.name}")
            chunk.folder.rename(doomed)
            self.chunks.pop()
            shutil.rmtree(doomed)
        self.write_walkthrough()

    def write_walkthrough(self, progress: Progress = SILENT) -> None:
        """Writes walkthrough.mp4 of all chunks; a world of one frame has none. Raises CancelledError."""
        if self.chunks:
            walkthrough.write(self.walkthrough, self.chunks, self._first_image(), progress)
        else:
            self.walkthrough.unlink(missing_ok=True)

    def _first_image(self) -> np.ndarray:
        with Image.open(self.folder / "seed.png") as image:
            return np.asarray(image.convert("RGB"))

    def save_plan(self, plan: Plan) -> None:
        """Remembers the path under way: whoever holds the folder can resume an interrupted run."""
        with whole_file(self.folder / "pending.npz") as path:
            plan.trajectory.save(path)
        facts = {
            "first_chunk": plan.first_chunk,
            "seed": plan.seed,
            "captions": {str(key): text for key, text in plan.captions.items()},
            "options": asdict(plan.options),
        }
        with whole_file(self.folder / "pending.json") as path:
            path.write_text(json.dumps(facts, indent=2), "utf-8")

    def load_plan(self) -> Plan | None:
        """The path that an interrupted run left, or None."""
        path = self.folder / "pending.json"
        if not path.exists():
            return None
        data = read_json(path)
        try:
            captions = {int(key): str(text) for key, text in data["captions"].items()}
            trajectory = Trajectory.load(self.folder / "pending.npz")
            # Older plans have none.
            options = EngineOptions(**data.get("options", {})).checked()
            return Plan(trajectory, int(data["first_chunk"]), captions, int(data["seed"]), options)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(
                f"{path} is damaged ({error}); delete it and extend the world again."
            ) from error

    def clear_plan(self) -> None:
        (self.folder / "pending.json").unlink(missing_ok=True)
        (self.folder / "pending.npz").unlink(missing_ok=True)

    def files(self) -> list[tuple[str, int]]:
        """Relative POSIX path and size of every finished file, sorted."""
        found = []
        for folder, subfolders, names in os.walk(self.folder):
            subfolders[:] = [name for name in subfolders if not name.startswith(TEMPORARY_PREFIX)]
            for name in names:
                if name == LOCK_FILE:
                    continue
                path = Path(folder, name)
                # A job may replace or remove files while they are listed.
                with contextlib.suppress(FileNotFoundError):
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


class WorldViews(Sequence[View]):
    """The frames of a world as views; the chunk read last stays in memory."""

    def __init__(self, world: World):
        self._world = world
        self._seed = world.seed_view()
        self._loaded: tuple[int, np.ndarray, np.ndarray, Trajectory] | None = None

    def __len__(self) -> int:
        return self._world.frames

    def __getitem__(self, index: int) -> View:
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index == 0:
            return View(0, self._seed.image, self._seed.depth, np.eye(4), self._seed.intrinsics)
        number, offset = divmod(index - 1, CHUNK_FRAMES)
        if self._loaded is None or self._loaded[0] != number:
            chunk = self._world.chunks[number]
            self._loaded = (number, chunk.load_frames(), chunk.load_depth(), chunk.load_trajectory())
        _, frames, depth, trajectory = self._loaded
        # Copies: whoever keeps a view would keep the whole chunk otherwise.
        return View(
            index,
            frames[offset].copy(),
            depth[offset].copy(),
            trajectory.w2c[offset],
            trajectory.intrinsics[offset],
        )


def _write_points(path: Path, points: np.ndarray) -> None:
    from plyfile import PlyData, PlyElement

    PlyData([PlyElement.describe(points, "vertex")], text=False).write(str(path))
