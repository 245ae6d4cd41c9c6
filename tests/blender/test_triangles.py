import numpy as np
import pytest

from tests.blender.addon import finished, load

triangles = load("importers.triangles")


@pytest.fixture(params=[100, 10**6], ids=["in groups", "in one"], autouse=True)
def group(request, monkeypatch):
    monkeypatch.setattr(triangles, "GROUP", request.param)


def test_every_edge_once_and_each_corner_on_its_own():
    rng = np.random.default_rng(0)
    faces = np.stack([rng.permutation(90)[:3] for _ in range(400)]).astype(np.int32)
    edges, at_corner = finished(triangles.edges(faces))
    assert len(np.unique(edges, axis=0)) == len(edges) and (edges[:, 0] < edges[:, 1]).all()
    expected = np.sort(np.stack([faces.ravel(), np.roll(faces, -1, 1).ravel()], 1), axis=1)
    np.testing.assert_array_equal(edges[at_corner], expected)


def test_the_same_three_vertices_make_one_triangle_whichever_way_round():
    faces = np.array([[0, 1, 2], [3, 4, 5], [2, 1, 0], [1, 2, 0], [0, 1, 3]], np.int32)
    np.testing.assert_array_equal(finished(triangles.without_duplicates(faces)), faces[[0, 1, 4]])


def test_of_many_triangles_the_first_of_each_kind_stays():
    faces = np.random.default_rng(1).integers(0, 12, (1000, 3)).astype(np.int32)
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    np.testing.assert_array_equal(finished(triangles.without_duplicates(faces)), faces[np.sort(first)])


def test_no_triangles():
    none = np.empty((0, 3), np.int32)
    edges, at_corner = finished(triangles.edges(finished(triangles.without_duplicates(none))))
    assert edges.shape == (0, 2) and len(at_corner) == 0
