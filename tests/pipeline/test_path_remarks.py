"""Paths in other units, axes and pictures than the world's are remarked on; usual ones are not."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory, intrinsics_from_fov
from lyra.pipeline.path_remarks import axes_remarks, length_remarks, picture_remarks, require_reach

DEPTH = (8.0, 8.0)
GL = np.diag([1.0, -1, -1, 1])


def path(centers=None, rotations=None, frames=81, height=480, width=832):
    """Cameras at `centers` (N, 3) turned by `rotations` (N, 3, 3), camera to world."""
    c2w = np.tile(np.eye(4), (frames, 1, 1))
    if centers is not None:
        c2w[:, :3, 3] = centers
    if rotations is not None:
        c2w[:, :3, :3] = rotations
    lens = np.tile(intrinsics_from_fov(1.05, height, width), (frames, 1, 1))
    return Trajectory(np.linalg.inv(c2w), lens, height, width)


def straight(length, direction=(0, 0, 1), frames=81):
    return path(np.linspace(0, length, frames)[:, None] * np.array(direction), frames=frames)


def orbit(degrees, radius=8.0):
    """Around a point `radius` before the first camera, looking at it."""
    angle = np.radians(np.linspace(0, degrees, 81))
    turns = Rotation.from_rotvec(angle[:, None] * [0, -1, 0]).as_matrix()
    middle = np.array([0, 0, radius])
    return path(middle - turns @ middle, turns)


def turning(about=(0.0, 0, 0)):
    turns = Rotation.from_rotvec(np.linspace(0, 1, 81)[:, None] * [0, 1, 0]).as_matrix()
    return path(np.tile(about, (81, 1)), turns)


@pytest.mark.parametrize(
    "usual",
    [
        straight(0.1),
        straight(20),
        straight(30, (1, 0, 0)),
        straight(300, frames=1601),
        orbit(360),
        turning(),
        turning((1e5, 2e5, 30)),
    ],
)
def test_usual_ways_are_not_remarked_on(usual):
    assert length_remarks(usual, DEPTH) == []
    assert (
        length_remarks(
            Trajectory(usual.w2c.astype(np.float32).astype(float), usual.intrinsics, 480, 832), DEPTH
        )
        == []
    )


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 0, 0)])
def test_a_way_of_many_depths_is_remarked_on_with_both_numbers(direction):
    (said,) = length_remarks(straight(80, direction), DEPTH)
    assert "goes 80 units within 80 frames, 10 times" in said and "median depth of 8" in said
    assert "--pose-scale, centimetres by 0.01" in said and len(said) <= 300
    # Where the newest frame sees farther, that counts.
    assert length_remarks(straight(80, direction), (8.0, 40.0)) == []


def test_a_long_way_within_one_chunk_of_several_is_found():
    centers = np.zeros((161, 3))
    centers[81:, 0] = np.linspace(1, 80, 80)
    (said,) = length_remarks(path(centers, frames=161), DEPTH)
    assert "80 units within 80 frames" in said


def test_a_way_of_less_than_a_pixel_is_remarked_on():
    (said,) = length_remarks(straight(8e-4), DEPTH)
    assert (
        "0.0008 units" in said
        and "0.0001 of the scene's median depth of 8" in said
        and "--pose-scale" in said
    )


def test_a_path_that_stands_still_is_remarked_on():
    for depth in (DEPTH, None):
        assert "all its 81 cameras are the same" in length_remarks(straight(0), depth)[0]
    still = straight(0)
    zoom = still.intrinsics * np.linspace(1, 2, 81)[:, None, None] ** [[1], [1], [0]]
    assert length_remarks(Trajectory(still.w2c, zoom, 480, 832), DEPTH) == []


def test_a_world_of_nothing_but_sky_has_no_depth_to_compare_with():
    assert length_remarks(straight(80), None) == []


def test_a_path_out_of_all_range_is_refused():
    require_reach(straight(9e5))
    with pytest.raises(InvalidInputError, match=r"1\.12e\+06 units from its start at frame 9;.*--pose-scale"):
        require_reach(straight(1e7))


def test_pictures_of_another_orientation_are_remarked_on():
    portrait = path(height=832, width=480)
    (said,) = picture_remarks(portrait, portrait.fitted(480, 832))
    assert "480x832 and the world's 832x480: only the middle 33% of their height" in said
    for height, width in ((480, 832), (1080, 1920), (768, 1024)):
        usual = path(height=height, width=width)
        assert picture_remarks(usual, usual.fitted(480, 832)) == []


def test_pixels_that_are_not_square_are_remarked_on_once():
    wide = path()
    wide.intrinsics[:, 0] *= [1.33, 1, 1]
    said = picture_remarks(wide, wide.fitted(480, 832))
    assert "not square" in said[0] and len(said) == 1
    fitted = wide.fitted(240, 416)
    assert picture_remarks(wide, fitted) == picture_remarks(fitted, fitted)


@pytest.mark.parametrize(
    "right", [straight(3), straight(3, (1, 0, 0.1)), orbit(40), orbit(-90), turning(), straight(0)]
)
def test_paths_in_opencv_axes_are_not_doubted(right):
    assert axes_remarks(right) == []


@pytest.mark.parametrize(
    ("right", "words"), [(straight(3), "backwards"), (orbit(40), "its back on what it circles")]
)
def test_opengl_s_axes_are_seen_where_the_motion_tells(right, words):
    wrong = Trajectory(GL @ right.w2c, right.intrinsics, right.height, right.width)
    (said,) = axes_remarks(wrong)
    assert words in said and "diag(1, -1, -1, 1)" in said and len(said) <= 300


def test_c2w_in_the_place_of_w2c_is_seen_where_the_motion_tells():
    right = straight(3)
    assert "c2w" in axes_remarks(Trajectory(right.c2w, right.intrinsics, right.height, right.width))[0]
