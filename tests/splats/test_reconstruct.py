from dataclasses import replace

import numpy as np
import pytest

from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import Progress
from lyra.splats import SplatSettings, psnr_along_path, rasterize, reconstruct_splats
from lyra.splats.reconstruct import keyframe_indices, sky_shell
from tests.splats.scenes import cast, make_views, surface_distance

HEIGHT, WIDTH = 120, 208


@pytest.fixture(scope="module")
def views():
    return make_views(25, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def cloud(views):
    return reconstruct_splats(views)


def test_renders_the_path_again(cloud, views):
    assert psnr_along_path(cloud, views) > 29
    assert min(psnr_along_path(cloud, [view]) for view in views[::6]) > 27


def test_only_what_is_new_is_added(cloud, views):
    pixels = HEIGHT * WIDTH
    assert 0.98 * pixels < len(cloud) < 2 * pixels
    still = reconstruct_splats([views[0]] * 20)
    assert len(still) < 1.02 * pixels


def test_gaussians_lie_on_surfaces_or_the_sky(cloud, views):
    shell = sky_shell(views[::8])
    far = np.linalg.norm(cloud.means - shell.center, axis=1)
    on_sky = np.isclose(far, shell.radius, rtol=1e-3)
    assert 0.1 < on_sky.mean() < 0.6
    near = cloud.means[~on_sky].astype(np.float64)
    off = surface_distance(near) / np.linalg.norm(near, axis=1)
    assert np.quantile(off, 0.99) < 0.01


def test_between_and_beside_the_frames(cloud, views):
    w2c = views[12].w2c.copy()
    w2c[:3, 3] += [0.05, 0.05, 0]
    image, depth = cast(w2c, views[12].intrinsics, HEIGHT, WIDTH)
    rendering = rasterize(cloud, w2c, views[12].intrinsics, HEIGHT, WIDTH)
    error = (rendering.rgb - image / 255)[4:-4, 4:-4]
    assert -10 * np.log10((error**2).mean()) > 25
    close = np.isfinite(depth) & (rendering.alpha > 0.9)
    assert np.median(np.abs(rendering.depth - depth)[close] / depth[close]) < 0.01


def test_max_splats_bounds_the_cloud(views):
    limit = 6000
    cloud = reconstruct_splats(views, settings=SplatSettings(max_splats=limit, refine_passes=1))
    assert limit / 3 < len(cloud) <= limit
    assert psnr_along_path(cloud, views[::8]) > 15


def test_the_first_frame_leaves_room_for_the_others(views):
    limit = int(1.01 * HEIGHT * WIDTH)
    notes = []
    cloud = reconstruct_splats(views, settings=SplatSettings(max_splats=limit), notes=notes)
    assert len(cloud) <= limit
    assert min(psnr_along_path(cloud, [view]) for view in views[8::8]) > 29
    assert psnr_along_path(cloud, views[:1]) > 27
    assert "at most 25,209 are made" in notes[0]
    # A single frame has it all.
    alone = []
    assert (
        len(reconstruct_splats(views[:1], settings=SplatSettings(max_splats=limit), notes=alone))
        == HEIGHT * WIDTH
    )
    assert not alone


def test_sky_barely_moves_along_the_path(views):
    shell = sky_shell(views)
    centers = np.stack([np.linalg.inv(view.w2c)[:3, 3] for view in views])
    shift = views[0].intrinsics[0, 0] * np.linalg.norm(centers - shell.center, axis=1) / shell.radius
    assert shift.max() < 3.01
    assert shell.radius > 60


def test_single_pixels_far_beyond_the_rest_are_sky(views):
    stray = views[0].depth.copy()
    stray[HEIGHT // 2, 20:24] = 10_000
    strayed = [replace(views[0], depth=stray), *views[1:3]]
    shell = sky_shell(strayed)
    assert shell.radius < 1.1 * sky_shell(views[:3]).radius
    cloud = reconstruct_splats(strayed, settings=SplatSettings(refine_passes=1))
    assert np.linalg.norm(cloud.means - shell.center, axis=1).max() < 1.001 * shell.radius


def test_nothing_but_sky(views):
    empty = replace(views[0], depth=np.full((HEIGHT, WIDTH), np.inf, np.float32))
    cloud = reconstruct_splats([empty])
    assert psnr_along_path(cloud, [empty]) > 27


def test_one_view_is_enough(views):
    assert psnr_along_path(reconstruct_splats(views[:1]), views[:1]) > 31


def test_same_views_give_the_same_cloud(views, cloud):
    again = reconstruct_splats(views)
    assert np.array_equal(again.means, cloud.means)
    assert np.array_equal(again.sh, cloud.sh)


def test_keyframes_hold_the_ends_and_are_bounded():
    assert keyframe_indices(81, SplatSettings()) == list(range(0, 81, 8))
    picks = keyframe_indices(8001, SplatSettings(max_keyframes=100))
    assert len(picks) == 100 and picks[0] == 0 and picks[-1] == 8000
    assert keyframe_indices(1, SplatSettings()) == [0]


def test_no_views_are_refused():
    with pytest.raises(InvalidInputError, match="0 views"):
        reconstruct_splats([])


@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_cancel(views, stop_at):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) >= stop_at

    with pytest.raises(CancelledError):
        reconstruct_splats(views, Progress(cancelled=cancelled))
    assert len(calls) == stop_at


def test_progress_never_goes_back(views):
    seen = []
    reconstruct_splats(views[:9], Progress(lambda stage, fraction, frame: seen.append(fraction)))
    assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1
