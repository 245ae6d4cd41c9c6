"""The joined estimate: metric levels, the better edges; and which estimator "auto" takes."""

import shutil

import numpy as np
import pytest
from scipy import ndimage

from lyra.common.errors import EngineNotReadyError
from lyra.depth import CHOICES, create_estimator, depth_anything, depth_anything_3, joined, sanitise
from lyra.depth.joined import Joined, join
from lyra.depth.onnx_choice import ONNX_NEEDS
from lyra.hub import ITEMS, Weights
from lyra.hub.catalog import IMAGE_DEPTH, needs
from lyra.synthetic import generate

pytest.importorskip("onnx", reason="needs the extra lyra-worlds[test]")

from .onnx_networks import FOCAL, NORMAL, picture, write_depth_anything, write_moge

SIZE = HEIGHT, WIDTH = 96, 160
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH] + 0.5
DEPTH = 1.5 + 1.5 * ROWS / HEIGHT + np.where(COLUMNS > 90, 1.5, 0.0)
AWAY = np.abs(COLUMNS - 90) > 6


@pytest.fixture
def folder(tmp_path):
    write_moge(tmp_path)
    write_depth_anything(tmp_path)
    return tmp_path


def test_the_joined_estimate_has_everything(folder):
    estimate = Joined(folder, "cpu").estimate(picture(DEPTH, ROWS < 20))
    assert estimate.metric and estimate.source == "MoGe-2 Small and Depth Anything V2 Small (ONNX), joined"
    solid = AWAY & (ROWS > 24)
    assert np.allclose(estimate.depth[solid], DEPTH[solid], rtol=0.02)
    assert np.isinf(estimate.depth[ROWS < 17]).all()
    assert estimate.intrinsics[0, 0] == pytest.approx(FOCAL * WIDTH, rel=0.01)
    assert np.allclose(estimate.normals[solid], NORMAL, atol=1e-3)
    assert (estimate.confidence[solid] > 0.9).all()
    assert sanitise(estimate).depth.dtype == np.float32


def test_a_network_that_contradicts_is_left_out(folder, monkeypatch):
    monkeypatch.setattr(
        "lyra.depth.onnx_depth_anything.DepthAnythingOnnx.relative",
        lambda self, image: (1 - 1 / DEPTH).astype(np.float32),
    )
    estimate = Joined(folder, "cpu").estimate(picture(DEPTH))
    assert estimate.source == "MoGe-2 Small (ONNX)"
    assert any("contradicts MoGe-2 Small" in note for note in estimate.notes)


def smooth(rng, amplitude, sigma, size):
    values = ndimage.gaussian_filter(rng.normal(size=size), sigma)
    return amplitude * values / values.std()


@pytest.fixture(scope="module")
def scenes():
    """(image, log depth, where there is a surface, where edges are) of scenes with truth."""
    samples = generate(11, 3, 240, 416, kinds=("bridge", "forest"))
    made = []
    for image, depth in zip(samples.images, samples.depth, strict=True):
        solid = np.isfinite(depth)
        log_depth = np.log(np.where(solid, depth, depth[solid].max()))
        step = ndimage.maximum_filter(log_depth, 3) - ndimage.minimum_filter(log_depth, 3)
        made.append((image, log_depth, solid, solid & ndimage.binary_dilation(step > 0.15, iterations=4)))
    return made


def error(found, true, where):
    return np.abs(found - true)[where].mean()


@pytest.mark.parametrize("fault", ["blurred", "displaced"])
def test_better_edges_are_taken_and_metric_levels_kept(scenes, fault):
    """A metric depth with bad edges beside one with good edges whose levels drift by 15 % over the picture."""
    rng = np.random.default_rng(0)
    for image, true, solid, edges in scenes:
        away = 2 if fault == "displaced" else 0
        blurred = ndimage.gaussian_filter(np.roll(1 / np.exp(true), (away, away), (0, 1)), 2.5 - 0.7 * away)
        metric = -np.log(blurred) + smooth(rng, 0.02, 20, true.shape)
        finer = -np.log(ndimage.gaussian_filter(np.exp(-true), 0.6)) + smooth(rng, 0.15, 30, true.shape)
        found = join(metric, finer, image)
        assert error(found.log_depth, true, edges) < 0.9 * error(metric, true, edges)
        assert error(found.log_depth, true, solid) < error(metric, true, solid)
        assert error(found.log_depth, true, solid) < error(finer, true, solid)


def test_worse_edges_are_left(scenes):
    rng = np.random.default_rng(0)
    for image, true, solid, edges in scenes:
        metric = -np.log(ndimage.gaussian_filter(np.exp(-true), 0.6)) + smooth(rng, 0.02, 20, true.shape)
        finer = -np.log(ndimage.gaussian_filter(np.exp(-true), 3)) + smooth(rng, 0.15, 30, true.shape)
        found = join(metric, finer, image)
        assert found.finer[solid].mean() < 0.08
        assert error(found.log_depth, true, edges) < 1.25 * error(metric, true, edges)


def test_what_the_metric_network_lost_comes_back():
    """Posts of three pixels that only the finer depth has, in their own colour; a painted line brings nothing."""
    true = np.log(4 + 0.02 * np.mgrid[:120, :200][0])
    image = np.full((120, 200, 3), 150, np.uint8)
    image += np.random.default_rng(0).integers(0, 12, image.shape).astype(np.uint8)
    post, line = np.zeros(true.shape, bool), np.zeros(true.shape, bool)
    post[20:100, 60:63], line[20:100, 140:143] = True, True
    image[post], image[line] = (40, 20, 10), (230, 230, 240)
    finer = np.where(post, np.log(2.0), true + 0.1)
    found = join(true, finer, image).log_depth
    inside = ndimage.binary_erosion(post, iterations=1)
    assert np.exp(np.median(found[inside])) < 2.6
    assert np.abs(found - true)[ndimage.binary_dilation(line, iterations=8)].max() < 0.01


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without weights; what it returns puts the networks of items there."""
    weights = Weights(tmp_path / "weights")
    monkeypatch.setenv("LYRA_WEIGHTS", str(weights.root))
    monkeypatch.setattr(depth_anything, "_cached", lambda repository: False)
    monkeypatch.setattr(depth_anything_3, "_cached", lambda: False)

    def put(*names):
        shutil.rmtree(weights.root, ignore_errors=True)
        for name in names:
            entry = ITEMS[name]
            folder = weights.repository(entry.repository)
            (write_moge if name.startswith("moge") else write_depth_anything)(folder)

    return put


def test_automatic_takes_what_is_there(machine):
    machine()
    auto = create_estimator("auto")
    assert auto.id == "builtin"
    assert any("better depth comes with: lyra models download depth" in note for note in auto.notes)
    machine("moge-2-small-onnx")
    auto = create_estimator("auto")
    assert auto.id == "moge-2" and any("lyra models download depth" in note for note in auto.notes)
    machine("depth-anything-v2-small-onnx")
    assert create_estimator("auto").id == "depth-anything-v2-onnx"
    machine("moge-2-small-onnx", "depth-anything-v2-small-onnx")
    auto = create_estimator("auto", scene="indoor")
    assert auto.id == "joined"
    assert any("scene (indoor) was not used" in note for note in auto.estimate(picture(DEPTH)).notes)


@pytest.mark.parametrize("choice", ONNX_NEEDS)
def test_each_can_be_asked_for_by_name(machine, choice):
    assert choice in CHOICES
    machine()
    with pytest.raises(EngineNotReadyError, match=f"lyra models download {ONNX_NEEDS[choice]}\\."):
        create_estimator(choice)
    machine(*needs(ONNX_NEEDS[choice]).items)
    estimate = create_estimator(choice, device="cpu").estimate(picture(DEPTH))
    assert np.isfinite(estimate.depth).all() and estimate.depth.shape == SIZE


def test_allowed_to_it_fetches_them(machine, tmp_path, monkeypatch):
    machine("moge-2-small-onnx", "depth-anything-v2-small-onnx")
    shutil.move(tmp_path / "weights", tmp_path / "mirror")
    monkeypatch.setenv("LYRA_MIRROR", str(tmp_path / "mirror"))
    assert create_estimator("auto").id == "builtin"
    assert create_estimator("auto", allow_download=True).id == "joined"
    assert Weights().manifest("moge-2-small-onnx") is not None


def test_the_three_needs_are_the_two_networks():
    assert set(IMAGE_DEPTH) == set(ONNX_NEEDS.values())
    assert set(needs("depth").items) == {i for need in IMAGE_DEPTH.values() for i in need.items}
    assert needs("depth").licences == ("mit", "apache-2.0")
    assert joined.ID == "joined"
