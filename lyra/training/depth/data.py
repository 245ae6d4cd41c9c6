"""Training data: generator processes write shards to disk, the trainer samples from those in memory.

A shard is an .npz of images of one size. The trainer samples repeatedly from the newest shards, so that neither side
waits for the other and a resumed run starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from lyra.common.arrays_file import ArrayLimit, read_arrays
from lyra.common.errors import InvalidInputError
from lyra.depth.network_file import NetworkShape
from lyra.synthetic.pictures import PICTURE

SHARD = 64
# Share of batches from the extra images, if there are any.
EXTRA_SHARE = 0.08
STRIDE = NetworkShape().stride
# More shards than one process makes in a run: the range of its seeds.
SEEDS_APART = 10_000_000
_BYTES = 4_000_000_000
_SHARD = {
    "images": ArrayLimit(_BYTES, "u", (None, None, None, 3)),
    "depth": ArrayLimit(_BYTES, "f", (None, None, None)),
    "focal": ArrayLimit(_BYTES, "f", (None,)),
    "up": ArrayLimit(_BYTES, "f", (None, 3)),
}
PICTURE_WITH_UP = {**PICTURE, "up": ArrayLimit(1024, "f", (3,))}


@dataclass(frozen=True)
class Shard:
    """`images` (N, H, W, 3) uint8, `depth` (N, H, W) float16 z-depth with inf for sky, `focal` (N,) / longer side,
    `up` (N, 3) float32 the unit vector against gravity in camera axes (OpenCV)."""

    images: np.ndarray
    depth: np.ndarray
    focal: np.ndarray
    up: np.ndarray

    def save(self, path: Path) -> None:
        """Written under a temporary name and renamed, so that no reader meets half a shard."""
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            np.savez(file, images=self.images, depth=self.depth, focal=self.focal, up=self.up)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Shard:
        stored = read_arrays(path, _SHARD, advice="delete it; another is made")
        return cls(*(stored[name] for name in _SHARD))


def make_shard(seed: int, count: int, size: tuple[int, int], device: str = "cpu") -> Shard:
    """`count` images of `size` (height, width) of the procedural worlds of `seed`.

    Images of nothing but sky are left out.
    """
    from lyra.synthetic import generate

    samples = generate(seed, count, *size, device=device)
    focal = samples.intrinsics[:, 0, 0] / max(size)
    good = np.isfinite(samples.depth).mean((1, 2)) > 0.05
    depth = np.where(samples.depth > 6e4, np.inf, samples.depth).astype(np.float16)
    return Shard(samples.images[good], depth[good], focal[good].astype(np.float32), samples.up[good])


def _fill(folder: Path, sizes: tuple[tuple[int, int], ...], seed: int, keep: int, device: str) -> None:
    """Writes shards endlessly, cycling through the sizes, and keeps the newest `keep`."""
    parent = os.getppid()
    if hasattr(os, "nice"):
        os.nice(3)  # the trainer has priority on the cores: it can sample an image twice
    while os.getppid() == parent:
        size = sizes[seed % len(sizes)]
        shard = make_shard(seed, SHARD, size, device)
        shard.save(folder / f"{time.time_ns():020d}-{size[0]}x{size[1]}.npz")
        for old in sorted(folder.glob("*.npz"))[:-keep]:
            old.unlink(missing_ok=True)
        seed += 1


def start_generators(
    folder: Path, sizes: tuple[tuple[int, int], ...], seed: int, keep: int, device: str, workers: int = 1
) -> Sequence[BaseProcess]:
    """Starts the processes that fill `folder`, each with its own seeds; they end with their parent."""
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    settings = [(folder, sizes, seed + worker * SEEDS_APART, keep, device) for worker in range(workers)]
    processes = [context.Process(target=_fill, args=each, daemon=True) for each in settings]
    for process in processes:
        process.start()
    return processes


def load_pictures(folder: Path) -> list[Shard]:
    """The images of a folder as shards, one per size: .npz files as written by `scripts.blender_scenes`.

    Raises InvalidInputError if there are none.
    """
    by_size: dict[tuple[int, ...], list[tuple]] = {}
    for path in sorted(folder.glob("*.npz")):
        stored = read_arrays(path, PICTURE_WITH_UP, advice="render it again with scripts.blender_scenes")
        image, depth, intrinsics, up = (stored[n] for n in PICTURE_WITH_UP)
        # Cropped around the principal point to multiples of the network's stride.
        top, left = (side % STRIDE // 2 for side in depth.shape)
        height, width = (side // STRIDE * STRIDE for side in depth.shape)
        cut = np.s_[top : top + height, left : left + width]
        focal = intrinsics[0, 0] / max(height, width)
        by_size.setdefault((height, width), []).append((image[cut], depth[cut], focal, up))
    if not by_size:
        raise InvalidInputError(f"{folder} holds no .npz of a picture with its depth; give another folder.")
    columns = [tuple(zip(*pictures, strict=True)) for pictures in by_size.values()]
    return [
        Shard(
            np.stack(images), np.stack(depths).astype(np.float16), np.array(focals, np.float32), np.stack(ups)
        )
        for images, depths, focals, ups in columns
    ]


class Pool:
    """The newest shards of a folder in memory, plus permanent `extra` ones."""

    def __init__(self, folder: Path, keep: int, extra: list[Shard] | None = None):
        self.folder, self.keep, self.extra = folder, keep, extra or []
        self._shards: deque[Shard] = deque(maxlen=keep)
        self._newest = ""

    def refresh(self) -> int:
        """Loads shards that are new in the folder; returns the number in memory."""
        for path in sorted(self.folder.glob("*.npz"))[-self.keep :]:
            if path.name > self._newest:
                self._shards.append(Shard.load(path))
                self._newest = path.name
        return len(self._shards)

    def draw(self, rng: np.random.Generator, pixels: int, share_used: float = 0.5) -> Shard:
        """A batch of about `pixels` pixels of one size from several shards, mirrored at random.

        Small images, the most effective per unit of time, are more frequent at first; at the end of the run all sizes
        are equally frequent.
        """
        shards = self.extra if self.extra and rng.random() < EXTRA_SHARE else list(self._shards)
        areas = np.array([np.prod(shard.images.shape[1:3]) for shard in shards], np.float64)
        chances = areas ** (1.5 * (share_used - 1))
        shape = shards[rng.choice(len(shards), p=chances / chances.sum())].images.shape[1:3]
        alike = [shard for shard in shards if shard.images.shape[1:3] == shape]
        count = max(2, round(pixels / (shape[0] * shape[1])))
        chosen = [(alike[i], rng.integers(len(alike[i].focal))) for i in rng.integers(len(alike), size=count)]
        images = np.stack([shard.images[i] for shard, i in chosen])
        depth = np.stack([shard.depth[i] for shard, i in chosen])
        turned = rng.random(count) < 0.5
        up = np.stack([shard.up[i] for shard, i in chosen])
        images[turned], depth[turned] = images[turned, :, ::-1], depth[turned, :, ::-1]
        up[turned, 0] *= -1
        return Shard(images, depth, np.array([shard.focal[i] for shard, i in chosen]), up)
