"""Mesh post-processing: cleaning, vertex colours, simplification."""

from __future__ import annotations

from collections.abc import Sequence

import fast_simplification
import numpy as np
import warp as wp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lyra.common.progress import Progress
from lyra.geometry.meshes import vertex_normals
from lyra.geometry.views import View
from lyra.mesh import kernels
from lyra.mesh.contraction import Contraction
from lyra.mesh.kernel_cameras import SurfaceMaps, kernel_camera

# Luma of sRGB (Rec. 601), and the displacement, in voxels, of white over black during simplification.
_LUMA = np.array([0.299, 0.587, 0.114])
_EMBOSS = 2.0


def without_duplicate_faces(faces: np.ndarray) -> np.ndarray:
    """The faces without those on the same three vertices as an earlier one; the order is kept."""
    _, first = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    return faces[np.sort(first)]


def without_small_parts(
    vertices: np.ndarray, faces: np.ndarray, min_faces: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh without connected parts of fewer than `min_faces` faces and without unused vertices."""
    links = coo_array(
        (np.ones(2 * len(faces), bool), (faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel())),
        shape=(len(vertices), len(vertices)),
    )
    _, parts = connected_components(links, directed=False)
    part_of_face = parts[faces[:, 0]]
    sizes = np.bincount(part_of_face, minlength=parts.max(initial=0) + 1)
    return compacted(vertices, faces[sizes[part_of_face] >= min_faces])


def compacted(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mesh without vertices that no face uses."""
    used = np.zeros(len(vertices), bool)
    used[faces] = True
    return vertices[used], (np.cumsum(used) - 1)[faces].astype(np.int32)


def vertex_colors(
    vertices: np.ndarray,
    faces: np.ndarray,
    views: Sequence[View],
    contraction: Contraction,
    progress: Progress,
    device: str,
) -> np.ndarray:
    """sRGB colours (V, 3) float32 in [0, 1] of world vertices, averaged over the views in which they are visible.

    Near and head-on views weigh most. A vertex visible in no view takes the colour of the nearest visible one.
    """
    relative = vertices - contraction.center
    points = wp.array(relative.astype(np.float32), dtype=wp.vec3, device=device)
    normals = wp.array(vertex_normals(relative, faces).astype(np.float32), dtype=wp.vec3, device=device)
    sums = wp.zeros(len(vertices), wp.vec4, device=device)
    for done, view in enumerate(views):
        progress.update("mesh", done / len(views))
        maps = SurfaceMaps.of(view, device)
        image = wp.array(view.image / np.float32(255), dtype=wp.vec3, device=device)
        wp.launch(
            kernels.color_vertices,
            len(vertices),
            inputs=[
                kernel_camera(view, contraction),
                points,
                normals,
                image,
                maps.inverse_depth,
                maps.confidence,
            ],
            outputs=[sums],
            device=device,
        )
    gathered = sums.numpy()
    seen = gathered[:, 3] > 0
    colors = np.full((len(vertices), 3), 0.5, np.float32)
    colors[seen] = gathered[seen, :3] / gathered[seen, 3:]
    if seen.any() and not seen.all():
        _, nearest = cKDTree(relative[seen]).query(relative[~seen])
        colors[~seen] = colors[seen][nearest]
    return colors


def simplified(
    vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray, target_faces: int, voxel_size: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh simplified to about `target_faces` faces, with shape and painted detail preserved.

    Vertices are in contracted space, so that nearby detail is kept. Quadric simplification (Garland and Heckbert
    1997) considers geometry only and would reduce a painted wall to two triangles. Vertices are therefore displaced
    along their normals by brightness first, and moved back to the surface afterwards.
    """
    if len(faces) <= target_faces:
        return vertices, faces
    normals = vertex_normals(vertices, faces)
    raised = vertices + normals * (_EMBOSS * voxel_size * (colors @ _LUMA))[:, None]
    kept, kept_faces = fast_simplification.simplify(raised, faces, target_count=target_faces)
    _, nearest = cKDTree(raised).query(kept)
    height = ((kept - vertices[nearest]) * normals[nearest]).sum(1)
    return compacted(kept - height[:, None] * normals[nearest], kept_faces.astype(np.int32))
