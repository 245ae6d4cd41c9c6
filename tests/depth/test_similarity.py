import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra.depth.similarity import fit_similarity, fit_similarity_robustly

RNG = np.random.default_rng(0)
ROTATION = Rotation.from_euler("xyz", [30, -50, 110], degrees=True).as_matrix()


def moved(points, scale=2.5):
    return scale * points @ ROTATION.T + (1.0, -2, 3)


def test_exact_points_give_the_transform():
    points = RNG.normal(size=(7, 3))
    found = fit_similarity(points, moved(points))
    assert found.scale == pytest.approx(2.5) and np.allclose(found.rotation, ROTATION)
    assert np.allclose(found.applied(points), moved(points))


def test_back_is_the_inverse():
    points = RNG.normal(size=(9, 3))
    there, back = fit_similarity(points, moved(points)), fit_similarity(moved(points), points)
    assert there.scale * back.scale == pytest.approx(1)
    assert np.allclose(back.rotation, there.rotation.T)


def test_mirrored_points_still_give_a_rotation():
    points = RNG.normal(size=(8, 3))
    found = fit_similarity(points, points * (1, 1, -1))
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_a_line_determines_the_scale_and_one_point_nothing():
    line = np.linspace(0, 1, 6)[:, None] * (1.0, 2, 0.5)
    assert fit_similarity(line, moved(line)).scale == pytest.approx(2.5)
    assert fit_similarity(np.ones((5, 3)), RNG.normal(size=(5, 3))) is None
    assert fit_similarity_robustly(np.ones((12, 3)), RNG.normal(size=(12, 3))) is None


def test_outliers_are_left_out():
    points = RNG.normal(size=(16, 3))
    target = moved(points) + 1e-3 * RNG.normal(size=(16, 3))
    target[[3, 9, 12]] += 8.0
    plain, robust = fit_similarity(points, target), fit_similarity_robustly(points, target)
    assert robust.scale == pytest.approx(2.5, rel=0.01)
    assert abs(robust.scale - 2.5) < abs(plain.scale - 2.5)


def test_the_same_points_give_the_same_fit():
    points = RNG.normal(size=(20, 3))
    target = moved(points) + 0.1 * RNG.normal(size=(20, 3))
    assert fit_similarity_robustly(points, target).scale == fit_similarity_robustly(points, target).scale
