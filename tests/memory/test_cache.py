import numpy as np
import pytest
import torch

from lyra.common.errors import InvalidInputError
from lyra.memory import GeometryCache, MemorySettings
from tests.geometry import scenes, twins
from tests.geometry.warping import points_of

HEIGHT, WIDTH = 30, 50


def filled(count, settings=None):
    cache = GeometryCache(HEIGHT, WIDTH, settings)
    for i, view in enumerate(zip(*scenes.views(count, HEIGHT, WIDTH), strict=True)):
        cache.add(8 * i, *view)
    return cache


def test_points_are_those_of_every_fourth_pixel_as_published():
    depth, w2c, k = scenes.views(2, HEIGHT, WIDTH)
    depth[1, 4, 8] = 0
    cache = GeometryCache(HEIGHT, WIDTH, MemorySettings.published())
    for i in range(2):
        cache.add(i, depth[i], w2c[i], k[i])
    grid_k = k.copy()
    grid_k[:, :2] /= 4
    expected = twins.unproject(*scenes.as_torch(depth[:, ::4, ::4], w2c, grid_k)).numpy()
    np.testing.assert_allclose([points_of(cache, 0), points_of(cache, 1)], expected, atol=2e-5)
    assert not points_of(cache, 1)[1, 2].any()


def test_pixel_centres_are_the_default_and_sky_gives_no_points():
    depth, w2c, k = scenes.views(1, HEIGHT, WIDTH)
    depth[0, :8] = np.inf
    depth[0, 8, 8] = 0
    cache = GeometryCache(HEIGHT, WIDTH)
    cache.add(0, depth[0], w2c[0], k[0])
    points = points_of(cache, 0)
    assert np.isnan(points[:2]).all() and np.isnan(points[2, 2]).all()
    ray = np.linalg.inv(k[0]) @ [12.5, 16.5, 1]
    np.testing.assert_allclose(points[4, 3], ray * depth[0, 16, 12], rtol=1e-5)
    assert not np.isnan(cache.bounds).any()


def test_growing_keeps_what_was_there():
    cache = filled(40)
    alone = filled(3)
    assert len(cache) == 40 and cache.frame_ids == [8 * i for i in range(40)]
    for frame_id in alone.frame_ids:
        np.testing.assert_array_equal(points_of(cache, frame_id), points_of(alone, frame_id))
        np.testing.assert_array_equal(cache[frame_id].depth, alone[frame_id].depth)


def test_torch_and_half_precision_depth_are_kept_as_given():
    depth, w2c, k = scenes.views(2, HEIGHT, WIDTH)
    cache = GeometryCache(HEIGHT, WIDTH)
    cache.add(0, depth[0].astype(np.float16), w2c[0], k[0])
    cache.add(1, torch.from_numpy(depth[1]), torch.from_numpy(w2c[1]), torch.from_numpy(k[1]))
    assert cache[0].depth.dtype == np.float16 and isinstance(cache[1].depth, torch.Tensor)
    np.testing.assert_allclose(points_of(cache, 1), points_of(filled(2), 8), atol=1e-6)


def test_another_size_and_a_known_id_are_refused():
    cache = filled(1)
    depth, w2c, k = scenes.views(1, HEIGHT, WIDTH)
    with pytest.raises(InvalidInputError, match=r"frame 8 has shape \(20, 50\).*\(30, 50\)"):
        cache.add(8, depth[0, :20], w2c[0], k[0])
    with pytest.raises(InvalidInputError, match="Frame 0 is remembered already"):
        cache.add(0, depth[0], w2c[0], k[0])
    with pytest.raises(KeyError):
        cache[5]
