"""The mirror extension of the source image: continuous at the border, level, and behind everything observed."""

import numpy as np
import pytest

from lyra.engines.preview.ground import GroundPlane
from lyra.engines.preview.mirror_extension import mirror_surfaces
from lyra.engines.preview.scene import PreviewScene
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.raster import Rasterizer, Surface
from lyra.geometry.views import View

H, W = 96, 160


def tilted_ground(pitch: float) -> GroundPlane:
    """Two units below a camera that looks down by `pitch` radians."""
    return GroundPlane(np.array([0, np.cos(pitch), np.sin(pitch)]), 2.0)


def view_of_ground(ground: GroundPlane) -> View:
    k = intrinsics_from_fov(np.radians(60), H, W)
    disparity = ground.disparity(np.eye(4), k, H, W)
    with np.errstate(divide="ignore"):
        depth = (1 / disparity).astype(np.float32)
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 255, (H // 16, W // 16, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    return View.at_origin(image, depth, k)


def panorama(surfaces: list[Surface]):
    """Image and disparity of 140 degrees around the source camera's axis, and its intrinsics."""
    k = intrinsics_from_fov(np.radians(70), H, 5 * W)
    k[0, 0] = k[1, 1] = 2.5 * W / np.tan(np.radians(70))
    image, disparity, _ = Rasterizer(H, 5 * W, 1e-3).draw(surfaces, np.eye(4), k).numpy()
    return image, disparity, k


@pytest.mark.parametrize("pitch", [0.0, 0.2, -0.15])
def test_the_ground_goes_on_as_the_same_plane(pitch):
    ground = tilted_ground(pitch)
    view = view_of_ground(ground)
    mirrored = mirror_surfaces(view, 1 / view.depth, ground, "cpu")
    assert len(mirrored) == 4
    _, disparity, k = panorama(mirrored)
    expected = ground.disparity(np.eye(4), k, H, 5 * W)
    seen = (disparity >= 0) & (expected > 0.02)
    assert seen.mean() > 0.1
    # Depth is read from the nearest source pixel, so it is off by up to one of its rows.
    assert np.quantile(np.abs(disparity - expected)[seen] / expected[seen], 0.95) < 0.08


def test_colours_and_depth_go_on_across_the_border():
    view = view_of_ground(tilted_ground(0.1))
    disparity = (1 / view.depth).astype(np.float32)
    mirrored = mirror_surfaces(view, disparity, tilted_ground(0.1), "cpu")
    source = Surface(view.image, disparity, np.eye(4), view.intrinsics)
    wide = view.intrinsics.copy()
    wide[0, 2] += W // 2
    image, seen, _ = Rasterizer(H, 2 * W, 1e-3).draw([source, *mirrored], np.eye(4), wide).numpy()
    rows = np.s_[H // 4 : 3 * H // 4]
    for border, step in ((W // 2, -1), (3 * W // 2 - 1, 1)):
        inside, outside = image[rows, border], image[rows, border + step]
        assert (seen[rows, border + step] >= 0).all()
        assert np.median(np.abs(inside - outside)) < 6
        # Farther out comes what lies as far inside, not the border drawn out.
        mirrored_back = np.median(np.abs(image[rows, border + 20 * step] - image[rows, border - 20 * step]))
        assert mirrored_back < 40
        assert np.abs(image[rows, border + 20 * step] - inside).mean() > 20


def test_nothing_is_mirrored_into_the_picture_itself():
    view = view_of_ground(tilted_ground(0.0))
    mirrored = mirror_surfaces(view, 1 / view.depth, None, "cpu")
    _, seen, _ = Rasterizer(H, W, 1e-3).draw(mirrored, np.eye(4), view.intrinsics).numpy()
    assert (seen[:, 2:-2] < 0).all()


def test_a_wide_lens_is_not_mirrored_behind_the_camera():
    view = view_of_ground(tilted_ground(0.0))
    k = intrinsics_from_fov(np.radians(100), H, W)
    surfaces = mirror_surfaces(View.at_origin(view.image, view.depth, k), 1 / view.depth, None, "cpu")
    turns = [np.arctan2(surface.w2c[2, 0], surface.w2c[0, 0]) for surface in surfaces]
    assert len(surfaces) == 2 and np.abs(turns).max() < np.radians(170)


def test_a_picture_of_sky_alone_is_mirrored_as_sky():
    image = np.full((H, W, 3), 200, np.uint8)
    view = View.at_origin(image, np.full((H, W), np.inf, np.float32), intrinsics_from_fov(1.0, H, W))
    scene = PreviewScene(view, "cpu")
    scene.mirror()
    image, disparity, _ = panorama(scene.mirrored)
    assert (disparity[disparity >= 0] == 0).all() and (disparity >= 0).mean() > 0.2
