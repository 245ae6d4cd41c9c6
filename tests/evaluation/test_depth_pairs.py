"""Marked pairs and depth metrics: what counts as an error and what does not."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.depth.base import DepthEstimate
from lyra.depth.metrics import absolute_relative, field_of_view, overlap, sampled_ordinal_error
from lyra.evaluation import depth_quality
from lyra.evaluation.depth_pairs import (
    MarkedImage,
    cropped_pairs,
    found_images,
    marked_images,
    ordinal_errors,
)
from lyra.evaluation.depth_quality import (
    FRAME,
    TIMINGS,
    QualityLimits,
    evaluate_files,
    evaluate_pairs,
    evaluate_speed,
    missed,
    not_measured,
)


def test_the_marked_pairs_are_enough_and_each_is_a_step():
    images = marked_images()
    assert sum(len(image.pairs) for image in images) >= 60
    assert len({image.sha256 for image in images}) == len(images)
    for image in images:
        assert len(image.sha256) == 64 and image.about
        assert np.linalg.norm(image.pairs[:, :2] - image.pairs[:, 2:], axis=1).min() > 0.02


def test_order_ties_and_sky():
    depth = np.repeat([[1.0, 1.0, 2.0, np.inf]], 4, 0).repeat(8, 0).repeat(8, 1)
    at = [0.125, 0.375, 0.625, 0.875]
    pairs = np.array(
        [
            [at[0], 0.5, at[2], 0.5],
            [at[2], 0.5, at[0], 0.5],
            [at[0], 0.5, at[1], 0.5],
            [at[2], 0.5, at[3], 0.5],
        ]
    )
    assert ordinal_errors(depth, pairs).tolist() == [False, True, True, False]
    assert ordinal_errors(depth, pairs).mean() == 0.5


def test_a_stray_pixel_at_a_mark_does_not_count():
    depth = np.ones((200, 300))
    depth[:, 150:] = 2
    depth[100, 30] = 9
    assert ordinal_errors(depth, np.array([[30.5 / 300, 100.5 / 200, 0.8, 0.5]])).mean() == 0


def test_pictures_are_known_by_their_bytes(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "renamed.png")
    digest = hashlib.sha256((tmp_path / "renamed.png").read_bytes()).hexdigest()
    marked = [MarkedImage(digest, "black", np.array([[0.1, 0.9, 0.1, 0.1]]))]
    assert found_images(tmp_path, marked) == {tmp_path / "renamed.png": marked[0]}
    with pytest.raises(InvalidInputError, match="None of the 1 pictures"):
        found_images(tmp_path)
    with pytest.raises(InvalidInputError, match="None of the 1 pictures"):
        evaluate_pairs(None, tmp_path)


@pytest.mark.parametrize("pairs", [[[0.1, 0.2, 0.3]], [[0.1, 0.2, 0.3, 1.4]], "none"])
def test_files_of_pairs_that_are_none_are_refused(tmp_path, pairs):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps({"images": [{"sha256": "0", "about": "a", "pairs": pairs}]}))
    with pytest.raises(InvalidInputError, match=r"pairs\.json"):
        marked_images(path)


def test_relative_error_is_free_of_scale_and_shift():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 20, (30, 40))
    truth[:5] = np.inf
    assert absolute_relative(3 / truth + 0.2, truth) < 1e-9
    noisy = truth * rng.choice([0.9, 1.1], truth.shape)
    assert absolute_relative(1 / noisy, truth) == pytest.approx(0.1, abs=0.02)


def test_sampled_order_is_right_wrong_and_half():
    truth = np.random.default_rng(0).uniform(1, 20, (30, 40))
    assert sampled_ordinal_error(1 / truth, truth) == 0
    assert sampled_ordinal_error(truth, truth) == 1
    assert sampled_ordinal_error(np.random.default_rng(1).random(truth.shape), truth) == pytest.approx(
        0.5, abs=0.05
    )
    assert sampled_ordinal_error(truth, np.ones_like(truth)) == 0


def test_lens_and_masks():
    assert field_of_view(0.5) == pytest.approx(90)
    half = np.arange(10) < 5
    assert overlap(half, half) == overlap(half & False, half & False) == 1 and overlap(half, ~half) == 0


def test_files_with_depth_are_measured_and_those_of_nothing_but_sky_left_out(tmp_path):
    truth = np.random.default_rng(0).uniform(2, 9, (48, 64)).astype(np.float32)
    truth[:10] = np.inf
    lens = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    for name, depth in (("a", truth), ("b", np.full_like(truth, np.inf))):
        np.savez(
            tmp_path / f"{name}.npz", image=np.zeros((48, 64, 3), np.uint8), depth=depth, intrinsics=lens
        )

    class Truth:
        id = "truth"

        def estimate(self, image, intrinsics=None):
            return DepthEstimate(3 * truth, lens * [[2], [2], [1]], False, "the truth, thrice")

    figures = evaluate_files(Truth(), tmp_path)
    assert figures["pictures"] == figures["sky_iou"] == 1 and figures["abs_rel"] < 1e-6
    assert figures["fov"] == pytest.approx(np.degrees(2 * np.arctan(32 / 60) - 2 * np.arctan(32 / 120)))
    for name, depth in (("c", truth), ("d", truth[::-1])):
        np.savez(
            tmp_path / f"{name}.npz", image=np.zeros((48, 64, 3), np.uint8), depth=depth, intrinsics=lens
        )
    figures = evaluate_files(Truth(), tmp_path)
    assert figures["pictures"] == 3 and figures["abs_rel"] > 0.1 and figures["abs_rel_median"] < 1e-6
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match=r"holds no \.npz"):
        evaluate_files(Truth(), tmp_path / "empty")


@pytest.mark.parametrize("size", [(300, 900), (900, 300), (480, 832)])
def test_marks_stay_on_what_they_mark_and_those_cut_off_are_left_out(tmp_path, monkeypatch, size):
    """The picture itself says how far: left and top near. A long one loses its ends."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    ramp = np.linspace(20, 220, max(size)).astype(np.uint8)
    image[:] = ramp[None, :, None] if width >= height else ramp[:, None, None]
    Image.fromarray(image).save(tmp_path / "ramp.png")
    steps = np.array([[0.42, 0.5, 0.45, 0.5], [0.55, 0.1, 0.6, 0.9], [0.02, 0.5, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    pairs = steps if width >= height else steps[:, [1, 0, 3, 2]]
    digest = hashlib.sha256((tmp_path / "ramp.png").read_bytes()).hexdigest()
    found = {tmp_path / "ramp.png": MarkedImage(digest, "a ramp", pairs)}
    monkeypatch.setattr(depth_quality, "found_images", lambda folder: found)

    class Ramp:
        id = "ramp"

        def estimate(self, image, intrinsics=None):
            assert image.shape[:2] in (FRAME, FRAME[::-1])
            return DepthEstimate(image[..., 0].astype(np.float32), np.eye(3), False, "the ramp")

    figures = evaluate_pairs(Ramp(), tmp_path)
    assert figures["pairs"] == figures["ramp.png"] == 0
    assert figures["pairs_cut"] == (2 if size != FRAME else 0)
    kept = cropped_pairs(pairs, size, FRAME if width >= height else FRAME[::-1])
    assert len(kept) == 4 - figures["pairs_cut"]
    # The middle of the picture is the middle of its crop, and nothing is stretched.
    middle = cropped_pairs(np.full((1, 4), 0.5), size, FRAME)
    assert np.allclose(middle, 0.5)


def test_seconds_are_those_of_a_world_s_picture():
    seen = []

    class Watched:
        id = "watched"

        def estimate(self, image, intrinsics=None):
            seen.append(image.shape)

    assert evaluate_speed(Watched())["seconds"] >= 0
    assert seen == [(*FRAME, 3)] * (1 + TIMINGS)


def test_what_is_missed_is_told_with_its_limit():
    good = {
        "synthetic": {"abs_rel": 0.1, "fov": 5.0},
        "speed": {"seconds": 1.0},
        "marked": {"pairs": 0.11},
    }
    assert missed(good) == []
    assert len(missed(good | {"speed": {"seconds": 1.6}})) == 1
    assert len(missed(good | {"speed": {"seconds": float("nan")}})) == 1
    bad = missed(good | {"marked": {"pairs": 0.2}}, QualityLimits(fov_degrees=4))
    assert len(bad) == 2 and "0.200, at most 0.12" in bad[1]


def test_what_was_left_out_is_told_with_its_option():
    figures = {"synthetic": {"abs_rel": 0.1, "fov": 5.0}, "speed": {"seconds": 1.0}}
    assert not_measured(figures) == [
        "not measured: ordinal error on marked pairs, give --images DIR",
        "not measured: absolute relative error on rendered worlds, give --rendered DIR",
    ]
    assert not_measured(figures | {"marked": {"pairs": 1}, "rendered": {"abs_rel": 1}}) == []
