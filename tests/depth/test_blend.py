from pathlib import Path

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth import BlendedDepth, create_estimator, join_depth
from lyra.depth.base import DepthEstimate
from lyra.depth.blend import diffused
from lyra.depth.checks import sanitise
from lyra.depth.file import DepthFile

from .views import INTRINSICS, SIZE, camera, true_depth

TRUTH = true_depth(camera())


def without(depth: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    """A copy that knows nothing in a part of the picture."""
    known = depth.copy()
    known[part] = np.nan
    return known


def steps_at_the_border(joined: np.ndarray, known: np.ndarray, like: np.ndarray) -> np.ndarray:
    """How much more log depth changes between known and filled neighbours than it does in `like`."""
    given = ~np.isnan(known)
    found = []
    for axis in (0, 1):
        across = np.diff(given.astype(int), axis=axis) != 0
        change = np.diff(np.log(joined), axis=axis) - np.diff(np.log(like), axis=axis)
        found.append(np.abs(change[across]))
    return np.concatenate(found)


PARTS = {
    "a hole": (slice(20, 45), slice(5, 40)),
    "all but the left": (slice(None), slice(30, None)),
    "the upper part": (slice(0, 40), slice(None)),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["scaled", "shifted", "bent"])
def test_joined_without_a_step(part, kind):
    estimate = {
        "scaled": 1.6 * TRUTH,
        "shifted": 1 / (0.7 / TRUTH + 0.05),
        "bent": 1.2 * TRUTH * np.exp(0.2 * np.sin(np.arange(SIZE[1]) / 20)),
    }[kind]
    known = without(TRUTH, PARTS[part])
    joined = join_depth(known, estimate.astype(np.float32)).depth
    given = ~np.isnan(known)
    assert np.array_equal(joined[given], TRUTH[given]) and joined.dtype == np.float32
    assert (joined > 0).all()
    # The estimate's own slope differs from the truth's where it is bent.
    assert np.quantile(steps_at_the_border(joined, known, TRUTH), 0.98) < 0.02
    wrong = np.abs(joined / TRUTH - 1)[~given]
    assert np.median(wrong) < (0.02 if kind == "scaled" else 0.15)


def test_edges_of_the_estimate_stay_where_they_are():
    """The pillar stands half in the filled part: it keeps its silhouette there."""
    estimate = 1.4 * TRUTH
    known = without(TRUTH, (slice(0, 30), slice(None)))
    joined = join_depth(known, estimate).depth
    steps = np.abs(np.diff(np.log(joined[5:25]), axis=1)) > 0.3
    assert np.array_equal(steps, np.abs(np.diff(np.log(TRUTH[5:25]), axis=1)) > 0.3)


def test_two_different_things_meet_within_a_short_way():
    """A box of the blockout stands where the estimate sees the wall far behind."""
    known = np.full(SIZE, np.nan, np.float32)
    known[10:40, 30:60] = 2.0
    estimate = np.full(SIZE, 8.0, np.float32)
    known[50:] = 8.0
    joined = join_depth(known, estimate).depth
    assert np.all(joined[10:40, 30:60] == 2)
    assert np.median(joined[12:38, 70:]) > 7
    assert abs(np.log(joined[25, 60] / 2)) < 0.8


def test_sky_is_kept_on_both_sides():
    estimate = 1.3 * TRUTH
    estimate[:15] = np.inf
    known = without(TRUTH, (slice(0, 40), slice(40, None)))
    known[:10, :30] = np.inf
    joined = join_depth(known, estimate).depth
    assert np.isinf(joined[:10, :30]).all() and np.isinf(joined[:15, 40:]).all()
    assert np.isfinite(joined[15:]).all() and not np.isnan(joined).any()


def test_nothing_in_common_takes_the_estimate_as_it_is():
    known = np.full(SIZE, np.nan, np.float32)
    known[:10] = np.inf
    joined = join_depth(known, TRUTH)
    assert np.isinf(joined.depth[:10]).all() and np.array_equal(joined.depth[10:], TRUTH[10:])
    assert not joined.fitted


def test_all_known_is_left_alone():
    joined = join_depth(TRUTH, 3 * TRUTH)
    assert np.array_equal(joined.depth, TRUTH) and joined.fitted


def test_another_shape_is_refused():
    with pytest.raises(InvalidInputError, match=r"\(64, 96\).*\(10, 96\)"):
        join_depth(TRUTH, TRUTH[:10])


@pytest.mark.parametrize("shape", [(64, 96), (65, 97), (16, 200), (7, 9)])
def test_diffusion_solves_its_equation(shape):
    rng = np.random.default_rng(0)
    fixed = np.zeros(shape, bool)
    fixed[:, 0] = fixed[:, -1] = True
    values = np.where(fixed, rng.random(shape)[:, :1], 0.0)
    free = ~fixed
    field = diffused(values, fixed, free, 1e6)
    assert np.array_equal(field[fixed], values[fixed])
    assert field.min() >= values[fixed].min() - 1e-9 and field.max() <= values[fixed].max() + 1e-9
    middle = field[:, 1:-1]
    around = (field[:, :-2] + field[:, 2:]) + np.pad(middle, ((1, 1), (0, 0)), mode="edge")[:-2]
    around += np.pad(middle, ((1, 1), (0, 0)), mode="edge")[2:]
    assert np.abs(middle - around / 4).max() < 0.02


def test_diffusion_fades_with_its_reach():
    fixed = np.zeros((40, 400), bool)
    fixed[:, 0] = True
    field = diffused(fixed * 1.0, fixed, ~fixed, 20.0)
    assert field[20, 20] == pytest.approx(np.exp(-1), abs=0.07)
    assert field[20, 100] < 0.03


# ----------------------------------------------------------------------------------------------------- from a file
class Wall:
    """An estimator that sees the truth, half as large."""

    id = "wall"

    def estimate(self, image, intrinsics=None):
        lens = INTRINSICS if intrinsics is None else intrinsics
        return DepthEstimate(TRUTH / 2, lens, False, "the wall", np.full(SIZE, 0.3, np.float32), ("a guess",))


PICTURE = np.zeros((*SIZE, 3), np.uint8)


def stored(tmp_path, depth, **more):
    np.savez(tmp_path / "blockout.npz", depth=depth, **more)
    return tmp_path / "blockout.npz"


def test_a_blockout_is_filled_in(tmp_path):
    lens = INTRINSICS * np.array([[1.1], [1.1], [1]])
    path = stored(tmp_path, without(TRUTH, PARTS["a hole"]), intrinsics=lens)
    blended = BlendedDepth(DepthFile(path, blend=True), Wall())
    estimate = sanitise(blended.estimate(PICTURE))
    assert np.allclose(estimate.depth, TRUTH, rtol=0.02) and estimate.metric
    assert np.allclose(estimate.intrinsics, lens)
    assert "blockout.npz, filled in by the wall" in estimate.source
    assert any("filled in" in note for note in estimate.notes) and "a guess" in estimate.notes
    assert estimate.confidence[0, 0] == 1 and estimate.confidence[30, 20] == pytest.approx(0.3)


def test_a_blockout_of_what_the_estimate_does_not_see_says_so(tmp_path):
    """The file knows a box where the estimator sees nothing but sky."""

    class Sky(Wall):
        def estimate(self, image, intrinsics=None):
            estimate = super().estimate(image, intrinsics)
            estimate.depth[:20] = np.inf
            return estimate

    depth = np.full(SIZE, np.nan, np.float32)
    depth[:20] = 5.0
    estimate = BlendedDepth(DepthFile(stored(tmp_path, depth), blend=True), Sky()).estimate(PICTURE)
    assert np.array_equal(estimate.depth[20:], TRUTH[20:] / 2) and not estimate.metric
    said = " ".join(estimate.notes)
    assert "Set Scale" in said and "fitted" not in said


def test_zero_is_unknown_too(tmp_path):
    depth = np.nan_to_num(without(TRUTH, PARTS["a hole"]))
    estimate = BlendedDepth(DepthFile(stored(tmp_path, depth), blend=True), Wall()).estimate(PICTURE)
    assert np.allclose(estimate.depth, TRUTH, rtol=0.02)


def test_what_a_render_shows_nothing_at_is_unknown(tmp_path):
    path = Path(__file__).parent / "data" / "blender45_zip_32.exr"
    known, _, _ = DepthFile(path, blend=True).known((32, 48))
    assert np.isnan(known[0, 0]) and known[16, 24] == pytest.approx(10)
    assert np.isinf(DepthFile(path).known((32, 48))[0][0, 0])


def test_known_depth_survives_another_size(tmp_path):
    depth = np.full((128, 192), np.nan, np.float32)
    depth[:, :96] = 3
    known, _, _ = DepthFile(stored(tmp_path, depth), (128, 192), blend=True).known(SIZE)
    assert np.all(known[:, :48] == 3) and np.isnan(known[:, 48:]).all()


def test_choice_fills_in(tmp_path):
    path = stored(tmp_path, without(TRUTH, PARTS["the upper part"]))
    estimator = create_estimator("builtin", path, blend=True)
    assert isinstance(estimator, BlendedDepth) and estimator.id == "file+builtin"
    estimate = sanitise(estimator.estimate(PICTURE))
    assert np.array_equal(estimate.depth[40:], TRUTH[40:]) and not np.isnan(estimate.depth).any()


def test_files_that_know_nothing_or_wrong_things(tmp_path):
    with pytest.raises(InvalidInputError, match="No depth is known"):
        DepthFile(stored(tmp_path, np.full(SIZE, np.nan)), blend=True)
    with pytest.raises(InvalidInputError, match="goes down to -"):
        DepthFile(stored(tmp_path, -TRUTH), blend=True)
    with pytest.raises(InvalidInputError, match="not a number"):
        DepthFile(stored(tmp_path, without(TRUTH, PARTS["a hole"])))
    with pytest.raises(InvalidInputError, match="Blending needs a depth file"):
        create_estimator("builtin", blend=True)
