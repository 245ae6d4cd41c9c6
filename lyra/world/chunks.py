"""The chunks of a world: frames as an engine makes them, and as they lie in the world folder."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.media import video

WATCHABLE = "frames.mp4"


@dataclass(frozen=True)
class Chunk:
    """80 frames on disk: frames 80 (index - 1) + 1 ... 80 index of the world."""

    folder: Path
    index: int
    prompt: str
    seed: int
    seconds: float

    @classmethod
    def open(cls, folder: Path) -> Chunk:
        data = read_json(folder / "chunk.json")
        try:
            return cls(
                folder, int(folder.name), str(data["prompt"]), int(data["seed"]), float(data["seconds"])
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
        return Trajectory.load(self.folder / "trajectory.npz")

    def load_frames(self) -> np.ndarray:
        """(80, H, W, 3) uint8 sRGB."""
        return video.read_lossless(self.folder / "frames.mkv")

    def load_depth(self) -> np.ndarray:
        """(80, H, W) float32 z-depth, inf where there is sky."""
        return read_arrays(self.folder / "depth.npz", "depth")["depth"].astype(np.float32)

    def load_state(self) -> dict[str, np.ndarray]:
        """What the engine left for `restore`; empty when it left nothing."""
        path = self.folder / "state.npz"
        return read_arrays(path) if path.exists() else {}


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


def rounded_depth(disparity: np.ndarray) -> np.ndarray:
    """Depth (..., H, W) float32 as the world folder keeps it: float16 precision, inf where there is sky."""
    with np.errstate(divide="ignore", over="ignore"):
        depth = (1 / disparity).astype(np.float16)
    return np.maximum(depth, np.finfo(np.float16).tiny).astype(np.float32)


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


def read_arrays(path: Path, *only: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file of a world, all or `only` the named ones."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in only or data.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, MemoryError) as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error}); restore it from a copy, or make the world again."
        ) from error
