"""Sky mask and intrinsics by the built-in network."""

import numpy as np
import pytest

from lyra.depth.learned import LearnedDepth
from lyra.depth.sky_and_lens import seen_lens, seen_sky, touching_upper_edge
from lyra.synthetic import generate


@pytest.fixture(scope="module")
def world():
    return generate(2_000_000_000, 4, 96, 160, device="cpu")


def test_sky_is_where_it_is_and_like_that_of_the_whole_estimate(world):
    estimator = LearnedDepth()
    seen = np.stack([seen_sky(image) for image in world.images])
    assert (seen != np.isinf(world.depth)).mean() < 0.1
    whole = np.stack([estimator.estimate(image).sky for image in world.images])
    assert (seen != whole).mean() < 0.05


def test_lens_is_near_the_true_one(world):
    wrong = []
    for image, intrinsics in zip(world.images, world.intrinsics, strict=True):
        seen, note = seen_lens(image)
        assert "estimated" in note and seen[0, 2] == 80 and seen[1, 2] == 48
        wrong.append(abs(np.log(seen[0, 0] / intrinsics[0, 0])))
    assert np.median(wrong) < 0.3


@pytest.mark.parametrize("size", [(64, 64), (64, 1664), (1664, 64)])
def test_any_picture_has_a_lens_and_perhaps_a_sky(size):
    image = np.full((*size, 3), (120, 170, 230), np.uint8)
    assert seen_sky(image).shape == size
    assert np.isfinite(seen_lens(image)[0]).all()


def test_regions_at_the_upper_edge():
    mask = np.zeros((6, 8), bool)
    mask[:3, :2] = mask[4:, 5:] = True
    joined = touching_upper_edge(mask)
    assert joined[:3, :2].all() and joined.sum() == 6
