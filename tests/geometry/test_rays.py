import numpy as np
import pytest
import torch

from lyra.common.errors import InvalidInputError
from lyra.geometry.projection import unproject
from lyra.geometry.rays import camera_rays, space_to_depth
from tests.geometry import scenes


def twin_of(c2w, k, height, width, pixel_offset):
    """Origin and unit direction, plainly in torch."""
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([u + pixel_offset, v + pixel_offset, torch.ones(height, width)], -1).float()
    camera = torch.einsum("nij,hwj->nhwi", torch.linalg.inv(k), pixels)
    direction = torch.einsum("nij,nhwj->nhwi", c2w[:, :3, :3], camera / camera.norm(dim=-1, keepdim=True))
    return torch.cat([c2w[:, None, None, :3, 3].expand_as(direction), direction], -1)


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
@pytest.mark.parametrize(("height", "width"), [(5, 9), (32, 48)])
def test_agrees_with_its_twin(height, width, pixel_offset):
    c2w = np.linalg.inv(scenes.poses(4, 0.2))
    k = scenes.intrinsics(4, height, width)
    rays = camera_rays(c2w, k, height, width, pixel_offset=pixel_offset)
    expected = twin_of(*scenes.as_torch(c2w, k), height, width, pixel_offset)
    np.testing.assert_allclose(rays, expected, atol=1e-6)


def test_rays_pass_through_the_points_of_their_pixels():
    depth, w2c, k = scenes.views(2, 24, 32)
    rays = camera_rays(np.linalg.inv(w2c), k, 24, 32)
    along = unproject(depth, w2c, k) - rays[..., :3]
    distance = np.linalg.norm(along, axis=-1, keepdims=True)
    np.testing.assert_allclose(rays[..., 3:], along / distance, atol=1e-5)


def test_the_reference_camera_sees_from_the_origin():
    k = scenes.intrinsics(1, 24, 32)
    w2c = scenes.poses(3)[2:].astype(np.float64)
    rays = camera_rays(w2c @ np.linalg.inv(w2c), k, 24, 32)
    np.testing.assert_allclose(rays[..., :3], 0, atol=1e-7)
    pixel = np.linalg.inv(k[0]) @ [7.5, 3.5, 1]
    np.testing.assert_allclose(rays[0, 3, 7, 3:], pixel / np.linalg.norm(pixel), atol=1e-6)


def test_a_stride_takes_every_nth_ray():
    c2w, k = np.linalg.inv(scenes.poses(2)), scenes.intrinsics(2, 25, 30)
    np.testing.assert_array_equal(
        camera_rays(c2w, k, 25, 30, stride=4), camera_rays(c2w, k, 25, 30)[:, ::4, ::4]
    )


def test_space_to_depth_puts_pixels_where_the_network_looks():
    images = scenes.rng("space").normal(size=(2, 16, 24, 6)).astype(np.float32)
    channels = space_to_depth(images)
    assert channels.shape == (2, 384, 2, 3)
    for component, v, u in ((0, 0, 0), (2, 3, 13), (5, 15, 23)):
        channel = component * 64 + (v % 8) * 8 + u % 8
        assert channels[1, channel, v // 8, u // 8] == images[1, v, u, component]
    np.testing.assert_array_equal(space_to_depth(torch.from_numpy(images)), channels)


def test_an_odd_size_is_refused():
    with pytest.raises(InvalidInputError, match="20x16"):
        space_to_depth(np.zeros((1, 16, 20, 3)))
