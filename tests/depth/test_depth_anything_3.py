import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.depth import depth_anything_3
from lyra.depth.checks import sanitise
from lyra.depth.depth_anything_3 import DepthAnything3, missing_requirement

from . import package_3
from .views import INTRINSICS, SIZE, camera

torch = pytest.importorskip("torch", reason="the package of Depth Anything 3 is built on torch")

PICTURE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
FRAMES = np.stack([PICTURE] * 5)
LENSES = np.tile(INTRINSICS, (5, 1, 1))
FORWARD = np.stack([camera(0, 0, 0.3 * n) for n in range(5)])
CURVE = np.stack([camera(0.1 * n, 0.02 * n * n, 0.3 * n, 4 * n) for n in range(5)])
TURN = np.stack([camera(1, 0, 2, 9 * n) for n in range(5)])


@pytest.fixture
def folder(tmp_path):
    for name in depth_anything_3.FILES:
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.fixture
def package(monkeypatch):
    return package_3.install(monkeypatch)


@pytest.fixture
def estimator(package, folder):
    return DepthAnything3(folder)


def test_one_picture(estimator, package):
    estimate = sanitise(estimator.estimate(PICTURE))
    sky = estimate.sky
    assert sky[:15, :46].all() and not sky[17:].any() and not sky[:, 50:].any()
    assert np.allclose(estimate.depth[~sky], 4, rtol=1e-2) and estimate.metric
    # The stand-in's focal length equals its image width.
    assert estimate.intrinsics[0, 0] == pytest.approx(96) and estimate.intrinsics[1, 2] == pytest.approx(32)
    assert np.allclose(estimate.confidence, 0.75)
    assert any("non-commercial" in note for note in estimate.notes)
    assert package.calls[0]["extrinsics"] is None and package.calls[0]["process_res"] == 96


def test_known_lens_is_used(estimator):
    """Also for the scale: the model's metres are proportional to the focal length, of which it has its own estimate."""
    guessed = estimator.estimate(PICTURE)
    longer = guessed.intrinsics * [[2], [2], [1]]
    known = estimator.estimate(PICTURE, longer)
    assert known.intrinsics is longer and np.array_equal(known.sky, guessed.sky)
    assert np.allclose(known.depth[~known.sky], 2 * guessed.depth[~known.sky])


def test_an_impossible_guess_at_the_lens_gives_way_to_the_assumed_one(estimator, package, monkeypatch):
    right = package.inference
    usual = estimator.estimate(PICTURE)

    def normalised(self, image, **options):
        seen = right(self, image, **options)
        seen.intrinsics = seen.intrinsics / np.array([[seen.depth.shape[2]], [seen.depth.shape[1]], [1]])
        return seen

    monkeypatch.setattr(package, "inference", normalised)
    guessed = estimator.estimate(PICTURE)
    assert guessed.intrinsics[0, 0] == pytest.approx(SIZE[1] / 2 / np.tan(np.radians(30)))
    assert any("look normalised" in note and "60°" in note for note in guessed.notes)
    # Its metres are not multiplied by what has no meaning.
    known = estimator.estimate(PICTURE, INTRINSICS)
    assert np.allclose(known.depth[~known.sky], usual.depth[~usual.sky])
    assert not any("normalised" in note for note in known.notes)


@pytest.mark.parametrize("cameras", [CURVE, FORWARD])
def test_moving_cameras_set_the_scale(estimator, cameras):
    window = estimator.estimate_window(FRAMES, cameras, LENSES)
    assert window.scaled_by_cameras
    there = np.isfinite(window.depth)
    assert np.allclose(window.depth[there], 4 / package_3.UNITS, rtol=1e-2)
    assert window.depth.shape == window.confidence.shape == (5, *SIZE)


def test_cameras_that_only_turn_do_not(estimator, package):
    window = estimator.estimate_window(FRAMES, TURN, LENSES)
    assert not window.scaled_by_cameras
    assert np.allclose(window.depth[np.isfinite(window.depth)], 4, rtol=1e-2)
    given = package.calls[0]["extrinsics"]
    assert np.abs(given - TURN).max() < 1e-4


def test_cameras_on_a_line_are_taken_off_it_a_little(estimator, package):
    estimator.estimate_window(FRAMES, FORWARD, LENSES)
    centres = np.linalg.inv(package.calls[0]["extrinsics"].astype(np.float64))[:, :3, 3]
    singular = np.linalg.svd(centres - centres.mean(0), compute_uv=False)
    assert 1e-5 < singular[1] / singular[0] < 1e-2
    assert np.abs(centres[:, 2] - 0.3 * np.arange(5)).max() < 1e-3


def test_sky_is_found_by_its_one_depth(monkeypatch, folder):
    package_3.install(monkeypatch, with_sky=False)
    depth = DepthAnything3(folder).estimate(PICTURE).depth
    assert np.isinf(depth[:15, :46]).all() and np.isfinite(depth[17:]).all()


def test_nothing_but_sky(estimator):
    white = np.full_like(PICTURE, 255)
    estimate = sanitise(estimator.estimate(white))
    assert np.isfinite(estimate.depth).any() and any("nothing but sky" in note for note in estimate.notes)
    window = estimator.estimate_window(white[None], CURVE[:1], LENSES[:1])
    assert np.isinf(window.depth).all()


@pytest.mark.parametrize("size", [(64, 64), (64, 1664), (1664, 64)])
def test_any_size_gets_sane_depth(estimator, size):
    estimate = estimator.estimate(np.full((*size, 3), 90, np.uint8))
    assert np.array_equal(sanitise(estimate).depth, estimate.depth) and estimate.depth.shape == size
    assert np.isfinite(estimate.depth).any() and estimate.confidence.shape == size


def test_random_numbers_are_the_same_each_time_and_the_caller_keeps_its_own(estimator):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = estimator.estimate(PICTURE)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert np.array_equal(first.depth, estimator.estimate(PICTURE).depth)


def test_release_leaves_the_device(estimator):
    estimator.device = "meta"
    estimator.release()
    estimator.estimate(PICTURE)
    assert estimator._loaded.device == "meta"
    estimator.release()
    assert estimator._loaded.device == "cpu"


def test_what_is_missing_is_said(monkeypatch, tmp_path, folder):
    assert "depth_anything_3" in missing_requirement(folder) and "lyra-worlds[da3]" in missing_requirement(
        folder
    )
    package_3.install(monkeypatch)
    assert missing_requirement(folder) is None
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(depth_anything_3, "_cached", lambda: False)
    with pytest.raises(EngineNotReadyError, match=r"non-commercial.*lyra models download depth-anything-3"):
        DepthAnything3()
    with pytest.raises(EngineNotReadyError, match=r"lacks config\.json"):
        DepthAnything3(tmp_path / "empty")


def test_weights_that_cannot_be_read_are_named(package, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in depth_anything_3.FILES:
        (broken / name).write_text("{}")
    with pytest.raises(EngineNotReadyError, match=r"broken: no weights in it$"):
        DepthAnything3(broken).estimate(PICTURE)


def test_weights_folder_is_looked_into(monkeypatch, tmp_path, package):
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path))
    place = tmp_path / depth_anything_3.DEPTH_ANYTHING_3.replace("/", "--")
    place.mkdir(parents=True)
    for name in depth_anything_3.FILES:
        (place / name).write_text("{}")
    assert DepthAnything3().source == str(place)


def test_other_assertions_are_not_taken_for_sky(monkeypatch, folder):
    def inference(self, image, **options):
        raise AssertionError("the batch must be 1")

    package_3.install(monkeypatch, inference=inference)
    with pytest.raises(AssertionError, match="batch"):
        DepthAnything3(folder).estimate(PICTURE)
