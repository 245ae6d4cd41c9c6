"""Which frames' depth is estimated, how it is brought to scale, and what the frames between get."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.depth.align import DepthAligner  # noqa: E402
from lyra.depth.base import WindowDepth  # noqa: E402
from lyra.engines.lyra2.correspondence import with_sky_wall  # noqa: E402
from lyra.engines.lyra2.depth_loop import depth_between, estimate_window, window  # noqa: E402
from lyra.geometry.cameras import Trajectory  # noqa: E402
from lyra.memory import GeometryCache, MemorySettings  # noqa: E402
from tests.engines.lyra2.parts import SKY_ROWS, path  # noqa: E402

HEIGHT, WIDTH = 64, 96


def cameras():
    route = path(81)
    intrinsics = route.intrinsics.copy()
    intrinsics[:, :2] *= HEIGHT / 32
    return Trajectory(route.w2c, intrinsics, HEIGHT, WIDTH)


def wall(frame):
    """A wall at z = 4 with a box before it, below a strip of sky, seen along the path."""
    z = 4 + cameras().w2c[frame, 2, 3]
    depth = np.full((HEIGHT, WIDTH), z, np.float32)
    depth[: 2 * SKY_ROWS] = np.inf
    return depth


class Misjudging:
    """Every frame's depth is right but for a scale of its own."""

    id = "misjudging"

    def estimate_window(self, frames, w2c, intrinsics):
        scales = np.linspace(0.7, 1.4, len(frames), dtype=np.float32)[:, None, None]
        numbers = [int(np.abs(cameras().w2c - pose).max((1, 2)).argmin()) for pose in w2c]
        return WindowDepth(scales * np.stack([wall(i) for i in numbers]))


def test_windows_reach_back_ten_frames():
    assert window(80) == list(range(8, 81, 8))
    assert window(160) == list(range(88, 161, 8))
    assert window(40) == list(range(0, 41, 8))


@pytest.mark.parametrize("aligned", [True, False])
def test_depth_has_the_scale_of_what_is_remembered(aligned):
    memory = GeometryCache(HEIGHT, WIDTH, MemorySettings.published())
    memory.add(0, wall(0), cameras().w2c[0], cameras().intrinsics[0])
    ids = window(80)
    images = np.zeros((len(ids), HEIGHT, WIDTH, 3), np.uint8)
    loop = estimate_window(Misjudging(), DepthAligner() if aligned else None, images, ids, cameras(), memory)
    truth = np.stack([wall(i) for i in ids])
    solid = np.isfinite(truth)
    assert np.array_equal(np.isfinite(loop.depth), solid)
    off = np.abs(loop.depth[solid] / truth[solid] - 1)
    if aligned:
        assert np.median(off) < 0.01 and loop.fit is not None
    else:
        assert np.median(off) > 0.1 and loop.fit is None


def test_frames_between_see_what_their_neighbours_see():
    known = {frame: wall(frame) for frame in (0, 8, 16)}
    depth = depth_between(known, range(1, 17), cameras(), "cpu")
    assert depth.shape == (16, HEIGHT, WIDTH) and (depth > 0).all()
    for place, frame in enumerate(range(1, 17)):
        truth = wall(frame)
        solid = np.isfinite(truth)
        assert np.array_equal(np.isfinite(depth[place])[4 * SKY_ROWS :], solid[4 * SKY_ROWS :])
        assert np.isinf(depth[place, :SKY_ROWS]).all()
        np.testing.assert_allclose(depth[place][4 * SKY_ROWS :], truth[4 * SKY_ROWS :], rtol=2e-3)


def test_sky_is_a_wall_behind_the_rest_for_the_network():
    depth = wall(0)
    depth[-1] = 30
    stood = with_sky_wall(depth)
    assert stood[0, 0] == pytest.approx(30) and np.array_equal(stood[20:], depth[20:])
    assert with_sky_wall(np.full((4, 4), np.inf, np.float32)).max() == 200
    assert with_sky_wall(np.full((4, 4), 5, np.float32)).max() == 5
