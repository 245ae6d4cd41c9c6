"""The sheet of image, depth and points."""

import numpy as np
import pytest
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.depth.base import DepthEstimate
from lyra.depth.shading import shaded
from lyra.evaluation.depth_sheet import draw_depth_sheet, side_view

LENS = np.array([[100.0, 0, 80], [0, 100, 48], [0, 0, 1]])


def wall(depth: float) -> DepthEstimate:
    return DepthEstimate(np.full((96, 160), depth, np.float32), LENS, False, "a wall")


def test_near_is_bright_and_the_sky_blue():
    depth = np.linspace(1, 9, 100).reshape(10, 10)
    depth[0, 0] = np.inf
    colors = shaded(1 / depth, np.isinf(depth))
    assert colors[0, 1].sum() > colors[-1, -1].sum() and tuple(colors[0, 0]) == (60, 90, 140)


def test_the_view_from_aside_does_not_depend_on_scale_and_leaves_out_the_sky():
    image = np.random.default_rng(0).integers(100, 256, (96, 160, 3), np.uint8)
    near, far = (side_view(image, wall(depth)) for depth in (2.0, 30.0))
    assert np.mean(near == far) > 0.98
    share = (near > 90).all(-1).mean()
    assert 0.2 < share < 0.7  # a turned wall is narrower
    half = wall(2.0)
    half.depth[:48] = np.inf
    assert (side_view(image, half) > 90).all(-1).mean() < 0.6 * share


def test_a_sheet_has_a_row_for_every_image(tmp_path):
    class Wall:
        id = "wall"

        def estimate(self, image, intrinsics=None):
            return DepthEstimate(np.ones(image.shape[:2], np.float32), LENS, False, "a wall")

    with pytest.raises(InvalidInputError, match="holds no image"):
        draw_depth_sheet(Wall(), tmp_path, tmp_path / "sheet.png")
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (96, 72), "teal").save(tmp_path / name)
    assert len(draw_depth_sheet(Wall(), tmp_path, tmp_path / "sheet.png")) == 2
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 512, 2 * 288)


def test_pictures_are_cropped_and_stand_upright_as_they_are(tmp_path):
    """A circle stays a circle; a sheet of both kinds is as wide as its widest row."""
    circles = []

    class Looking:
        id = "looking"

        def estimate(self, image, intrinsics=None):
            rows, columns = np.nonzero(image[..., 0] > 128)
            circles.append((image.shape[:2], np.ptp(columns) / np.ptp(rows)))
            return DepthEstimate(np.ones(image.shape[:2], np.float32), LENS, False, "a wall")

    for name, size in (("a.png", (400, 100)), ("b.png", (100, 300))):
        y, x = np.mgrid[: size[1], : size[0]]
        disc = np.hypot(x - size[0] / 2, y - size[1] / 2) < 30
        Image.fromarray(np.uint8(255 * disc)).convert("RGB").save(tmp_path / name)
    draw_depth_sheet(Looking(), tmp_path, tmp_path / "sheet.png")
    assert [size for size, _ in circles] == [(288, 512), (512, 288)]
    assert all(aspect == pytest.approx(1, abs=0.03) for _, aspect in circles)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (3 * 512, 288 + 512)
