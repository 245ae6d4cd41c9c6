"""TSDF fusion of views into a coloured mesh (Curless and Levoy 1996), in a sparse grid in contracted space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import warp as wp

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.geometry.meshes import Mesh
from lyra.geometry.views import View, evenly_spaced
from lyra.mesh import kernels
from lyra.mesh.allocate import SurfaceSamples, allocate, choose_contraction
from lyra.mesh.contraction import Contraction
from lyra.mesh.grid import BrickGrid
from lyra.mesh.kernel_cameras import SurfaceMaps, kernel_camera
from lyra.mesh.marching import extract_surface
from lyra.mesh.surface import simplified, vertex_colors, without_duplicate_faces, without_small_parts


class NoSurfaceError(InvalidInputError):
    """The views contain too little surface for a mesh; splats need none."""


@dataclass(frozen=True)
class MeshSettings:
    """Settings of fusion, cleaning and simplification.

    Every `view_step`-th frame is fused, at most `max_views`. A voxel is `voxel_pixels` times as wide as the median
    pixel footprint, or wider to stay within `max_voxels` (12 bytes each). Distances are truncated at `truncation`
    voxels. Connected parts of fewer than `min_part_faces` triangles are dropped, the rest is simplified to
    `target_faces`.
    """

    view_step: int = 5
    max_views: int = 160
    voxel_pixels: float = 1.5
    truncation: float = 3.0
    max_voxels: int = 24_000_000
    min_part_faces: int = 300
    target_faces: int = 150_000


def fuse(
    views: Sequence[View],
    progress: Progress = SILENT,
    settings: MeshSettings | None = None,
    device: str = "cpu",
    around: Sequence[View] = (),
) -> Mesh:
    """The surface visible in the views, with vertex colours; open where no view looks, without sky.

    All views `around` are fused as well.

    Raises InvalidInputError without views, NoSurfaceError if they show no or too little surface, CancelledError on
    cancellation.
    """
    settings = settings or MeshSettings()
    if len(views) == 0:
        raise InvalidInputError("There are 0 views; a mesh needs at least one frame. Generate a chunk first.")
    count = min(settings.max_views, 1 + -(-(len(views) - 1) // settings.view_step))
    chosen: list[View] = []
    for index in evenly_spaced(len(views), count):
        progress.update("mesh", 0.1 * len(chosen) / count)
        chosen.append(views[index])
    chosen += around
    samples = [SurfaceSamples.of(view, device) for view in chosen]
    if not any(sample.used.any() for sample in samples):
        raise NoSurfaceError(
            f"Nearly all depth of the {len(chosen)} views is sky; there is no surface for a mesh. "
            "Use splats alone."
        )
    contraction = choose_contraction(chosen, samples)
    grid = allocate(
        chosen,
        samples,
        contraction,
        settings.voxel_pixels,
        settings.truncation + 1,
        settings.max_voxels,
        progress.part(0.1, 0.3),
    )
    _integrate(grid, chosen, contraction, settings, progress.part(0.3, 0.6), device)
    vertices, faces = extract_surface(grid, progress.part(0.6, 0.75))
    vertices, faces = without_small_parts(vertices, faces, settings.min_part_faces)
    if not len(faces):
        raise NoSurfaceError(
            f"The surface of {len(chosen)} views has no connected part of {settings.min_part_faces} triangles "
            "or more, too little for a mesh. Use splats alone, or larger frames."
        )

    def colored(part: Progress) -> np.ndarray:
        return vertex_colors(contraction.expand(vertices), faces, chosen, contraction, part, device)

    fine = colored(progress.part(0.75, 0.85))
    vertices, faces = simplified(vertices, faces, fine, settings.target_faces, grid.voxel_size)
    # Where thin objects collapse, both sides may end up as the same triangle.
    faces = without_duplicate_faces(faces)
    colors = colored(progress.part(0.9, 1.0))
    return Mesh(
        contraction.expand(vertices).astype(np.float32),
        faces,
        np.round(colors * 255).astype(np.uint8),
    )


def _integrate(
    grid: BrickGrid,
    views: Sequence[View],
    contraction: Contraction,
    settings: MeshSettings,
    progress: Progress,
    device: str,
) -> None:
    bricks = wp.array(grid.coordinates.astype(np.int32), dtype=wp.vec3i, device=device)
    distances = wp.zeros(grid.distances.size, wp.float32, device=device)
    weights = wp.zeros(grid.distances.size, wp.float32, device=device)
    for done, view in enumerate(views):
        progress.update("mesh", done / len(views))
        maps = SurfaceMaps.of(view, device)
        wp.launch(
            kernels.integrate,
            grid.distances.size,
            inputs=[
                kernel_camera(view, contraction),
                bricks,
                grid.voxel_size,
                settings.truncation * grid.voxel_size,
                maps.inverse_depth,
                maps.slope_u,
                maps.slope_v,
                maps.confidence,
            ],
            outputs=[distances, weights],
            device=device,
        )
    grid.distances[:] = distances.numpy().reshape(grid.distances.shape)
    grid.weights[:] = weights.numpy().reshape(grid.weights.shape)
