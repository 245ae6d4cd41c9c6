import numpy as np
import pytest

from tests.blender.addon import finished, load

raster = load("camera.depth_raster")
HEIGHT, WIDTH = 30, 40
K = np.array([[35.0, 0, 21.0], [0, 30.0, 14.0], [0, 0, 1]])


def rendered(triangles, near):
    """Through two surfaces that stand in other axes than the camera's."""
    turn = np.array([[0.0, -1, 0, 3], [1, 0, 0, -2], [0, 0, 1, 1], [0, 0, 0, 1]])
    local = (triangles.reshape(-1, 3) - turn[:3, 3]) @ turn[:3, :3]
    corners = np.arange(3 * len(triangles)).reshape(-1, 3)
    halves = [raster.Surface(local, part, turn) for part in (corners[::2], corners[1::2])]
    return finished(raster.rasterizing(halves, K, HEIGHT, WIDTH, near))


def rays():
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    return np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], np.ones_like(x)], -1)


def cast(triangles, near):
    """The same by the Möller-Trumbore test of every ray against every triangle."""
    d, best = rays(), np.full((HEIGHT, WIDTH), np.inf)
    for a, b, c in triangles.astype(np.float64):
        e1, e2 = b - a, c - a
        p = np.cross(d, e2)
        with np.errstate(divide="ignore", invalid="ignore"):
            det = p @ e1
            u = -(p @ a) / det
            q = np.cross(-a, e1)
            v, z = (d @ q) / det, (e2 @ q) / det
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (z > near)
        best = np.where(hit & (z < best), z, best)
    return np.where(np.isinf(best), np.nan, best)


@pytest.mark.parametrize("pairs", [50, 10**6])
def test_equals_rays_against_triangles_before_beside_and_behind_the_camera(pairs, monkeypatch):
    monkeypatch.setattr(raster, "PAIRS", pairs)
    monkeypatch.setattr(raster, "TRIANGLES", 17)
    rng = np.random.default_rng(0)
    middle = rng.uniform([-4, -3, -2], [4, 3, 8], (80, 1, 3))
    triangles = (middle + rng.normal(0, 1.5, (80, 3, 3))).astype(np.float32)
    depth = rendered(triangles, 0.1)
    expected = cast(triangles, 0.1)
    assert 0.2 < np.isfinite(expected).mean() < 1 and depth.dtype == np.float32
    # A ray through an edge may go either way.
    agree = np.isclose(depth, expected, rtol=1e-5, equal_nan=True)
    assert agree.mean() > 0.995, agree.mean()


def test_a_floor_that_reaches_behind_the_camera_has_no_hole():
    floor = np.array([[-500, 1, -500], [500, 1, -500], [500, 1, 500], [-500, 1, 500]], np.float32)
    depth = rendered(floor[[[0, 1, 2], [0, 2, 3]]], 0.01)
    down = rays()[..., 1]
    expected = np.where(down > 0, 1 / np.where(down > 0, down, 1), np.nan)
    np.testing.assert_allclose(depth, expected, rtol=1e-5)


def test_nothing_before_the_camera_is_unknown_everywhere():
    behind = np.array([[[0, 0, -1], [1, 0, -1], [0, 1, -2]]], np.float32)
    for triangles in (behind, np.empty((0, 3, 3), np.float32)):
        assert np.isnan(rendered(triangles, 0.1)).all()
