import numpy as np
import pytest
import torch

from lyra.memory import CoverageSettings, GeometryCache, GreedyCoverage, MemorySettings
from tests.geometry import scenes, twins
from tests.geometry.warping import remembered_points

HEIGHT, WIDTH = 48, 80
PUBLISHED = MemorySettings.published()


def walk(count, step, settings=PUBLISHED, frame_stride=8):
    depth, _, k = scenes.views(count, HEIGHT, WIDTH)
    cache = GeometryCache(HEIGHT, WIDTH, settings)
    for i, w2c in enumerate(scenes.poses(count, step)):
        cache.add(frame_stride * i, depth[i], w2c, k[i])
    return cache


def twin_of(cache, w2c, k, slots, **options):
    points = torch.from_numpy(remembered_points(cache))
    grid_k = torch.from_numpy(np.array(k, np.float32))
    grid_k[:, :2] /= cache.settings.stride
    view = torch.from_numpy(np.asarray(w2c, np.float32))
    return twins.greedy_coverage(points, cache.frame_ids, view, grid_k, cache.grid_hw, slots, **options)


@pytest.mark.parametrize("exclude_newest", [True, False])
@pytest.mark.parametrize("slots", [1, 3, 5])
@pytest.mark.parametrize(("count", "step"), [(1, 0.1), (7, 0.05), (30, 0.15)])
def test_agrees_with_its_twin(count, step, slots, exclude_newest):
    cache = walk(count, step)
    k = scenes.intrinsics(1, HEIGHT, WIDTH)
    strategy = GreedyCoverage(CoverageSettings(exclude_newest=exclude_newest))
    for frame in (0, count // 2, count):
        view = scenes.poses(count + 1, step)[frame : frame + 1]
        picked = cache.retrieve(view, k, slots, strategy)
        assert picked == twin_of(cache, view, k, slots, exclude_newest=exclude_newest)


def test_several_views_agree_with_the_twin():
    cache = walk(12, 0.12)
    views = scenes.poses(14, 0.12)[[2, 7, 13]]
    k = scenes.intrinsics(3, HEIGHT, WIDTH)
    assert cache.retrieve(views, k, 5, GreedyCoverage()) == twin_of(cache, views, k, 5)


def test_frames_behind_the_view_are_culled_without_changing_the_choice():
    cache = walk(42, 0.15)
    view, k = scenes.pose(3.0, (0.1, 0, 0.2))[None], scenes.intrinsics(1, HEIGHT, WIDTH)
    picked = cache.retrieve(view, k, 5, GreedyCoverage())
    assert picked and picked == twin_of(cache, view, k, 5)


def test_the_only_frame_is_used_while_it_is_frame_zero():
    cache = walk(1, 0.1)
    view, k = scenes.poses(1), scenes.intrinsics(1, HEIGHT, WIDTH)
    assert cache.retrieve(view, k, 5, GreedyCoverage()) == [0]


def test_nothing_in_view_gives_nothing():
    cache = walk(3, 0.05, MemorySettings())
    k = scenes.intrinsics(1, HEIGHT, WIDTH)
    assert cache.retrieve(scenes.pose(np.pi, (0, 0, 0))[None], k, 5, GreedyCoverage()) == []
    assert GeometryCache(HEIGHT, WIDTH).retrieve(scenes.poses(1), k, 5, GreedyCoverage()) == []


def test_no_more_frames_than_add_something():
    depth, w2c, k = scenes.views(1, HEIGHT, WIDTH)
    cache = GeometryCache(HEIGHT, WIDTH)
    for frame_id in range(4):
        cache.add(frame_id, depth[0], w2c[0], k[0])
    strategy = GreedyCoverage(CoverageSettings(exclude_newest=False))
    assert cache.retrieve(w2c, k, 5, strategy) == [0]
    assert cache.retrieve(w2c, k, 5, GreedyCoverage()) == []


def test_what_is_hidden_does_not_count():
    k = scenes.intrinsics(1, HEIGHT, WIDTH)
    origin = np.eye(4)
    wall, beyond = np.full((HEIGHT, WIDTH), 2.0), np.full((HEIGHT, WIDTH), 3.0)
    cache = GeometryCache(HEIGHT, WIDTH)
    cache.add(0, beyond, origin, k[0])
    cache.add(1, wall, origin, k[0])
    view = origin[None]
    assert cache.retrieve(view, k, 5, GreedyCoverage(CoverageSettings(exclude_newest=False))) == [1]
    loose = CoverageSettings(exclude_newest=False, tolerance=0.0, relative_tolerance=0.6)
    assert cache.retrieve(view, k, 5, GreedyCoverage(loose)) == [0]
