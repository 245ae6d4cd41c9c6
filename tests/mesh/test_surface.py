import numpy as np
import pytest

from lyra.geometry.meshes import vertex_normals
from lyra.mesh.surface import compacted, simplified, without_duplicate_faces, without_small_parts


def sheet(cells: int):
    """A flat square of 2 cells² triangles at z = 0, normals towards -z (the camera)."""
    axis = np.linspace(0, 1, cells + 1)
    x, y = np.meshgrid(axis, axis)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    a, b, c, d = corner, corner + 1, corner + cells + 1, corner + cells + 2
    return vertices, np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)


def test_normals():
    vertices, faces = sheet(4)
    assert np.allclose(vertex_normals(vertices, faces), [0, 0, -1])
    assert np.allclose(vertex_normals(np.vstack([vertices, [[9, 9, 9]]]), faces)[-1], 0)


def test_small_parts_go():
    vertices, faces = sheet(10)
    small_vertices, small_faces = sheet(2)
    both = np.concatenate([small_vertices + 5, vertices])
    kept, kept_faces = without_small_parts(
        both, np.concatenate([small_faces, faces + len(small_vertices)]), 20
    )
    assert np.array_equal(kept, vertices) and np.array_equal(kept_faces, faces)
    nothing, no_faces = without_small_parts(both, faces, 1000)
    assert len(nothing) == len(no_faces) == 0


def test_compacted_keeps_triangles():
    vertices, faces = sheet(3)
    some = faces[5:9]
    kept, kept_faces = compacted(vertices, some)
    assert np.array_equal(kept[kept_faces], vertices[some]) and len(np.unique(kept_faces)) == len(kept)


def test_simplification_keeps_the_painting_and_the_plane():
    vertices, faces = sheet(60)
    inside = np.linalg.norm(vertices[:, :2] - 0.5, axis=1) < 0.3
    colors = np.repeat(inside[:, None], 3, 1).astype(np.float32)
    kept, kept_faces = simplified(vertices, faces, colors, 600, 1 / 60)
    assert 400 < len(kept_faces) <= 600
    assert np.abs(kept[:, 2]).max() < 1e-9
    ring = np.abs(np.linalg.norm(kept[:, :2] - 0.5, axis=1) - 0.3) < 0.04
    # The edge of the disc covers 15 % of the sheet.
    assert ring.mean() > 0.28
    plain, _ = simplified(vertices, faces, np.zeros_like(colors), 600, 1 / 60)
    assert ring.mean() > 1.5 * (np.abs(np.linalg.norm(plain[:, :2] - 0.5, axis=1) - 0.3) < 0.04).mean()
    a, b, c = (kept[kept_faces[:, i], :2] for i in range(3))
    area = np.abs(np.cross(b - a, c - a)).sum() / 2
    assert area == pytest.approx(1, abs=0.02)


def test_a_small_mesh_stays_as_it_is():
    vertices, faces = sheet(5)
    kept, kept_faces = simplified(vertices, faces, np.zeros((len(vertices), 3)), 50, 0.2)
    assert kept is vertices and kept_faces is faces


def test_only_the_first_of_faces_with_the_same_vertices_stays():
    faces = np.array([[3, 1, 2], [0, 1, 2], [2, 3, 1], [1, 3, 2], [0, 2, 3]], np.int32)
    np.testing.assert_array_equal(without_duplicate_faces(faces), [[3, 1, 2], [0, 1, 2], [0, 2, 3]])
