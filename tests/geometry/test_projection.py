import numpy as np
import pytest
import torch

from lyra.common.errors import InvalidInputError
from lyra.geometry.projection import unproject
from tests.geometry import scenes, twins
from tests.geometry.warping import project


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
@pytest.mark.parametrize(("height", "width"), [(7, 5), (33, 50), (64, 96)])
def test_unproject_agrees_with_its_twin(height, width, pixel_offset):
    depth, w2c, k = scenes.views(3, height, width)
    depth[0, :2, :3] = np.nan
    depth[1, 3:5] = 0
    depth[2, 0] = np.inf
    points = unproject(depth, w2c, k, pixel_offset=pixel_offset)
    expected = twins.unproject(*scenes.as_torch(depth, w2c, k), pixel_offset).numpy()
    np.testing.assert_allclose(points, expected, rtol=2e-6, atol=2e-5)
    assert not points[1, 3:5].any()


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_stride_takes_every_nth_pixel(stride):
    depth, w2c, k = scenes.views(2, 33, 50)
    np.testing.assert_array_equal(
        unproject(depth, w2c, k, stride=stride), unproject(depth, w2c, k)[:, ::stride, ::stride]
    )


def test_invalid_pixels_get_what_was_asked_for():
    depth, w2c, k = scenes.views(1, 8, 9)
    depth[0, 2, 3] = 0
    points = unproject(depth, w2c, k, invalid=np.nan)
    assert np.isnan(points[0, 2, 3]).all()
    assert np.isnan(points).sum() == 3


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_project_undoes_unproject(pixel_offset):
    depth, w2c, k = scenes.views(3, 40, 56)
    pixels = project(unproject(depth, w2c, k, pixel_offset=pixel_offset), w2c, k)
    v, u = np.mgrid[:40, :56]
    grid = np.broadcast_to(np.stack([u, v], -1) + pixel_offset, pixels[..., :2].shape)
    np.testing.assert_allclose(pixels[..., :2], grid, atol=2e-4)
    np.testing.assert_allclose(pixels[..., 2], depth, rtol=1e-5)


def test_project_agrees_with_its_twin_behind_the_camera_too():
    _, w2c, k = scenes.views(2, 8, 8)
    points = scenes.rng("points").normal(0, 3, (2, 5, 7, 3)).astype(np.float32)
    pixels = project(points, w2c, k)
    coordinates, z = twins.project(*scenes.as_torch(points, w2c, k))
    assert (pixels[..., 2] <= 0).any()
    np.testing.assert_allclose(pixels[..., :2], coordinates, rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(pixels[..., 2], z, rtol=1e-5, atol=1e-6)


def test_torch_goes_in_and_comes_out_with_the_same_numbers():
    depth, w2c, k = scenes.views(2, 16, 24)
    tensor = unproject(torch.from_numpy(depth), w2c, k)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor, unproject(depth, w2c, k))


def test_half_precision_and_strided_arrays_are_taken():
    depth, w2c, k = scenes.views(2, 16, 24)
    half = depth.astype(np.float16)
    np.testing.assert_array_equal(unproject(half, w2c, k), unproject(half.astype(np.float32), w2c, k))
    flipped = torch.from_numpy(depth).flip(2).transpose(1, 2)
    np.testing.assert_array_equal(unproject(flipped, w2c, k), unproject(flipped.numpy().copy(), w2c, k))


def test_wrong_shapes_are_quoted():
    depth, w2c, k = scenes.views(2, 16, 24)
    with pytest.raises(InvalidInputError, match=r"w2c has shape \(1, 4, 4\); give \(2, 4, 4\)"):
        unproject(depth, w2c[:1], k)
    with pytest.raises(InvalidInputError, match=r"depth has shape \(16, 24\)"):
        unproject(depth[0], w2c, k)
