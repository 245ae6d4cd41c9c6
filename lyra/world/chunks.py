"""The chunks of a world: frames as an engine makes them, and as they lie in the world folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from lyra.common import arrays_file, json_file
from lyra.common.arrays_file import ArrayLimit, read_last
from lyra.common.errors import InvalidInputError
from lyra.common.files import inside
from lyra.common.quoting import one_line, place
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.media import video

WATCHABLE = "frames.mp4"
# Bytes of what an engine keeps beside a chunk: a share for each pixel of its frames, and something to begin with.
STATE_PER_PIXEL, STATE_BYTES = 16, 64_000_000
MAX_SIDE = 8192
MEND = "restore it from a copy, or make the world again"
# Of 100 megapixels in float64.
LAST_DEPTH = ArrayLimit(800_000_000)


@dataclass(frozen=True)
class Chunk:
    """80 frames on disk: frames 80 (index - 1) + 1 ... 80 index of every line that it is on.

    `parent` is the id of the chunk that it follows, 0 for the world's first frame. `engine` and `options` say what
    made it; chunks of older versions do not. `job` is the id of the service's job that it was made for. `folder` is no
    link, and no link in it is followed. `size` is the world's (height, width); where it is not known, the largest
    possible one bounds what is read.
    """

    folder: Path
    index: int
    prompt: str
    seed: int
    seconds: float
    size: tuple[int, int] | None = None
    job: str | None = None
    parent: int = 0
    engine: str = ""
    options: dict = field(default_factory=dict)
    created: str = ""

    @classmethod
    def open(cls, folder: Path, size: tuple[int, int] | None = None) -> Chunk:
        """The chunk in `folder`, named by its id, as one of a plain sequence (`at` says another place).

        Raises InvalidInputError for a damaged one.
        """
        data = read_json(inside(folder, "chunk.json"))
        try:
            number = int(folder.name)
            return cls(
                folder,
                number,
                str(data["prompt"]),
                int(data["seed"]),
                float(data["seconds"]),
                size,
                None if data.get("job") is None else str(data["job"]),
                # Of version 1, in which each followed the one before it.
                _parent(data.get("parent", number - 1), number),
                str(data.get("engine", "")),
                dict(data.get("options", {})),
                str(data.get("created", "")),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInputError(
                one_line(
                    f"{place(folder / 'chunk.json')} is damaged ({one_line(error, 80)}); delete the folder "
                    f"{folder.name}: the world then ends before it."
                )
            ) from error

    @property
    def id(self) -> int:
        """Its number in the world, which no other chunk has or had; the name of its folder."""
        return int(self.folder.name)

    def at(self, index: int) -> Chunk:
        """The same chunk as the `index`-th, from 1, after the first frame."""
        return replace(self, index=index)

    @property
    def watchable(self) -> Path:
        """Its part of the walkthrough, encoded; the first chunk's begins with frame 0. Older worlds have none."""
        return self.folder / WATCHABLE

    def load_trajectory(self) -> Trajectory:
        return Trajectory.load(inside(self.folder, "trajectory.npz"), fitted=True)

    def load_frames(self) -> np.ndarray:
        """(80, H, W, 3) uint8 sRGB."""
        return video.read_lossless(inside(self.folder, "frames.mkv"))

    def load_depth(self) -> np.ndarray:
        """(80, H, W) float32 z-depth, inf where there is sky."""
        shape = (CHUNK_FRAMES, *(self.size or (None, None)))
        return read_shaped(inside(self.folder, "depth.npz"), {"depth": shape})["depth"].astype(np.float32)

    def load_last_depth(self) -> np.ndarray:
        """(H, W) float32 z-depth of its last frame, without the memory of all of them."""
        path = inside(self.folder, "depth.npz")
        return read_last(path, "depth", LAST_DEPTH, advice="restore it from a copy").astype(np.float32)

    def load_state(self) -> dict[str, np.ndarray]:
        """What the engine left for `restore`; empty when it left nothing."""
        path = inside(self.folder, "state.npz")
        if not path.exists():
            return {}
        pixels = CHUNK_FRAMES * prod(self.size or (MAX_SIDE, MAX_SIDE))
        most = STATE_BYTES + STATE_PER_PIXEL * pixels
        return arrays_file.read_arrays(path, {}, others=ArrayLimit(most, "biuf"), total=most, advice=MEND)


@dataclass(frozen=True)
class ChunkFrames:
    """What an engine made of 80 cameras: `frames` (80, H, W, 3) uint8 sRGB, `depth` (80, H, W) float32.

    Depth is z-depth rounded to float16 (inf is sky), because that is what the world folder keeps. `state` holds
    named arrays that `restore` needs beyond frames and depth; they are written beside the chunk. `notes` are lines
    for the user.
    """

    frames: np.ndarray
    depth: np.ndarray
    state: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _parent(value: object, number: int) -> int:
    if type(value) is not int or not 0 <= value < number:
        raise ValueError(f"parent {value!r}")
    return value


def rounded_depth(disparity: np.ndarray) -> np.ndarray:
    """Depth (..., H, W) float32 as the world folder keeps it: float16 precision, inf where there is sky."""
    with np.errstate(divide="ignore", over="ignore"):
        depth = (1 / disparity).astype(np.float16)
    return np.maximum(depth, np.finfo(np.float16).tiny).astype(np.float32)


def read_json(path: Path) -> dict:
    """The object in a JSON file. Raises InvalidInputError where there is none."""
    data = read_optional_json(path)
    if data is None:
        raise InvalidInputError(f"{place(path)} is missing; {MEND}.")
    return data


def read_optional_json(path: Path) -> dict | None:
    """The object in a JSON file; None where there is no file."""
    try:
        return json_file.read_object(path, advice=MEND, fault="cannot be read")
    except FileNotFoundError:
        return None


def read_shaped(path: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, np.ndarray]:
    """Arrays of numbers of an .npz file of a world, of these shapes; an axis None may be of any possible length.

    Raises InvalidInputError for others, before memory is taken for them.
    """
    wide = np.dtype(np.float64).itemsize
    limits = {
        key: ArrayLimit(wide * prod(MAX_SIDE if side is None else side for side in shape), shape=shape)
        for key, shape in shapes.items()
    }
    return arrays_file.read_arrays(path, limits, advice=MEND)
