"""The chunks of a world folder, and how the files of a world are read."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from lyra import video
from lyra.errors import InvalidInputError
from lyra.files import inside, require_small_arrays
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory

WATCHABLE = "frames.mp4"
# Bytes of what an engine keeps beside a chunk: a share for each pixel of its frames, and something to begin with.
STATE_PER_PIXEL, STATE_BYTES = 16, 64_000_000
MAX_SIDE = 8192


@dataclass(frozen=True)
class Chunk:
    """80 frames on disk: frames 80 (index - 1) + 1 ... 80 index of the world.

    `folder` is no link, and no link in it is followed. `size` is the world's (height, width); where it is not known,
    the largest possible one bounds what is read.
    """

    folder: Path
    index: int
    prompt: str
    seed: int
    seconds: float
    size: tuple[int, int] | None = None

    @classmethod
    def open(cls, folder: Path, size: tuple[int, int] | None = None) -> Chunk:
        data = read_json(inside(folder, "chunk.json"))
        try:
            return cls(
                folder, int(folder.name), str(data["prompt"]), int(data["seed"]), float(data["seconds"]), size
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInputError(
                f"{folder / 'chunk.json'} is damaged ({error}); delete the folder {folder} and later ones."
            ) from error

    @property
    def watchable(self) -> Path:
        """Its part of the walkthrough, encoded; the first chunk's begins with frame 0. Older worlds have none."""
        return self.folder / WATCHABLE

    def load_trajectory(self) -> Trajectory:
        return Trajectory.load(inside(self.folder, "trajectory.npz"))

    def load_frames(self) -> np.ndarray:
        """(80, H, W, 3) uint8 sRGB."""
        return video.read_lossless(inside(self.folder, "frames.mkv"))

    def load_depth(self) -> np.ndarray:
        """(80, H, W) float32 z-depth, inf where there is sky."""
        shape = (CHUNK_FRAMES, *(self.size or (None, None)))
        return read_shaped(inside(self.folder, "depth.npz"), {"depth": shape})["depth"].astype(np.float32)

    def load_state(self) -> dict[str, np.ndarray]:
        """What the engine left for `restore`; empty when it left nothing."""
        path = inside(self.folder, "state.npz")
        if not path.exists():
            return {}
        pixels = CHUNK_FRAMES * prod(self.size or (MAX_SIDE, MAX_SIDE))
        _require_bytes(path, STATE_BYTES + STATE_PER_PIXEL * pixels)
        return read_arrays(path)


def read_json(path: Path, optional: bool = False) -> dict | None:
    """The object in a JSON file; None for an `optional` one that is not there."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if optional:
            return None
        raise InvalidInputError(
            f"{path} is missing; restore it from a copy, or make the world again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error}); restore it from a copy, or make the world again."
        ) from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"{path} holds {type(data).__name__}, not an object; it is damaged.")
    return data


def read_shaped(path: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, np.ndarray]:
    """Arrays of numbers of an .npz file of a world, of these shapes; an axis None may be of any possible length.

    Raises InvalidInputError for others, before memory is taken for them.
    """
    wide = np.dtype(np.float64).itemsize
    most = sum(wide * prod(MAX_SIDE if side is None else side for side in shape) for shape in shapes.values())
    _require_bytes(path, most + STATE_BYTES)
    arrays = read_arrays(path, *shapes)
    for key, shape in shapes.items():
        found = arrays[key]
        fits = len(found.shape) == len(shape) and all(
            wanted in (None, side) for wanted, side in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.kind not in "fiu":
            raise InvalidInputError(
                f"{path} is damaged: {key} is {found.dtype} of shape {found.shape}, not numbers of shape "
                f"{tuple('any' if side is None else side for side in shape)}; restore it from a copy."
            )
    return arrays


def _require_bytes(path: Path, most: int) -> None:
    try:
        require_small_arrays(path, most)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} is damaged. {error} Restore it from a copy.") from error
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error}); restore it from a copy, or make the world again."
        ) from error


def read_arrays(path: Path, *only: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of a world, all or `only` the named ones."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in only or data.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError) as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error}); restore it from a copy, or make the world again."
        ) from error
