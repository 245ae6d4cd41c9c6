import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth import CHOICES, DepthEstimate, LayoutPrior, create_estimator, depth_anything, sanitise
from lyra.depth.layout import guided, read_layout, refined_mask
from lyra.media.images import load_image


def sky_mask(image: np.ndarray) -> np.ndarray:
    return refined_mask(read_layout(image).sky, image)


def landscape(height: int = 240, width: int = 416) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Blue sky over a brown meadow with a dark wall on it: picture, sky mask, wall mask."""
    rng = np.random.default_rng(5)
    image = np.empty((height, width, 3), float)
    y, x = np.mgrid[0:height, 0:width]
    sky = y < 0.5 * height
    image[:] = (110, 95, 50)
    image[sky] = (130, 175, 230)
    wall = (x > 0.55 * width) & (x < 0.75 * width) & (y > 0.3 * height) & (y < 0.75 * height)
    image[wall] = (60, 40, 45)
    image += np.where(sky & ~wall, 1, 6)[..., None] * rng.standard_normal((height, width, 1))
    return image.clip(0, 255).astype(np.uint8), sky & ~wall, wall


def test_sky_ground_and_a_wall_that_stands_on_it():
    image, sky, wall = landscape()
    estimate = LayoutPrior().estimate(image)
    depth = estimate.depth
    found = np.isinf(depth)
    assert (found & sky).sum() / (found | sky).sum() > 0.95
    bottom, middle = np.median(depth[-5:]), np.median(depth[150, :200])
    assert bottom < middle < 100
    inside = depth[90:170, 250:290]
    assert inside.max() / inside.min() < 1.25
    foot = depth[185, 60]  # the meadow at the height of the wall's foot
    assert 0.6 < np.median(inside) / foot < 1.7
    assert wall.any() and not found[wall].mean() > 0.02


def test_depth_edges_lie_on_picture_edges():
    image, _, _ = landscape()
    log_depth = np.log(np.minimum(LayoutPrior().estimate(image).depth, 200))
    jump = np.abs(np.diff(log_depth[80:115], axis=1)) > 0.5
    at = np.nonzero(jump)[1] + 1
    assert len(at) > 30
    assert np.mean(np.minimum(np.abs(at - 229), np.abs(at - 312)) <= 3) > 0.9


CASES = {
    "black": np.zeros((96, 160, 3), np.uint8),
    "white": np.full((96, 160, 3), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (96, 160, 3)).astype(np.uint8),
    "sky": np.linspace((80, 130, 210), (200, 220, 240), 96)[:, None].repeat(160, 1).astype(np.uint8),
    "smallest": np.full((64, 64, 3), 128, np.uint8),
    "wide": np.full((64, 1664, 3), (90, 140, 220), np.uint8),
    "tall": np.full((1664, 64, 3), (90, 140, 220), np.uint8),
    "portrait": landscape(416, 240)[0],
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_contract_holds_for_any_picture(name):
    image = CASES[name]
    estimate = LayoutPrior().estimate(image)
    assert estimate.depth.shape == image.shape[:2] and estimate.depth.dtype == np.float32
    finite = np.isfinite(estimate.depth)
    assert not np.isnan(estimate.depth).any() and (estimate.depth > 0.5).all() and finite.mean() > 0.2
    assert estimate.depth[finite].max() < 200
    clean = sanitise(estimate)
    assert np.array_equal(clean.depth, estimate.depth) and clean.notes == estimate.notes


def test_same_picture_same_depth():
    image, _, _ = landscape()
    assert np.array_equal(LayoutPrior().estimate(image).depth, LayoutPrior().estimate(image).depth)


def test_example_is_read_well_enough(request):
    """Against the example's true depth: sky found, order right (a floor under the prior's quality)."""
    folder = request.config.rootpath / "examples" / "courtyard"
    image = load_image(folder / "image.png").pixels
    with np.load(folder / "depth.npz") as data:
        truth, intrinsics = data["depth"].astype(np.float32), data["intrinsics"]
    depth = LayoutPrior().estimate(image, intrinsics).depth
    sky, found = np.isinf(truth), np.isinf(depth)
    assert (sky & found).sum() / (sky | found).sum() > 0.7
    both = ~sky & ~found
    ratio = np.log(depth[both] / truth[both])
    assert np.abs(ratio - np.median(ratio)).mean() < 0.5


def test_corridor_has_its_horizon_where_the_lines_meet():
    """Floor boards and wall edges that meet at 40 % of the width and 55 % of the height."""
    height, width = 240, 416
    y, x = np.mgrid[0:height, 0:width]
    angle = np.arctan2(y - 0.55 * height, x - 0.4 * width)
    image = np.where(np.sin(angle * 20) > 0, 150, 90)[..., None] * np.array([1.0, 0.9, 0.8])
    layout = read_layout(image.astype(np.uint8))
    assert layout.vanishing == pytest.approx((0.4, 0.55), abs=0.03)
    assert layout.horizon == pytest.approx(0.55, abs=0.03)


def test_room_has_no_sky():
    rng = np.random.default_rng(1)
    room = np.full((120, 208, 3), (150, 120, 90), float)
    room[80:] = (110, 80, 60)
    room[:30] = (120, 95, 75)
    room += 5 * rng.standard_normal((120, 208, 1))
    assert not sky_mask(room.clip(0, 255).astype(np.uint8)).any()


def test_sky_ends_at_its_rim_along_the_sides_too():
    image, sky, _ = landscape()
    found = sky_mask(image)
    assert found[0].all() and not found[-1].any()
    low = sky.any(1).nonzero()[0].max() + 4
    assert not found[low:, :2].any() and not found[low:, -2:].any()


def test_guided_filter_keeps_its_guide_s_edges():
    guide = np.zeros((40, 60))
    guide[:, 30:] = 1
    noisy = guide * 2 + 0.1 * np.random.default_rng(2).standard_normal(guide.shape)
    smooth = guided(guide, noisy, 6, 1e-4)
    assert np.abs(smooth - guide * 2).max() < 0.1
    assert smooth[:, :28].std() < 0.03


# --------------------------------------------------------------------------------------------------- choice, contract
def test_unknown_choice_lists_the_choices():
    with pytest.raises(InvalidInputError, match="'midas'.*" + ".*".join(CHOICES)):
        create_estimator("midas")


def test_auto_without_weights_says_why(monkeypatch):
    monkeypatch.setattr(depth_anything, "_cached", lambda repository: False)
    estimator = create_estimator("auto")
    assert estimator.id == "builtin"
    assert any("Depth Anything" in note for note in estimator.estimate(CASES["black"]).notes)


def test_known_lens_is_used():
    image, _, _ = landscape()
    known = np.array([[500.0, 0, 208], [0, 500, 120], [0, 0, 1]])
    estimate = LayoutPrior().estimate(image, known)
    assert np.array_equal(estimate.intrinsics, known) and not any("lens" in note for note in estimate.notes)


def test_sanitise_mends_and_says_so():
    depth = np.full((8, 10), 3.0)
    depth[0] = np.inf
    depth[4, 4:6] = (np.nan, -1)
    depth[5, 5] = 0
    depth[7, 7] = 1e8
    clean = sanitise(DepthEstimate(depth, np.eye(3), True, "test", np.full((8, 10), 1.5), ("first",)))
    assert clean.depth.dtype == np.float32 and np.isinf(clean.depth[0]).all() and np.isinf(clean.depth[7, 7])
    assert np.all(clean.depth[4:6] == 3) and clean.confidence.max() == 1
    assert clean.notes[0] == "first" and "filled" in clean.notes[1]


@pytest.mark.parametrize("depth", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((2, 4, 4))])
def test_sanitise_refuses_what_cannot_be_mended(depth):
    with pytest.raises(InvalidInputError):
        sanitise(DepthEstimate(depth, np.eye(3), True, "test"))
