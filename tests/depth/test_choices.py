"""Which estimator a choice gives, for single pictures and for windows of frames."""

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.depth import (
    CHOICES,
    FrameByFrame,
    create_estimator,
    create_window_estimator,
    depth_anything,
    depth_anything_3,
    sanitise,
)
from lyra.depth.base import DepthEstimate
from lyra.depth.choice import ChosenModel, choose_model
from lyra.engines.readiness import depth_model
from lyra.hub import Weights
from lyra.hub.machine import Machine

from . import package_3
from .views import INTRINSICS, SIZE, camera


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without any weights; returns the weights folder."""
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(depth_anything, "_cached", lambda repository: False)
    monkeypatch.setattr(depth_anything_3, "_cached", lambda: False)
    return tmp_path


def put(root, repository):
    folder = root / repository.replace("/", "--")
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")


def test_unknown_words_are_quoted():
    with pytest.raises(InvalidInputError, match=r"'midas'.*depth-anything-3"):
        create_window_estimator("midas")
    with pytest.raises(InvalidInputError, match=r"'cave'.*outdoor, indoor"):
        create_estimator("builtin", scene="cave")


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.startswith("depth-anything")])
def test_a_missing_model_says_what_to_do(bare, choice):
    with pytest.raises(EngineNotReadyError, match=r"lyra models download|pip install"):
        create_estimator(choice)
    with pytest.raises(EngineNotReadyError, match=r"lyra models download|pip install"):
        create_window_estimator(choice)


@pytest.mark.parametrize("choice", ["auto", "layout", "builtin"])
def test_a_scene_that_is_of_no_use_is_said(bare, choice):
    picture = np.full((*SIZE, 3), 90, np.uint8)
    for scene, remarks in (("indoor", 1), ("auto", 0)):
        notes = create_estimator(choice, scene=scene).estimate(picture).notes
        assert sum("(indoor) was not used" in note for note in notes) == remarks


def test_windows_take_the_best_there_is(bare, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[depth]")
    with pytest.raises(EngineNotReadyError, match=r"No depth model.*lyra models download depth-anything-v2"):
        create_window_estimator()
    put(bare, depth_anything.SMALL.repository("outdoor"))
    assert create_window_estimator().id == "depth-anything-v2"
    put(bare, depth_anything.LARGE.repository("indoor"))
    assert create_window_estimator().id == "depth-anything-v2-large"
    put(bare, depth_anything_3.DEPTH_ANYTHING_3)
    assert create_window_estimator().id == "depth-anything-v2-large"
    package_3.install(monkeypatch)
    assert create_window_estimator().id == "depth-anything-3"
    for gigabytes, best in ((32, "depth-anything-3"), (24, "depth-anything-v2-large")):
        gpu = Machine("cuda", "GPU", gigabytes * 10**9, None)
        assert create_window_estimator(machine=gpu).id == best
    assert create_estimator("depth-anything-3").id == "depth-anything-3"
    assert create_estimator("auto").id == "depth-anything-v2"


def test_built_in_depth_of_a_window():
    estimator = create_window_estimator("builtin")
    assert isinstance(estimator, FrameByFrame) and estimator.id == "builtin"
    frames = np.random.default_rng(0).integers(0, 255, (2, *SIZE, 3)).astype(np.uint8)
    cameras, lenses = np.stack([camera(), camera(1)]), np.stack([INTRINSICS, INTRINSICS])
    window = estimator.estimate_window(frames, cameras, lenses)
    assert window.depth.shape == (2, *SIZE) and not window.scaled_by_cameras
    alone = sanitise(create_estimator("builtin").estimate(frames[1], INTRINSICS))
    assert np.array_equal(window.depth[1], alone.depth)


def test_frame_by_frame_mends_and_keeps_confidence():
    class Odd:
        id = "odd"

        def estimate(self, image, intrinsics=None):
            depth = np.full(SIZE, 2.0)
            depth[3, 4] = np.nan
            return DepthEstimate(depth, intrinsics, True, "odd", np.full(SIZE, 0.5))

    window = FrameByFrame(Odd()).estimate_window(
        np.zeros((3, *SIZE, 3), np.uint8), np.stack([camera()] * 3), np.stack([INTRINSICS] * 3)
    )
    assert np.all(window.depth == 2) and window.confidence.shape == (3, *SIZE)


def test_one_function_chooses_for_pictures_for_frames_and_for_readiness(bare, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[depth]")
    assert choose_model("frames", "layout") == ChosenModel("layout")
    picture, windows = choose_model("picture"), choose_model("frames")
    assert picture.model == "builtin" and "lyra models download" in picture.obstacle
    assert windows.model == "depth-anything-v2" and windows.obstacle
    assert depth_model(Weights())[0] == "depth-anything-v2" and depth_model(Weights())[1]
    put(bare, depth_anything.LARGE.repository("indoor"))
    put(bare, depth_anything.SMALL.repository("outdoor"))
    assert choose_model("picture") == ChosenModel("depth-anything-v2")
    assert choose_model("frames") == ChosenModel("depth-anything-v2-large")
    assert depth_model(Weights(), Machine("cpu", "CPU", 10**10, None)) == ("depth-anything-v2-large", ())
    small = Machine("cuda", "GPU", 10**8, None)
    assert "GPU has 100 MB" in choose_model("frames", machine=small).obstacle
    with pytest.raises(EngineNotReadyError, match=r"No depth model.*device memory.*--device cpu"):
        create_window_estimator(machine=small)
