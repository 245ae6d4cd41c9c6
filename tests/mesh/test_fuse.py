from dataclasses import replace

import numpy as np
import pytest

from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import Progress
from lyra.geometry.meshes import vertex_normals
from lyra.mesh import MeshSettings, NoSurfaceError, fuse
from tests.splats.scenes import make_views, surface_distance, texture

HEIGHT, WIDTH = 120, 208
SETTINGS = MeshSettings(min_part_faces=100, target_faces=30_000)


@pytest.fixture(scope="module")
def views():
    return make_views(21, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def mesh(views):
    return fuse(views, settings=SETTINGS)


def footprints(mesh, views) -> np.ndarray:
    """Width of a pixel of the first view at each vertex."""
    return np.linalg.norm(mesh.vertices, axis=1) / views[0].intrinsics[0, 0]


def test_lies_on_the_true_surface(mesh, views):
    off = surface_distance(mesh.vertices.astype(np.float64)) / footprints(mesh, views)
    assert np.median(off) < 0.05
    assert np.quantile(off, 0.95) < 0.6
    assert np.quantile(off, 0.99) < 2.5


def test_reaches_from_the_foreground_to_the_horizon(mesh):
    distances = np.linalg.norm(mesh.vertices, axis=1)
    assert distances.min() < 3.2 and distances.max() > 50


def test_covers_what_the_views_saw(mesh, views):
    from scipy.spatial import cKDTree

    view = views[10]
    rows, columns = np.nonzero(np.isfinite(view.depth) & (view.depth < 20))
    z = view.depth[rows, columns].astype(np.float64)
    pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    camera = (np.linalg.inv(view.intrinsics) @ pixels * z).T
    c2w = np.linalg.inv(view.w2c)
    points = camera @ c2w[:3, :3].T + c2w[:3, 3]
    gap, _ = cKDTree(mesh.vertices).query(points)
    # In pixel widths; triangles span a few pixels.
    assert np.quantile(gap / z * view.intrinsics[0, 0], 0.97) < 6


def test_faces_look_at_the_cameras(mesh, views):
    normals = vertex_normals(mesh.vertices.astype(np.float64), mesh.faces)
    towards = np.linalg.inv(views[10].w2c)[:3, 3] - mesh.vertices
    facing = (normals * towards).sum(1) > 0
    assert facing.mean() > 0.96


def test_colors_are_those_of_the_surface(mesh):
    near = np.linalg.norm(mesh.vertices, axis=1) < 6
    error = np.abs(mesh.colors[near] / 255 - texture(mesh.vertices[near].astype(np.float64)))
    assert np.median(error) < 0.02 and error.mean() < 0.04


def test_face_count_and_types(mesh):
    assert 10_000 < len(mesh.faces) <= 30_000
    assert (
        mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32 and mesh.colors.dtype == np.uint8
    )
    assert mesh.faces.min() == 0 and mesh.faces.max() == len(mesh.vertices) - 1


def test_memory_is_bounded(views):
    coarse = fuse(views[::10], settings=replace(SETTINGS, max_voxels=200_000, min_part_faces=10))
    assert 0 < len(coarse.faces) < 30_000


def test_space_behind_a_box_stays_empty(mesh):
    # The wall of the right box towards the left ends at its back, though its plane goes on.
    behind = mesh.vertices
    inside = (np.abs(behind[:, 0] - 0.9) < 0.05) & (behind[:, 1] < 1.2) & (behind[:, 1] > -0.5)
    assert behind[inside & (behind[:, 2] < 11.5), 2].max(initial=0) < 6.2


def test_nothing_to_fuse_is_explained(views):
    with pytest.raises(InvalidInputError, match="0 views"):
        fuse([])
    sky = replace(views[0], depth=np.full((HEIGHT, WIDTH), np.inf, np.float32))
    with pytest.raises(NoSurfaceError, match="sky"):
        fuse([sky])
    speck = sky.depth.copy()
    speck[20:24, 30:34] = 3
    with pytest.raises(NoSurfaceError, match="300 triangles"):
        fuse([replace(sky, depth=speck)])
    with pytest.raises(NoSurfaceError, match="1000000 triangles"):
        fuse(views[:1], settings=replace(SETTINGS, min_part_faces=1_000_000))


@pytest.mark.parametrize("stop_at", [1, 6, 14, 18])
def test_cancel(views, stop_at):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) >= stop_at

    with pytest.raises(CancelledError):
        fuse(views, Progress(cancelled=cancelled), SETTINGS)
    assert len(calls) == stop_at
