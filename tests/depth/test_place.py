"""Gravity, the ground, what stands on it, and crisp edges, on a scene that is known exactly."""

import numpy as np
import pytest
from scipy import ndimage

from lyra.depth import place
from lyra.depth.base import DepthEstimate
from lyra.depth.edges import crisp, crisp_source
from lyra.depth.gravity import LEVEL, find_gravity, steep_lines, up_of
from lyra.depth.ground import find_plane
from lyra.depth.level_grid import level_grid, level_rotation
from lyra.depth.pieces import joined
from lyra.depth.place import CEILING, FREE, GROUND, SKY, UPRIGHT, find_ground, settle, settled

SIZE = (240, 416)
LENS = np.array([[330.0, 0, 208], [0, 330, 120], [0, 0, 1]])
EYE = 1.6
# Posts: x, level depth, half width, height, in metres.
POSTS = ((-1.5, 5.0, 0.25, 3.0), (0.4, 7.0, 0.3, 2.6), (2.4, 6.0, 0.25, 3.4))


def scene(pitch=0.0, roll=0.0):
    """Image, z-depth and labels of posts on a plane under a sky, before a far wall on the left."""
    rotation = level_rotation(up_of(pitch, roll))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    rays = np.stack([(x - LENS[0, 2]) / LENS[0, 0], (y - LENS[1, 2]) / LENS[1, 1], np.ones(SIZE)], -1)
    level = rays @ rotation.T
    right, below = level[..., 0] / level[..., 2], level[..., 1] / level[..., 2]
    depth = np.where(below > 0.01, EYE / np.maximum(below, 0.01), np.inf)
    labels = np.where(np.isfinite(depth), GROUND, SKY)
    rng = np.random.default_rng(5)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, SIZE), 2) * 60
    colour = np.where(labels == GROUND, 120 + grain, 200 + 0 * grain)[..., None] * [1.0, 0.9, 0.7]
    colour[labels == SKY] = 150, 180, 220
    for px, pz, half, height in (*POSTS, (-9.0, 14.0, 5.0, 4.0)):
        hit = (
            (np.abs(right * pz - px) < half) & (below * pz < EYE) & (below * pz > EYE - height) & (pz < depth)
        )
        depth[hit], labels[hit] = pz, UPRIGHT
        colour[hit] = np.array([70 + 9 * px, 50, 45]) + 0.3 * grain[hit][:, None]
    return np.clip(colour, 0, 255).astype(np.uint8), (depth / level[..., 2]).astype(np.float32), labels


def leaning(depth):
    """The depth as an estimator gives it: things lean away, and the ground is bent."""
    rows = np.linspace(-0.2, 0.2, len(depth))[:, None]
    return (depth * np.exp(-rows)).astype(np.float32)


def angle(a, b):
    return float(np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1))))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (9, 0), (-14, 3), (5, -6)])
def test_gravity_is_found_from_lines_and_surfaces(pitch, roll):
    image, depth, _ = scene(pitch, roll)
    gravity = find_gravity(image, leaning(depth), LENS)
    assert angle(gravity.up, up_of(pitch, roll)) < 2
    assert np.linalg.norm(gravity.up) == pytest.approx(1)
    assert gravity.confidence > place.SURE


def test_up_is_that_of_a_camera_that_looks_up_and_is_rolled():
    np.testing.assert_allclose(up_of(0, 0), LEVEL, atol=1e-12)
    # Looking up, the sky is in front.
    assert up_of(20, 0)[2] == pytest.approx(np.sin(np.radians(20)))
    # Turned clockwise, up is on the left of the picture.
    assert up_of(0, 20)[0] < 0


@pytest.mark.parametrize("degrees", [-25, -4, 0, 11, 30])
def test_a_steep_line_is_found_at_its_angle(degrees):
    y, x = np.mgrid[:200, :300] + 0.5
    slope = np.tan(np.radians(degrees))
    image = np.repeat(np.where(x - 150 > slope * (y - 100), 200, 60).astype(np.uint8)[..., None], 3, 2)
    lines = steep_lines(image)
    length = lines[:, 3] - lines[:, 1]
    found = np.degrees(np.arctan2(lines[:, 2] - lines[:, 0], length))[length.argmax()]
    assert length.max() > 150
    assert found == pytest.approx(degrees, abs=0.5)


def test_a_level_line_is_not_steep():
    image = np.full((200, 300, 3), 60, np.uint8)
    image[100:] = 200
    assert not len(steep_lines(image))


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (12, -5), (-30, 8)])
def test_the_level_rotation_turns_up_upwards_and_keeps_the_heading(pitch, roll):
    rotation = level_rotation(up_of(pitch, roll))
    np.testing.assert_allclose(rotation @ up_of(pitch, roll), LEVEL, atol=1e-12)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert (rotation @ [0, 0, 1])[0] == pytest.approx(0)


@pytest.mark.parametrize("pitch", [0, 10, -20])
def test_the_ground_lies_at_its_height_and_slopes_by_one(pitch):
    image, depth, labels = scene(pitch)
    grid = level_grid(image, depth, LENS, up_of(pitch, 0))
    plane = find_plane(grid)
    assert plane.height == pytest.approx(EYE, rel=0.03)
    slope = grid.pixels(grid.slope, np.nan)
    inside = ndimage.binary_erosion(labels == GROUND, iterations=14)
    assert np.nanmedian(slope[inside]) == pytest.approx(1, abs=0.1)
    posts = ndimage.binary_erosion(labels == UPRIGHT, iterations=6)
    assert np.nanmedian(slope[posts]) == pytest.approx(0, abs=0.05)


def test_a_ceiling_is_a_plane_above():
    """The picture upside down: its ground is the ceiling."""
    image, depth, _ = scene()
    grid = level_grid(image[::-1], depth[::-1], LENS, LEVEL)
    assert find_plane(grid) is None
    assert find_plane(grid, above=True).height == pytest.approx(EYE, rel=0.03)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (8, 3), (-12, -4)])
def test_things_stand_and_the_ground_lies(pitch, roll):
    image, depth, labels = scene(pitch, roll)
    ground = find_ground(image, leaning(depth), LENS)
    assert (ground.labels[labels == UPRIGHT] == UPRIGHT).mean() > 0.9
    near = (labels == GROUND) & (depth < 30)
    assert (ground.labels[near] == UPRIGHT).mean() < 0.05
    assert (ground.labels[near] == GROUND).mean() > 0.85
    assert (ground.labels[labels == SKY] == SKY).mean() > 0.97
    assert ((ground.pieces > 0) == (ground.labels == UPRIGHT)).all()
    assert ground.labels.dtype == np.uint8 and ground.pieces.dtype == np.int32


def test_what_leant_stands_upright():
    """A post of the leaning estimate is spread over depths; settled, it has one, but for its roundness."""
    image, depth, labels = scene(4)
    bent = leaning(depth)
    straight = settle(image, bent, LENS, find_ground(image, bent, LENS))
    level = level_rotation(up_of(4, 0))[2]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    ahead = level[0] * (x - 208) / 330 + level[1] * (y - 120) / 330 + level[2]
    for _, pz, _, _ in POSTS:
        post = ndimage.binary_erosion((labels == UPRIGHT) & (np.abs(depth * ahead - pz) < 0.01), iterations=3)
        spread = [np.log(values[post] * ahead[post]).std() for values in (bent, straight)]
        assert spread[1] < 0.35 * spread[0]


def test_the_settled_ground_is_one_plane():
    image, depth, labels = scene(6)
    bent = leaning(depth)
    ground = find_ground(image, bent, LENS)
    straight = settle(image, bent, LENS, ground)
    inner = ndimage.binary_erosion((labels == GROUND) & (depth < 15), iterations=4)
    inner &= ground.labels == GROUND
    ratio = [np.log(values[inner] / depth[inner]) for values in (bent, straight)]
    assert ratio[1].std() < 0.8 * ratio[0].std()
    assert straight.dtype == np.float32 and (straight > 0).all() and not np.isnan(straight).any()


def test_the_numbers_of_pieces_join_what_is_alike():
    level = np.array([[0.0, 0.05, 1.0], [np.nan, 0.1, 1.0], [2.0, np.nan, 1.05]])
    np.testing.assert_array_equal(joined(level, 0.1), [[1, 1, 2], [0, 1, 2], [3, 0, 2]])
    assert not joined(np.full((3, 4), np.nan), 0.1).any()
    assert (joined(np.zeros((3, 4)), 0.1) == 1).all()


def test_a_blurred_edge_becomes_a_jump_on_the_picture_s_edge():
    image = np.full((60, 832, 3), 60, np.uint8)
    image[:, 401:] = 190
    sharp = np.where(np.arange(832) < 401, 2.0, 6.0)[None].repeat(60, 0)
    soft = np.exp(ndimage.gaussian_filter1d(np.log(sharp), 4, axis=1)).astype(np.float32)
    clean = crisp(image, soft)
    assert np.isin(clean, soft).all()
    jump = np.abs(np.diff(np.log(clean), axis=1))
    assert (jump.argmax(1) == 400).mean() > 0.95
    assert (jump.max(1) > 0.5 * np.log(3)).all()
    assert np.abs(np.log(clean / sharp)).mean() < 0.7 * np.abs(np.log(soft / sharp)).mean()


def test_thin_things_keep_their_depth():
    image = np.full((160, 240, 3), 60, np.uint8)
    depth = np.full((160, 240), 8.0, np.float32)
    image[:, 120:123], depth[:, 120:123] = 80, 2.0
    clean = crisp(image, depth)
    assert (clean[:, 120:123] == 2).mean() > 0.9


def test_crisp_depth_leaves_slopes_and_the_sky():
    image, depth, _ = scene(5)
    clean = crisp(image, depth)
    # Towards the horizon a window holds several depths of the ground.
    near, sky = depth < 12, np.isinf(depth)
    assert (np.abs(clean[near] / depth[near] - 1) < 0.05).mean() > 0.97
    assert np.isinf(clean[sky]).mean() > 0.97
    np.testing.assert_array_equal(depth.ravel()[crisp_source(image, depth)], clean)


def _smooth_sky():
    return np.linspace(120, 220, SIZE[0])[:, None, None].repeat(SIZE[1], 1).repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "depth"),
    [
        (np.full((*SIZE, 3), 90, np.uint8), np.full(SIZE, 5.0)),
        (_smooth_sky(), np.full(SIZE, np.inf)),
        (np.zeros((*SIZE, 3), np.uint8), np.geomspace(1, 50, SIZE[0])[:, None].repeat(SIZE[1], 1)),
    ],
    ids=["one colour", "only sky", "black"],
)
def test_pictures_that_say_nothing_are_left_alone_with_a_note(image, depth):
    estimate = DepthEstimate(depth.astype(np.float32), LENS, False, "test")
    result, up = settled(image, estimate)
    np.testing.assert_array_equal(result.depth, estimate.depth)
    np.testing.assert_array_equal(up, LEVEL)
    assert place.UNSURE in result.notes
    ground = find_ground(image, estimate.depth, LENS)
    assert np.isnan(ground.height)
    assert set(np.unique(ground.labels)) <= {SKY, FREE}


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (40, 300), (300, 40)])
def test_small_and_odd_pictures_give_depth_of_their_own_size(size):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    depth = np.geomspace(30, 1, size[0])[:, None].repeat(size[1], 1).astype(np.float32)
    lens = np.array([[60.0, 0, size[1] / 2], [0, 60, size[0] / 2], [0, 0, 1]])
    result, up = settled(image, DepthEstimate(depth, lens, False, "test"))
    assert result.depth.shape == size and (result.depth > 0).all()
    assert np.linalg.norm(up) == pytest.approx(1)


def test_without_ground_the_rest_still_stands():
    """A portrait: a head and shoulders before a wall."""
    image, depth, _ = scene()
    image, depth = image[:110].copy(), np.minimum(depth[:110], 20).astype(np.float32)
    image[:, ::40] = 20
    lens = LENS.copy()
    result, _ = settled(image, DepthEstimate(depth, lens, False, "test"))
    assert result.depth.shape == depth.shape and np.isfinite(result.depth).all()
    assert len(result.notes) == 1


def test_measured_depth_is_left_as_it_is_and_up_is_known():
    image, depth, _ = scene(10)
    estimate = DepthEstimate(depth, LENS, True, "a file")
    result, up = settled(image, estimate, measured=True)
    assert result is estimate
    assert angle(up, up_of(10, 0)) < 1.5


def test_the_labels_differ():
    assert len({SKY, GROUND, UPRIGHT, FREE, CEILING}) == 5
