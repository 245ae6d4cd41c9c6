"""Depth with ONNX Runtime: each network alone, on pictures that say what it should see."""

import subprocess
import sys

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.depth import create_estimator, depth_anything, onnx_session, sanitise
from lyra.depth.onnx_depth_anything import DepthAnythingOnnx
from lyra.depth.onnx_moge import TOKENS, MoGe, input_size, place_points

onnx = pytest.importorskip("onnx", reason="needs the extra lyra-worlds[test]")

from .onnx_networks import FOCAL, NORMAL, SCALE, picture, write_depth_anything, write_moge  # noqa: E402

SIZE = HEIGHT, WIDTH = 96, 160
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH] + 0.5
# A slope with a step in it.
DEPTH = 1.5 + 1.5 * ROWS / HEIGHT + np.where(COLUMNS > 90, 1.5, 0.0)
AWAY = np.abs(COLUMNS - 90) > 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks")
    write_moge(path)
    write_depth_anything(path)
    return path


def test_moge_gives_metres_lens_and_normals(folder):
    estimate = MoGe(folder, "cpu").estimate(picture(DEPTH))
    assert estimate.metric and "MoGe-2" in estimate.source
    assert np.allclose(estimate.depth[AWAY], DEPTH[AWAY], rtol=0.02)
    assert estimate.intrinsics[0, 0] == pytest.approx(FOCAL * WIDTH, rel=0.01)
    assert estimate.intrinsics[0, 0] == estimate.intrinsics[1, 1]
    assert np.allclose(estimate.intrinsics[:2, 2], (WIDTH / 2, HEIGHT / 2))
    assert np.allclose(estimate.normals, NORMAL, atol=1e-3)
    assert any("lens is estimated by MoGe-2" in note for note in estimate.notes)


def test_a_known_lens_is_kept_and_decides_the_shift(folder):
    """With twice the focal length the same points are farther back; they still lie on their rays as well as may be."""
    true = np.array([[FOCAL * WIDTH, 0, WIDTH / 2], [0, FOCAL * WIDTH, HEIGHT / 2], [0, 0, 1]])
    moge = MoGe(folder, "cpu")
    estimate = moge.estimate(picture(DEPTH), true)
    assert estimate.intrinsics is true
    assert np.allclose(estimate.depth[AWAY], DEPTH[AWAY], rtol=0.02)
    longer = true * [[2], [2], [1]] - [[0, 0, WIDTH / 2], [0, 0, HEIGHT / 2], [0, 0, 0]]
    assert (moge.estimate(picture(DEPTH), longer).depth > 1.2 * estimate.depth).mean() > 0.9


def test_known_lenses_need_no_centre_in_the_middle():
    """Points of a plane before a lens that is shifted by a third of the picture."""
    lens = np.array([[80.0, 0, 100], [0, 90, 40], [0, 0, 1]])
    z = 2 + 0.01 * ROWS
    points = np.stack([(COLUMNS - 100) / 80 * z, (ROWS - 40) / 90 * z, z - 0.5], -1)
    placed = place_points(points, np.ones(SIZE, bool), lens)
    assert placed.agreed and placed.shift == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("scale_name", ["metric_scale", "scale"])
def test_both_names_of_the_scale_are_known(tmp_path, scale_name):
    write_moge(tmp_path, scale_name)
    assert MoGe(tmp_path, "cpu").geometry(picture(DEPTH)).scale == SCALE


def test_sky_is_where_there_is_no_surface_up_to_the_edge(folder):
    sky, mirror = ROWS < 30, (ROWS > 60) & (ROWS < 80) & (COLUMNS < 40)
    estimate = MoGe(folder, "cpu").estimate(picture(DEPTH, sky | mirror))
    assert np.isinf(estimate.depth[ROWS < 27]).all() and not estimate.normals[ROWS < 27].any()
    # Neither at the upper edge nor the colour of the sky: filled from its neighbours.
    assert np.isfinite(estimate.depth[ROWS > 33]).all()
    assert any("taken as sky" in note for note in estimate.notes)


def test_nothing_but_sky_gets_a_depth(folder):
    estimate = sanitise(MoGe(folder, "cpu").estimate(picture(DEPTH, np.ones(SIZE, bool))))
    assert np.isfinite(estimate.depth).all() and not estimate.metric
    assert any("looks like sky" in note for note in estimate.notes)


@pytest.mark.parametrize("size", [(480, 832), (64, 64), (300, 1200), (2160, 3840)])
def test_the_network_s_input_keeps_the_aspect(size):
    height, width = input_size(size)
    assert width / height == pytest.approx(size[1] / size[0], rel=0.005)
    assert height * width == pytest.approx(TOKENS * 14 * 14, rel=0.005)


@pytest.mark.parametrize("half", [False, True])
def test_depth_anything_is_inverse_depth(tmp_path, half, monkeypatch):
    """Also where the file takes and gives numbers of half precision."""
    monkeypatch.setattr(depth_anything, "SHORT_SIDE", 98)
    write_depth_anything(tmp_path, half)
    values = DepthAnythingOnnx(tmp_path, "cpu").relative(picture(DEPTH))
    assert values.shape == SIZE and values.max() <= 1 and values.min() >= 0
    gain, offset = np.polyfit(values[AWAY], 1 / DEPTH[AWAY], 1)
    assert np.allclose(gain * values[AWAY] + offset, 1 / DEPTH[AWAY], atol=0.01)


def test_depth_anything_alone_gets_a_scale(folder):
    estimate = DepthAnythingOnnx(folder, "cpu", ("said before",)).estimate(picture(DEPTH))
    assert not estimate.metric and estimate.notes[0] == "said before"
    assert np.isfinite(estimate.depth).all() and (estimate.depth > 0).all()
    # Depth's order is the network's, whatever the built-in network thinks of such a picture.
    flat, true = estimate.depth[AWAY], DEPTH[AWAY]
    assert np.corrcoef(1 / flat, 1 / true)[0, 1] > 0.98


def test_equal_to_the_transformers_path(tmp_path, monkeypatch):
    """The published architecture in small with random weights, exported: the same to a thousandth."""
    torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[depth]")
    from .test_depth_anything import tiny_model

    model = tiny_model(metric=False).eval()
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    monkeypatch.setattr(depth_anything, "SHORT_SIDE", 56)
    file = tmp_path / "onnx" / "model_fp16.onnx"
    file.parent.mkdir()

    class Depth(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values):
            return self.model(pixel_values=pixel_values).predicted_depth

    image = np.random.default_rng(1).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    pixels = depth_anything.network_input(image, depth_anything.input_size(SIZE, 14))
    axes = {"pixel_values": {2: "height", 3: "width"}, "predicted_depth": {1: "height", 2: "width"}}
    torch.onnx.export(
        Depth(), (torch.from_numpy(pixels),), str(file), input_names=["pixel_values"],
        output_names=["predicted_depth"], dynamic_axes=axes, opset_version=17, dynamo=False,
    )  # fmt: skip
    with torch.inference_mode():
        expected = model(pixel_values=torch.from_numpy(pixels)).predicted_depth[0].numpy()
    network = DepthAnythingOnnx(tmp_path, "cpu").network
    found = network.run(pixel_values=pixels)["predicted_depth"][0]
    assert np.ptp(expected) > 0.1 * expected.max()
    assert np.abs(found - expected).max() < 1e-3 * np.ptp(expected)


def test_threads_and_memory_are_bounded(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert onnx_session._threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert 1 <= onnx_session._threads() <= onnx_session.MOST_THREADS


def test_a_gpu_that_was_asked_for_and_is_not_there_is_said(folder, monkeypatch):
    monkeypatch.setattr(onnx_session, "_gpus", lambda: ())
    estimate = MoGe(folder, "cuda").estimate(picture(DEPTH))
    assert any("ONNX Runtime here has no GPU" in note for note in estimate.notes)
    assert not MoGe(folder, None).notes


def test_a_gpu_that_cannot_be_used_gives_way_to_the_cpu(folder, monkeypatch):
    """A build with a provider whose libraries are not there: the runtime takes the CPU by itself, or refuses."""
    monkeypatch.setattr(onnx_session, "_gpus", lambda: ("CUDAExecutionProvider",))
    moge = MoGe(folder, None)
    assert moge.network.provider == "CPU"
    assert any("runs on the CPU: CUDA failed" in note for note in moge.estimate(picture(DEPTH)).notes)


def test_a_gpu_that_fails_at_work_gives_way_to_the_cpu(folder, monkeypatch):
    """Stands for a GPU whose memory is full."""
    moge = MoGe(folder, None)
    network, working = moge.network, moge.network._session

    class Full:
        def run(self, *arguments):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    monkeypatch.setattr(network, "_provider", "CUDAExecutionProvider")
    monkeypatch.setattr(network, "_session", Full())
    estimate = moge.estimate(picture(DEPTH))
    assert network.provider == "CPU" and network._session is not working
    assert np.allclose(estimate.depth[AWAY], DEPTH[AWAY], rtol=0.02)
    assert any("Failed to allocate memory" in note for note in estimate.notes)


def test_a_folder_without_the_network_is_refused(tmp_path):
    for choice in ("joined", "moge-2", "depth-anything-v2-onnx"):
        with pytest.raises(EngineNotReadyError, match=r"lacks model.*give another"):
            create_estimator(choice, weights=tmp_path)


def test_neither_torch_nor_the_network_is_used(folder):
    """In a process of its own that refuses every connection and every import of torch."""
    script = f"""
import socket, sys
def refuse(*arguments, **options):
    raise AssertionError("a connection")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.modules["torch"] = None
import numpy as np
from lyra.depth import create_estimator
image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
estimate = create_estimator("joined", weights={str(folder)!r}).estimate(image)
assert estimate.depth.shape == (48, 64), estimate
"""
    subprocess.run([sys.executable, "-c", script], check=True)
