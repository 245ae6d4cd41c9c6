import numpy as np
import pytest
import torch

from lyra.common.errors import InvalidInputError
from lyra.memory import GeometryCache, MemorySettings
from tests.geometry import scenes, twins

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
    np.testing.assert_allclose([cache.points_of(0), cache.points_of(1)], expected, atol=2e-5)
    assert not cache.points_of(1)[1, 2].any()


def test_pixel_centres_are_the_default_and_sky_gives_no_points():
    depth, w2c, k = scenes.views(1, HEIGHT, WIDTH)
    depth[0, :8] = np.inf
    depth[0, 8, 8] = 0
    cache = GeometryCache(HEIGHT, WIDTH)
    cache.add(0, depth[0], w2c[0], k[0])
    points = cache.points_of(0)
    assert np.isnan(points[:2]).all() and np.isnan(points[2, 2]).all()
    ray = np.linalg.inv(k[0]) @ [12.5, 16.5, 1]
    np.testing.assert_allclose(points[4, 3], ray * depth[0, 16, 12], rtol=1e-5)
    assert not np.isnan(cache.bounds).any()


def test_growing_keeps_what_was_there():
    cache = filled(40)
    alone = filled(3)
    assert len(cache) == 40 and cache.frame_ids == [8 * i for i in range(40)]
    for frame_id in alone.frame_ids:
        np.testing.assert_array_equal(cache.points_of(frame_id), alone.points_of(frame_id))
        np.testing.assert_array_equal(cache[frame_id].depth, alone[frame_id].depth)


@pytest.mark.parametrize("frames", [0, 1, 8, 9, 33, 1000])
def test_revert_leaves_the_memory_as_it_was(frames):
    cache, whole = filled(6), filled(6)
    cache.revert(frames)
    kept = [i for i in whole.frame_ids if i < frames]
    assert cache.frame_ids == kept
    for row, frame_id in enumerate(kept):
        np.testing.assert_array_equal(cache.points_of(frame_id), whole.points_of(frame_id))
        np.testing.assert_array_equal(cache.bounds[row], whole.bounds[row])


def test_revert_closes_gaps_when_frames_came_in_another_order():
    views = list(zip(*scenes.views(4, HEIGHT, WIDTH), strict=True))
    cache = GeometryCache(HEIGHT, WIDTH)
    for frame_id in (3, 0, 2, 1):
        cache.add(frame_id, *views[frame_id])
    expected = {i: cache.points_of(i) for i in (0, 1)}
    cache.revert(2)
    assert cache.frame_ids == [0, 1]
    for frame_id, points in expected.items():
        np.testing.assert_array_equal(cache.points_of(frame_id), points)
    cache.add(3, *views[3])
    assert 3 in cache and 2 not in cache


def test_torch_and_half_precision_depth_are_kept_as_given():
    depth, w2c, k = scenes.views(2, HEIGHT, WIDTH)
    cache = GeometryCache(HEIGHT, WIDTH)
    cache.add(0, depth[0].astype(np.float16), w2c[0], k[0])
    cache.add(1, torch.from_numpy(depth[1]), torch.from_numpy(w2c[1]), torch.from_numpy(k[1]))
    assert cache[0].depth.dtype == np.float16 and isinstance(cache[1].depth, torch.Tensor)
    np.testing.assert_allclose(cache.points_of(1), filled(2).points_of(8), atol=1e-6)


def test_another_size_and_a_known_id_are_refused():
    cache = filled(1)
    depth, w2c, k = scenes.views(1, HEIGHT, WIDTH)
    with pytest.raises(InvalidInputError, match=r"frame 8 has shape \(20, 50\).*\(30, 50\)"):
        cache.add(8, depth[0, :20], w2c[0], k[0])
    with pytest.raises(InvalidInputError, match="Frame 0 is remembered already"):
        cache.add(0, depth[0], w2c[0], k[0])
    with pytest.raises(KeyError):
        cache[5]
