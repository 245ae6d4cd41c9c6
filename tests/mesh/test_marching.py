import numpy as np
import pytest

from lyra.common.progress import SILENT
from lyra.mesh.grid import BrickGrid, pack
from lyra.mesh.marching import CORNERS, EDGE_END, EDGE_START, extract_surface, triangle_table


def dense_grid(bricks: int, distance, voxel_size: float) -> BrickGrid:
    """A grid of bricks³ bricks around the origin with `distance(points)` at every voxel."""
    coordinates = np.stack(np.meshgrid(*[np.arange(bricks) - bricks // 2] * 3, indexing="ij"), -1).reshape(
        -1, 3
    )
    grid = BrickGrid(np.sort(pack(coordinates)), voxel_size)
    local = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1)
    voxels = grid.coordinates[:, None, None, None] * 8 + local
    grid.distances[:] = distance(voxels * voxel_size)
    grid.weights[:] = 1
    return grid


def half_edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def assert_closed(vertices: np.ndarray, faces: np.ndarray) -> None:
    """Every directed edge has its opposite, equally often: no cracks, no flipped faces, no doubled seam vertices."""
    edges = half_edges(faces).astype(np.int64)
    count = len(vertices)
    forward, backward = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    assert np.array_equal(np.sort(forward), np.sort(backward))
    assert len(np.unique(vertices.round(9), axis=0)) == count


def test_sphere_across_bricks():
    radius = 1.3
    grid = dense_grid(4, lambda p: np.linalg.norm(p - [0.03, 0.01, -0.02], axis=-1) - radius, 0.11)
    vertices, faces = extract_surface(grid, SILENT)
    assert_closed(vertices, faces)
    assert len(vertices) - len(faces) / 2 == 2
    away = np.linalg.norm(vertices - [0.03, 0.01, -0.02], axis=1)
    assert np.abs(away - radius).max() < 0.11**2
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = (a * np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


def test_noise_meets_every_case_and_stays_closed():
    generator = np.random.default_rng(0)

    def noise(points):
        values = generator.normal(size=points.shape[:-1])
        # Outside at the border of the grid, so that the surface has no end.
        return np.where(np.abs(points + 0.5).max(-1) > 14, 1.0, values)

    vertices, faces = extract_surface(dense_grid(4, noise, 1.0), SILENT)
    assert_closed(vertices, faces)


def test_surface_ends_where_nothing_was_seen():
    grid = dense_grid(2, lambda p: p[..., 0] - 0.25, 1.0)
    grid.weights[grid.coordinates[:, 1] >= 0] = 0
    vertices, faces = extract_surface(grid, SILENT)
    assert len(faces) and np.allclose(vertices[:, 0], 0.25, atol=1e-3)
    assert vertices[:, 1].max() == -1


def test_nothing_to_extract():
    vertices, faces = extract_surface(dense_grid(1, lambda p: np.ones(p.shape[:-1]), 1.0), SILENT)
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)


def test_table_uses_each_crossed_edge():
    table, counts = triangle_table()
    for case in range(256):
        inside = (case >> np.arange(8)) & 1
        crossed = np.nonzero(inside[EDGE_START] != inside[EDGE_END])[0]
        assert set(table[case, : counts[case]].ravel()) == set(crossed)
    assert counts.max() <= 5 + 1 and counts[0] == counts[255] == 0
    assert CORNERS.shape == (8, 3)
