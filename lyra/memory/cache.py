"""Per-frame geometry cache: cameras, depth, and a coarse grid of world points for visibility tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import warp as wp

from lyra.common.errors import InvalidInputError
from lyra.geometry.arrays import Array, is_torch, to_numpy
from lyra.geometry.projection import PIXEL_CENTER, unproject

INITIAL_CAPACITY = 16


@dataclass(frozen=True)
class MemorySettings:
    """Settings of the cache.

    `stride`: every stride-th pixel becomes a point, and coverage is measured in cells of that size.
    `pixel_offset`: position of a pixel's ray in the pixel, see `lyra.geometry.projection`.
    `drop_missing`: sky and pixels without depth yield no points. The published code keeps them: depth 0 as a point
    at the world's origin, sky at a depth of 1e4.
    """

    stride: int = 4
    pixel_offset: float = PIXEL_CENTER
    drop_missing: bool = True

    @classmethod
    def published(cls) -> MemorySettings:
        """The settings of the published Lyra 2.0."""
        return cls(pixel_offset=0.0, drop_missing=False)


@dataclass(frozen=True)
class CacheEntry:
    """A remembered frame: `depth` (H, W) z-depth as given, `w2c` (4, 4) and `intrinsics` (3, 3) float64."""

    frame_id: int
    depth: Array
    w2c: np.ndarray
    intrinsics: np.ndarray


class RetrievalStrategy(Protocol):
    """Selects remembered frames for new views."""

    def select(self, cache: GeometryCache, w2c: np.ndarray, intrinsics: np.ndarray, slots: int) -> list[int]:
        """Ids of at most `slots` frames for views `w2c` (V, 4, 4), `intrinsics` (V, 3, 3), the best last."""
        ...


class GeometryCache:
    """Frames with depth, in the order of insertion, and their points in one array on one device.

    Depth keeps its given type, so float16 halves the memory. All frames have the same size.
    """

    def __init__(self, height: int, width: int, settings: MemorySettings | None = None, device: str = "cpu"):
        self.height, self.width = height, width
        self.settings = settings or MemorySettings()
        self.device = wp.get_device(device)
        self.entries: list[CacheEntry] = []
        self._row: dict[int, int] = {}
        stride = self.settings.stride
        self.grid_hw = (-(-height // stride), -(-width // stride))
        self._points = wp.empty((INITIAL_CAPACITY, self.points_per_frame), dtype=wp.vec3, device=self.device)
        self._bounds = np.empty((INITIAL_CAPACITY, 2, 3), np.float32)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, frame_id: int) -> bool:
        return frame_id in self._row

    def __getitem__(self, frame_id: int) -> CacheEntry:
        return self.entries[self._row[frame_id]]

    @property
    def points_per_frame(self) -> int:
        return self.grid_hw[0] * self.grid_hw[1]

    @property
    def frame_ids(self) -> list[int]:
        """Frame ids in the order of insertion."""
        return [entry.frame_id for entry in self.entries]

    @property
    def points_world(self) -> wp.array:
        """Points (capacity, points_per_frame) vec3 on the cache's device; the first len(self) rows are in use."""
        return self._points

    @property
    def bounds(self) -> np.ndarray:
        """Bounding boxes (len(self), 2, 3) of the frames' points, lowest and highest corner; NaN without points."""
        return self._bounds[: len(self)]

    def add(self, frame_id: int, depth: Array, w2c: Array, intrinsics: Array) -> None:
        """Adds a frame. Raises InvalidInputError for another image size or an id that is already present."""
        if tuple(depth.shape) != (self.height, self.width):
            raise InvalidInputError(
                f"Depth of frame {frame_id} has shape {tuple(depth.shape)}; "
                f"this memory holds frames of ({self.height}, {self.width})."
            )
        if frame_id in self:
            raise InvalidInputError(
                f"Frame {frame_id} is remembered already; a memory holds each frame once."
            )
        entry = CacheEntry(int(frame_id), depth, to_numpy(w2c), to_numpy(intrinsics))
        row = len(self)
        self._reserve(row + 1)
        points = self._grid_points(entry)
        self._points[row].assign(points.reshape(-1, 3))
        self._bounds[row] = _bounds(points.reshape(-1, 3))
        self.entries.append(entry)
        self._row[entry.frame_id] = row

    def retrieve(self, w2c: Array, intrinsics: Array, slots: int, strategy: RetrievalStrategy) -> list[int]:
        """Ids of at most `slots` frames for target views `w2c` (V, 4, 4), `intrinsics` (V, 3, 3), the best last."""
        return strategy.select(self, to_numpy(w2c), to_numpy(intrinsics), slots)

    def _grid_points(self, entry: CacheEntry) -> np.ndarray:
        stride = self.settings.stride
        coarse = entry.depth[::stride, ::stride]
        coarse = to_numpy(coarse, np.float32) if is_torch(coarse) else np.asarray(coarse, np.float32)
        if self.settings.drop_missing:
            coarse = np.where(np.isfinite(coarse), coarse, 0)
        # Intrinsics of the grid, whose neighbours are stride pixels apart.
        scaled, offset = grid_intrinsics(entry.intrinsics, stride), self.settings.pixel_offset / stride
        invalid = np.nan if self.settings.drop_missing else 0.0
        return unproject(coarse[None], entry.w2c[None], scaled[None], pixel_offset=offset, invalid=invalid)[0]

    def _reserve(self, rows: int) -> None:
        capacity = len(self._bounds)
        if rows <= capacity:
            return
        grown = wp.empty((2 * capacity, self.points_per_frame), dtype=wp.vec3, device=self.device)
        wp.copy(grown, self._points, count=self._points.size)
        self._points = grown
        self._bounds = np.concatenate([self._bounds, np.empty_like(self._bounds)])


def grid_intrinsics(intrinsics: np.ndarray, stride: int) -> np.ndarray:
    """Intrinsics (..., 3, 3) of an image subsampled to every stride-th pixel."""
    scaled = np.array(intrinsics, np.float64)
    scaled[..., :2, :] /= stride
    return scaled


def _bounds(points: np.ndarray) -> np.ndarray:
    known = points[~np.isnan(points[:, 0])]
    if len(known) == 0:
        return np.full((2, 3), np.nan, np.float32)
    return np.stack([known.min(0), known.max(0)])
