import builtins
import importlib.util

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.depth import create_estimator, depth_anything
from lyra.depth.checks import sanitise
from lyra.depth.depth_anything import LARGE, SMALL, DepthAnything, input_size

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[depth]")
transformers = pytest.importorskip("transformers", reason="needs the extra lyra-worlds[depth]")

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 160, 3)).astype(np.uint8)


def tiny_model(metric: bool = True, farthest: float = 80):
    """The published architecture in small, with random weights."""
    torch.manual_seed(0)
    backbone = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16,
        head_hidden_size=8, depth_estimation_type="metric" if metric else "relative",
        max_depth=farthest if metric else 1,
    )  # fmt: skip
    return transformers.DepthAnythingForDepthEstimation(config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    tiny_model().save_pretrained(path)
    return path


@pytest.fixture
def small_input(monkeypatch):
    monkeypatch.setattr(depth_anything, "SHORT_SIDE", 56)


@pytest.fixture
def no_cache(monkeypatch):
    monkeypatch.setattr(depth_anything, "_cached", lambda repository: False)


def test_weights_on_disk_are_used(folder, small_input):
    estimator = create_estimator("auto", weights=folder)
    assert estimator.id == "depth-anything-v2"
    estimate = estimator.estimate(PICTURE)
    assert estimate.depth.shape == (96, 160) and estimate.metric
    assert (estimate.depth > 0).all() and estimate.depth[np.isfinite(estimate.depth)].max() <= 80
    assert "Depth Anything V2 Small" in estimate.source


def test_prediction_is_the_model_s(folder, small_input):
    """The same as feeding the processed picture to the model by hand, up to the resize at the end."""
    estimator = DepthAnything(folder)
    model = estimator._model(str(folder))
    from PIL import Image

    resized = (
        np.asarray(Image.fromarray(PICTURE).resize((98, 56), Image.Resampling.BICUBIC), np.float32) / 255
    )
    pixels = torch.tensor((resized - depth_anything.MEAN) / depth_anything.DEVIATION).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = model(pixel_values=pixels).predicted_depth[0].numpy()
    assert np.allclose(estimator._predict(model, PICTURE), expected, atol=1e-4)


def testinput_size_keeps_the_aspect_in_whole_patches():
    assert input_size((480, 832), 14) == (518, 896)
    assert input_size((832, 480), 14) == (896, 518)


def test_a_very_long_picture_is_made_smaller():
    height, width = input_size((64, 1664), 14)
    assert width <= 2072 and height * width < 4 * 518 * 518 and height % 14 == width % 14 == 0


def test_far_values_at_the_upper_edge_become_sky(folder, monkeypatch):
    estimator = DepthAnything(folder)
    depth = np.full((56, 98), 5.0, np.float32)
    depth[:20] = 78
    depth[40:44, 40:50] = 78  # far, but not joined to the upper edge
    monkeypatch.setattr(estimator, "_predict", lambda model, image: depth)
    estimate = estimator.estimate(PICTURE)
    assert np.isinf(estimate.depth[:30]).all() and np.isfinite(estimate.depth[40:]).all()
    assert any("sky" in note for note in estimate.notes)


def far_above(share: float):
    """Depth that is this share of an outdoor range in the upper half, and near in the lower."""
    depth = np.full((56, 98), 5.0, np.float32)
    depth[:28] = share * 80
    return depth


def test_far_scenery_under_a_seen_sky_stays_solid(folder, monkeypatch):
    """Sky in the uppermost quarter, then a mountain at nine tenths of the range, up to which depth runs on."""
    estimator = DepthAnything(folder)
    monkeypatch.setattr(estimator, "_predict", lambda model, image: far_above(0.9))
    picture = np.full_like(PICTURE, (120, 170, 230))
    picture[24:] = (60, 50, 40)
    estimate = estimator.estimate(picture)
    assert np.isinf(estimate.depth[:20]).all() and np.isfinite(estimate.depth[28:]).all()


def test_sky_in_an_arch_is_sky_and_what_mirrors_it_is_not(folder, monkeypatch):
    """Enclosed, so not joined to the upper edge; below it a pond in the same colours, near."""
    estimator = DepthAnything(folder)
    depth = np.full((56, 98), 5.0, np.float32)
    depth[14:28, 35:63] = 70
    monkeypatch.setattr(estimator, "_predict", lambda model, image: depth)
    shown = np.zeros(PICTURE.shape[:2], bool)
    shown[26:46, 60:100] = shown[70:90, 60:100] = True
    monkeypatch.setattr(depth_anything, "seen_sky", lambda image: shown)
    sky = np.isinf(estimator.estimate(PICTURE).depth)
    assert sky[28:44, 62:98].all() and not sky[60:].any()


@pytest.mark.parametrize(("share", "sky"), [(0.9, False), (0.98, True)])
def test_without_a_seen_sky_only_the_very_end_of_the_range_is_sky(folder, monkeypatch, share, sky):
    estimator = DepthAnything(folder)
    monkeypatch.setattr(estimator, "_predict", lambda model, image: far_above(share))
    assert np.isinf(estimator.estimate(PICTURE).depth).any() == sky


@pytest.mark.parametrize("scene", ["auto", "indoor"])
def test_a_high_ceiling_is_no_sky(tmp_path, monkeypatch, scene):
    """Indoor weights at the very end of their range; told so, not even a ceiling that looks like sky is."""
    tiny_model(farthest=20).save_pretrained(tmp_path)
    estimator = DepthAnything(tmp_path, scene=scene)
    monkeypatch.setattr(estimator, "_predict", lambda model, image: np.full((56, 98), 19.9, np.float32))
    picture = PICTURE.copy()
    if scene == "indoor":
        picture[:60] = (200, 220, 240)
        assert depth_anything.seen_sky(picture).any()
    assert np.isfinite(estimator.estimate(picture).depth).all()


def test_relative_weights_are_refused(tmp_path):
    tiny_model(metric=False).save_pretrained(tmp_path)
    with pytest.raises(EngineNotReadyError, match="relative"):
        DepthAnything(tmp_path).estimate(PICTURE)


def test_folder_without_weights_is_named(tmp_path):
    with pytest.raises(EngineNotReadyError, match=r"lacks config\.json and model\.safetensors"):
        create_estimator("depth-anything-v2", weights=tmp_path)


def test_missing_weights_say_the_next_step(no_cache):
    with pytest.raises(EngineNotReadyError, match=r"allow their download.*built-in"):
        create_estimator("depth-anything-v2")
    assert create_estimator("auto").id == "builtin"


@pytest.fixture
def weights_root(tmp_path, monkeypatch, no_cache):
    """A weights folder with the small outdoor and indoor models."""
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path))
    for scene in ("outdoor", "indoor"):
        tiny_model().save_pretrained(tmp_path / SMALL.repository(scene).replace("/", "--"))
    return tmp_path


def test_weights_folder_is_looked_into_and_the_scene_decides(weights_root, small_input):
    for scene in ("outdoor", "indoor"):
        estimate = DepthAnything(scene=scene).estimate(PICTURE)
        assert f"Metric-{scene.title()}-Small" in estimate.source
    noise_has_no_sky = DepthAnything().estimate(PICTURE)
    assert "Indoor" in noise_has_no_sky.source
    blue = np.full_like(PICTURE, (120, 170, 230))
    blue[60:] = (60, 50, 40)
    assert "Outdoor" in DepthAnything().estimate(blue).source


def test_a_window_does_not_make_a_room_outdoors(weights_root, small_input, monkeypatch):
    shown = np.zeros(PICTURE.shape[:2], bool)
    monkeypatch.setattr(depth_anything, "seen_sky", lambda image: shown)
    shown[20:50, 40:90] = True
    assert "Indoor" in DepthAnything().estimate(PICTURE).source
    shown[:2, 40:90] = True
    assert "Outdoor" in DepthAnything().estimate(PICTURE).source


@pytest.mark.parametrize(
    ("scene", "says"),
    [("auto", "indoor weights: the picture shows no sky"), ("outdoor", "outdoor weights, as was chosen")],
)
def test_which_weights_were_taken_is_said(weights_root, small_input, scene, says):
    notes = create_estimator("depth-anything-v2", scene=scene).estimate(PICTURE).notes
    assert sum(says in note for note in notes) == 1


def test_other_weights_are_taken_with_a_remark(weights_root, small_input):
    import shutil

    shutil.rmtree(weights_root / SMALL.repository("indoor").replace("/", "--"))
    estimate = DepthAnything().estimate(PICTURE)
    assert "Outdoor" in estimate.source and "only the outdoor weights" in estimate.notes[0]
    with pytest.raises(EngineNotReadyError, match="lyra models download depth-anything-v2"):
        DepthAnything(scene="indoor")


def test_large_weights_are_never_fetched_by_the_way(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path))
    with pytest.raises(
        EngineNotReadyError, match=r"non-commercial.*lyra models download depth-anything-v2-large"
    ):
        DepthAnything(allow_download=True, variant=LARGE)


def test_large_says_its_licence(folder, small_input):
    estimate = DepthAnything(folder, variant=LARGE).estimate(PICTURE)
    assert "V2 Large" in estimate.source and any("non-commercial" in note for note in estimate.notes)
    assert not any("non-commercial" in note for note in DepthAnything(folder).estimate(PICTURE).notes)


def test_window_is_frame_by_frame_by_the_same_weights(weights_root, small_input):
    estimator = DepthAnything()
    blue = np.full_like(PICTURE, (120, 170, 230))
    blue[60:] = (60, 50, 40)
    frames = np.stack([PICTURE, blue])
    window = estimator.estimate_window(frames, np.tile(np.eye(4), (2, 1, 1)), np.tile(np.eye(3), (2, 1, 1)))
    assert window.depth.shape == (2, 96, 160) and window.depth.dtype == np.float32
    assert window.confidence is None and not window.scaled_by_cameras
    assert list(estimator._models) == [str(weights_root / SMALL.repository("outdoor").replace("/", "--"))]
    assert np.array_equal(window.depth[1], estimator.estimate(blue).depth)
    estimator.release()


BAD = {
    "one colour": np.full((64, 64, 3), 200, np.uint8),
    "black": np.zeros((64, 64, 3), np.uint8),
    "sky": np.linspace((80, 130, 210), (200, 220, 240), 96)[:, None].repeat(160, 1).astype(np.uint8),
    "wide": np.full((64, 1664, 3), (90, 140, 220), np.uint8),
    "tall": np.full((1664, 64, 3), (90, 140, 220), np.uint8),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("farthest", [False, True])
def test_any_picture_gets_sane_depth(folder, small_input, monkeypatch, name, farthest):
    """Also when the model takes everything for sky."""
    monkeypatch.setattr(depth_anything, "LONGEST_SIDE", 224)
    estimator = DepthAnything(folder)
    if farthest:
        # Whatever the built-in network makes of such a picture: all of it sky, or nothing.
        shown = np.full(BAD[name].shape[:2], name in ("sky", "wide"))
        monkeypatch.setattr(depth_anything, "seen_sky", lambda image: shown)
        monkeypatch.setattr(estimator, "_predict", lambda model, image: np.full((56, 98), 79.0, np.float32))
    estimate = estimator.estimate(BAD[name])
    assert estimate.depth.shape == BAD[name].shape[:2] and not np.isnan(estimate.depth).any()
    assert (estimate.depth > 0).all() and np.isfinite(estimate.depth).any()
    assert np.array_equal(sanitise(estimate).depth, estimate.depth)
    assert any("looks like sky" in note for note in estimate.notes) == farthest


def test_missing_package_names_the_extra(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else found(name))
    with pytest.raises(EngineNotReadyError, match=r"torch.*lyra-worlds\[depth\]"):
        create_estimator("depth-anything-v2", allow_download=True)


def test_the_base_install_never_imports_torch(monkeypatch):
    """Everything but an estimate by the model works where torch cannot be imported."""
    real = builtins.__import__

    def guarded(name, *args, **kwargs):
        assert name.split(".")[0] not in ("torch", "transformers"), f"{name} was imported"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(depth_anything, "_cached", lambda repository: False)
    monkeypatch.setattr(builtins, "__import__", guarded)
    assert create_estimator("auto").estimate(PICTURE).depth.shape == (96, 160)


def test_allowed_weights_are_downloaded_from_the_pinned_revision(
    no_cache, tmp_path, monkeypatch, weights_root
):
    """As `lyra models download` does, with a manifest of what came, never by transformers' own download."""
    from lyra.hub import MirrorSource, Weights

    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(depth_anything, "choose_source", lambda: MirrorSource(weights_root))
    source, _ = DepthAnything(allow_download=True, scene="indoor")._source("indoor")
    assert source == str(Weights().path("depth-anything-v2-indoor-small"))
    assert Weights().manifest("depth-anything-v2-indoor-small").size > 0
