"""Allocation of the sparse grid: bricks around densely sampled surface points of every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lyra.common.progress import Progress
from lyra.geometry.planes import fit_planes
from lyra.geometry.views import View
from lyra.mesh.contraction import Contraction
from lyra.mesh.grid import BRICK_VOXELS, BrickGrid, bricks_near

# Pixels from one sample to the next, along rows and columns.
_STEP = 2
# The grid is uniform up to this quantile of the surface distances from the middle of the path.
_NEAR_QUANTILE = 0.05
# Neighbouring samples of one surface farther apart than this, in voxels, are interpolated: on ground seen at a
# grazing angle adjacent rows of pixels are many voxels apart.
_MAX_SPACING = 4.0
_MAX_BETWEEN = 64
# Least growth of the voxel size if the grid does not fit.
_GROWTH = 1.05


@dataclass(frozen=True)
class SurfaceSamples:
    """Surface points of one view, subsampled in rows and columns.

    `points` (h, w, 3) float32 in the world; `used` (h, w) bool, which of them are surface; `edge` (h, w) bool, which
    lie on a depth edge.
    """

    points: np.ndarray
    used: np.ndarray
    edge: np.ndarray

    @classmethod
    def of(cls, view: View, device: str) -> SurfaceSamples:
        planes = fit_planes(view.depth, device)
        rows, columns = slice(_STEP // 2, None, _STEP), slice(_STEP // 2, None, _STEP)
        used, edge = planes.supported[rows, columns], planes.edge[rows, columns]
        z = np.where(used, 1 / np.where(used, planes.inverse_depth[rows, columns], 1), 1)
        c2w = np.linalg.inv(view.w2c)
        rays = view.camera.rays()[rows, columns]
        points = rays * z[..., None] @ c2w[:3, :3].T + c2w[:3, 3]
        return cls(points.astype(np.float32), used, edge)

    def contracted(self, contraction: Contraction, spacing: float) -> np.ndarray:
        """Contracted points (N, 3), at most `spacing` apart on one surface."""
        raster = contraction.contract(self.points.reshape(-1, 3)).reshape(self.points.shape)
        parts = [raster[self.used]]
        inner = self.used & ~self.edge
        for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            both = inner[a] & inner[b]
            start, step = raster[a][both], (raster[b] - raster[a])[both]
            pieces = np.minimum(np.ceil(np.linalg.norm(step, axis=1) / spacing), _MAX_BETWEEN).astype(int)
            link = np.repeat(np.arange(len(pieces)), np.maximum(pieces - 1, 0))
            number = np.arange(len(link)) - np.searchsorted(link, link) + 1
            parts.append(start[link] + step[link] * (number / pieces[link])[:, None])
        return np.concatenate(parts)


def choose_contraction(views: Sequence[View], samples: Sequence[SurfaceSamples]) -> Contraction:
    """A contraction centred on the path, uniform around the path and the nearest surfaces."""
    centers = np.stack([np.linalg.inv(view.w2c)[:3, 3] for view in views])
    center = (centers.min(0) + centers.max(0)) / 2
    distances = np.linalg.norm(np.concatenate([s.points[s.used] for s in samples]) - center, axis=1)
    near = max(np.quantile(distances, _NEAR_QUANTILE), np.linalg.norm(centers - center, axis=1).max())
    return Contraction(center, float(near))


def allocate(
    views: Sequence[View],
    samples: Sequence[SurfaceSamples],
    contraction: Contraction,
    voxel_pixels: float,
    margin_voxels: float,
    max_voxels: int,
    progress: Progress,
) -> BrickGrid:
    """The bricks within `margin_voxels` of every surface.

    A voxel is `voxel_pixels` times as wide as the median pixel footprint, or wider to stay within `max_voxels`.
    """
    focal = np.median([view.intrinsics[0, 0] for view in views])
    every = np.concatenate([s.points[s.used] for s in samples])
    distance = np.median(contraction.contracted_distance(np.linalg.norm(every - contraction.center, axis=1)))
    voxel_size = voxel_pixels * float(distance) / focal
    limit = max(max_voxels // BRICK_VOXELS, 1)
    while True:
        keys = np.zeros(0, np.int64)
        for done, sample in enumerate(samples):
            progress.update("mesh", done / len(samples))
            points = sample.contracted(contraction, _MAX_SPACING * voxel_size)
            keys = np.union1d(keys, bricks_near(points, voxel_size, margin_voxels))
            if len(keys) > limit:
                # The number of bricks on a surface grows with the square of the resolution.
                voxel_size *= max(_GROWTH, np.sqrt(len(keys) / limit))
                break
        else:
            return BrickGrid(keys, voxel_size)
