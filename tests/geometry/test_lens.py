"""Lenses that belong to their picture pass; others are refused in one line with the next step."""

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory, intrinsics_from_fov
from lyra.geometry.lens import check_lens, lens_fault, lens_remark

HEIGHT, WIDTH = 240, 416


def lens(fx=360.0, fy=None, cx=WIDTH / 2, cy=HEIGHT / 2):
    return np.array([[fx, 0, cx], [0, fx if fy is None else fy, cy], [0, 0, 1]])


def check(*lenses, height=HEIGHT, width=WIDTH):
    check_lens(np.stack(lenses), height, width, "frame {}".format)


@pytest.mark.parametrize(
    "good",
    [
        lens(),
        lens().astype(np.float32),
        lens() + np.array([[0, 1e-5, 0], [0, 0, 0], [0, 0, 0]]),
        # Shift lenses: the principal point at the edge; one axis or both.
        lens(cx=WIDTH),
        lens(cy=0),
        lens(cx=0.8 * WIDTH, cy=0.3 * HEIGHT),
        # As calibration finds it.
        lens(cx=203.7, cy=123.1),
        intrinsics_from_fov(np.radians(2.1), HEIGHT, WIDTH),
        intrinsics_from_fov(np.radians(149), HEIGHT, WIDTH),
        # Anamorphic film, 2:1 either way.
        lens(360, 720),
        lens(360, 180),
    ],
)
def test_lenses_that_exist_pass(good):
    check(good.astype(np.float64))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        # In shares of the picture; in half widths, as OpenGL and PyTorch3D count; of one side alone.
        (
            lens(360 / 416, 360 / 240, 0.5, 0.5),
            r"look normalised.*0\.8654.*416x240.*first row times 416, the second times 240",
        ),
        (lens(1.73, 1.73, 0, 0), "look normalised"),
        (lens(0.87, 0.87, 0.5, 0.29), "look normalised"),
        # Of the 4K original; of twice, one and a half times and half the size.
        (
            lens(3323, 3240, 1920, 1080),
            r"\(1920, 1080\), outside its 416x240.*about 3840x2160, not 416x240.*by 0\.108",
        ),
        (lens(720, 720, 416, 240), r"about 832x480.*scale them by 0\.5"),
        (lens(540, 540, 312, 180), r"about 624x360.*scale them by 0\.667"),
        (lens(180, 180, 104, 60), r"about 208x120.*scale them by 2"),
        (lens(360, 360, 0, 0), r"the corner.*in the middle it is \(208, 120\)"),
        (lens(cx=-100), r"outside its 416x240"),
        (lens(cy=1e30), r"1e\+30"),
        # Millimetres, and a field of view whose unit was mistaken.
        (lens(35), r"35 and 35 px, a field of view of 16\d°.*millimetres"),
        (lens(90000), r"field of view of 0\.26.*check its unit"),
        (lens(360, 100), "360 and 100.*twice as wide"),
        (lens(-360), "focal lengths of frame 0 are .*positive"),
        (lens(np.nan), "not finite"),
        (lens().T, "transposed"),
        (lens() + np.array([[0, 4.0, 0], [0, 0, 0], [0, 0, 0]]), "skewed by 4"),
        (lens() * 2, "no pinhole matrix"),
    ],
)
def test_lenses_of_other_pictures_are_refused_with_the_next_step(bad, words):
    with pytest.raises(InvalidInputError, match=words) as caught:
        check(bad)
    message = str(caught.value)
    assert "rame 0" in message and "\n" not in message and len(message) <= 300


@pytest.mark.parametrize(("height", "width"), [(416, 240), (1080, 1920), (832, 480)])
def test_height_and_width_swapped(height, width):
    with pytest.raises(
        InvalidInputError, match=rf"middle of a {width}x{height} picture.*{height}x{width}: swap"
    ):
        check(lens(600, 600, width / 2, height / 2), height=width, width=height)
    check(lens(600, 600, width / 2, height / 2), height=height, width=width)


def test_the_first_bad_frame_is_named():
    with pytest.raises(InvalidInputError, match="frame 2 "):
        check(lens(), lens(), lens(cx=5000, cy=100), lens(1.0))
    with pytest.raises(InvalidInputError, match="frame 1 "):
        check(lens(), lens(10), lens(cx=5000, cy=100))


def test_a_fault_without_raising():
    assert lens_fault(lens(), HEIGHT, WIDTH, "the guess") == ""
    assert "guess" in lens_fault(lens(1.0), HEIGHT, WIDTH, "the guess")
    assert "shape (2, 2)" in lens_fault(np.eye(2), HEIGHT, WIDTH, "the guess")
    assert "type <U" in lens_fault(np.full((3, 3), "x"), HEIGHT, WIDTH, "the guess")


def test_pixels_that_are_not_square_are_remarked_on():
    assert lens_remark(lens(360, 350), "the file") == ""
    assert "480 px across and 360 px down" in lens_remark(lens(480, 360), "the file")


def test_a_field_of_view_in_degrees_is_refused():
    assert intrinsics_from_fov(np.pi / 2, HEIGHT, WIDTH)[0, 0] == pytest.approx(208)
    for degrees in (60, 90, 0.01):
        with pytest.raises(InvalidInputError, match=rf"{degrees:g} rad.*numpy\.radians"):
            intrinsics_from_fov(degrees, HEIGHT, WIDTH)


def test_a_lens_that_a_crop_has_moved_is_kept():
    path = Trajectory.checked(np.eye(4)[None], lens(400, 400, 20, 500), 900, 300)
    fitted = path.fitted(480, 832)
    assert fitted.intrinsics[0, 1, 2] > 0
    off = path.fitted(48, 832)
    again = Trajectory.checked(off.w2c, off.intrinsics, 48, 832, fitted=True)
    np.testing.assert_array_equal(again.intrinsics, off.intrinsics)
