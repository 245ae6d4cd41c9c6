"""The depth network in NumPy: its layers, its twin in torch, its file."""

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.depth.edge_upsampling import resized, upsampled_to_edges
from lyra.depth.network import DepthNetwork, network_input
from lyra.depth.network_file import NetworkShape, load_weights

torch = pytest.importorskip("torch", reason="the network's twin is written in torch")
SMALL = NetworkShape((8, 12, 16), (1, 2, 1), (1, 1, 1), 24, 2, 3)


@pytest.fixture(scope="module")
def twin():
    """A small network in torch with weights that are nowhere zero or one."""
    from lyra.training.depth.network import DepthNet

    torch.manual_seed(3)
    model = DepthNet(SMALL).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                value.copy_(value + 0.1 * torch.rand_like(value) if "running_var" in name else value)
                if "norm" in name and "var" not in name:
                    value.add_(0.2 * torch.randn_like(value))
                if name.startswith("tokens."):
                    value.add_(0.1 * torch.randn_like(value))
    return model


@pytest.mark.parametrize("size", [(32, 48), (64, 16), (80, 112)])
def test_numpy_equals_torch(twin, size):
    from lyra.training.depth.network import exported, inputs_from

    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    ours = DepthNetwork(exported(twin), SMALL).predict(image)
    with torch.no_grad():
        log_inverse, sky, camera, _ = (
            value[0].numpy() for value in twin(inputs_from(torch.from_numpy(image[None])))
        )
    assert np.ptp(log_inverse) > 0.1
    np.testing.assert_allclose(ours.log_inverse, log_inverse, atol=2e-4)
    np.testing.assert_allclose(ours.sky, 1 / (1 + np.exp(-sky)), atol=1e-4)
    np.testing.assert_allclose(np.log([ours.focal, ours.median]), camera, atol=1e-4)


def test_file_round_trip_keeps_weights_shape_and_facts(twin, tmp_path):
    from lyra.training.depth.network import export, exported

    export(twin, tmp_path / "net.safetensors", {"steps": "12"})
    weights, shape, facts = load_weights(tmp_path / "net.safetensors")
    assert shape == SMALL and facts["steps"] == "12"
    expected = exported(twin)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(weights[name], value, rtol=1e-3, atol=1e-4)


def test_unusable_files_are_named(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(EngineNotReadyError, match=r"gone\.safetensors are missing"):
        load_weights(tmp_path / "gone.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(EngineNotReadyError, match="cannot be read"):
        load_weights(tmp_path / "broken.safetensors")
    save_file({"a": np.zeros(2, np.float32)}, str(tmp_path / "other.safetensors"), {"format": "other-1"})
    with pytest.raises(EngineNotReadyError, match="'other-1', not 'lyra-depth-2'"):
        load_weights(tmp_path / "other.safetensors")


def test_the_shipped_size_fits_the_wheel():
    from lyra.training.depth.network import DepthNet

    halves = 2 * sum(p.numel() for p in DepthNet().parameters())
    assert halves < 12e6


def test_input_says_colour_place_and_aspect():
    wide = network_input(np.full((16, 32, 3), 255, np.uint8))
    assert wide.shape == (16, 32, 5) and np.allclose(wide[..., :3], 2)
    assert wide[0, 0, 3] == pytest.approx(-31 / 32) and wide[0, 0, 4] == pytest.approx(-15 / 32)
    assert np.allclose(wide[:, ::-1, 3], -wide[..., 3])


def test_edges_are_drawn_where_the_picture_has_them():
    image = np.zeros((96, 128, 3), np.float32)
    image[:, 70:] = (0.8, 0.5, 0.2)
    truth = np.broadcast_to(np.where(np.arange(128) < 70, 0.0, 2.0), (96, 128))
    # A ramp of four small pixels beside the edge, as a network that is not sure leaves it.
    soft = np.clip((np.arange(32) - 15) / 4, 0, 1).astype(np.float32) * 2
    values = np.repeat(soft[None], 24, 0)
    drawn = upsampled_to_edges(values, image[2::4, 2::4], image, 0.15)
    plain = resized(values, (96, 128))
    assert np.diff(drawn[48]).argmax() == 69
    assert np.abs(drawn - truth).mean() < 0.25 * np.abs(plain - truth).mean()
    between = (drawn > 0.2) & (drawn < 1.8)
    assert between.mean() < 0.3 * ((plain > 0.2) & (plain < 1.8)).mean()


def test_slopes_stay_slopes():
    slope = np.tile(np.linspace(0, 2, 40, dtype=np.float32), (30, 1))
    image = np.random.default_rng(0).random((120, 160, 3)).astype(np.float32)
    drawn = upsampled_to_edges(slope, image[2::4, 2::4], image, 0.15)
    np.testing.assert_allclose(drawn, resized(slope, (120, 160)), atol=0.08)
