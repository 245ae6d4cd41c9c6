"""The built-in depth estimator: its contract on any image, and the order of near and far."""

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.depth.checks import sanitise
from lyra.depth.learned import WEIGHTS, LearnedDepth, without_small_regions, working_size

pytestmark = pytest.mark.skipif(not WEIGHTS.is_file(), reason="the package has no depth weights")


@pytest.fixture(scope="module")
def estimator():
    return LearnedDepth()


def landscape(height: int, width: int) -> np.ndarray:
    """A blue sky that pales toward the horizon, above a ground of dark rows that widen toward the eye."""
    rows = np.arange(height)
    below = np.maximum(rows - height // 2, 0) + 1
    image = np.zeros((height, width, 3))
    share = rows[: height // 2, None, None] / height
    image[: height // 2] = [70, 120, 200] + share * [200, 180, 80]
    stripes = np.sin(3e3 / below[height // 2 :])[:, None, None]
    image[height // 2 :] = [90, 80, 55] + 25 * stripes
    return np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def checked(estimate, size):
    assert estimate.depth.shape == size and estimate.depth.dtype == np.float32
    assert (estimate.depth > 0).all() and np.isfinite(estimate.depth).any()
    assert estimate.intrinsics.shape == (3, 3) and np.isfinite(estimate.intrinsics).all()
    assert (
        estimate.confidence.shape == size and 0 <= estimate.confidence.min() <= estimate.confidence.max() <= 1
    )
    np.testing.assert_array_equal(sanitise(estimate).depth, estimate.depth)
    return estimate


def test_ground_comes_nearer_below_a_sky(estimator):
    estimate = checked(estimator.estimate(landscape(240, 416)), (240, 416))
    sky = np.isinf(estimate.depth)
    assert sky[:80].mean() > 0.8 and sky[160:].mean() < 0.05
    ground = np.median(estimate.depth[140:], 1)
    assert ground[5] > 2 * ground[-5]
    assert np.mean(np.diff(ground[::10]) < 0) > 0.8


@pytest.mark.parametrize("size", [(64, 64), (40, 700), (700, 40), (121, 77)])
def test_any_size_gives_a_sane_depth(estimator, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    checked(estimator.estimate(image), size)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (120, 170, 230)])
def test_one_colour_and_nothing_but_sky(estimator, color):
    estimate = checked(estimator.estimate(np.full((96, 160, 3), color, np.uint8)), (96, 160))
    finite = np.isfinite(estimate.depth)
    assert finite.mean() >= 0.03 and estimate.notes


def test_known_lenses_are_kept_and_unknown_ones_estimated(estimator):
    image = landscape(120, 200)
    known = np.array([[150.0, 0, 100], [0, 150, 60], [0, 0, 1]])
    assert estimator.estimate(image, known).intrinsics is known
    guess = estimator.estimate(image)
    degrees = np.degrees(2 * np.arctan(100 / guess.intrinsics[0, 0]))
    assert 20 <= degrees <= 115
    assert any(f"{degrees:.0f}°" in note for note in guess.notes)


def test_mirrored_pictures_have_mirrored_depth(estimator):
    image = landscape(96, 160)
    image[40:80, 20:50] = (150, 60, 40)
    straight = estimator.estimate(image).depth
    mirrored = estimator.estimate(np.ascontiguousarray(image[:, ::-1])).depth[:, ::-1]
    np.testing.assert_array_equal(np.isinf(straight), np.isinf(mirrored))
    seen = np.isfinite(straight)
    # Shrinking rounds colours, and halves not alike on both sides.
    assert np.median(np.abs(np.log(straight[seen] / mirrored[seen]))) < 3e-3


def test_the_working_size_keeps_the_aspect_and_its_bounds():
    height, width = working_size((480, 832), 16)
    assert height % 16 == width % 16 == 0 and abs(width / height - 832 / 480) < 0.1
    assert working_size((100, 4000), 16) == (64, 640)


def test_specks_of_either_kind_go_and_pieces_stay():
    mask = np.zeros((200, 300), bool)
    mask[:80] = True
    mask[20, 30] = False
    mask[40:60, 100:120] = False
    mask[150:153, 9:12] = True
    clean = without_small_regions(without_small_regions(mask), of=False)
    assert clean[20, 30] and not clean[50, 110] and not clean[151, 10]
    assert (clean != mask).sum() == 10


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(EngineNotReadyError, match="install lyra-worlds again"):
        LearnedDepth(weights=tmp_path / "depth.safetensors")
