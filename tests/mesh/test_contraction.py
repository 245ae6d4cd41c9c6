import numpy as np
import pytest

from lyra.mesh.contraction import Contraction

CONTRACTION = Contraction(np.array([0.5, -1.0, 2.0]), 3.0)


@pytest.fixture
def points():
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return CONTRACTION.center + directions * np.geomspace(1e-3, 500, 500)[:, None]


def test_round_trip(points):
    assert np.allclose(CONTRACTION.expand(CONTRACTION.contract(points)), points, rtol=1e-9)


def test_near_space_is_as_it_is(points):
    near = np.linalg.norm(points - CONTRACTION.center, axis=1) < 3
    assert np.allclose(CONTRACTION.contract(points)[near], (points - CONTRACTION.center)[near])


def test_distance_shrinks_with_the_logarithm_and_without_a_jump(points):
    distance = np.linalg.norm(points - CONTRACTION.center, axis=1)
    contracted = np.linalg.norm(CONTRACTION.contract(points), axis=1)
    assert np.allclose(contracted, CONTRACTION.contracted_distance(distance))
    assert (np.diff(contracted) > 0).all()
    assert CONTRACTION.contracted_distance(np.array([3 * np.e])) == pytest.approx(6)
    around = CONTRACTION.contracted_distance(np.array([3 - 1e-6, 3 + 1e-6]))
    assert np.diff(around) == pytest.approx(2e-6, rel=1e-3)
