import numpy as np
import pytest
import torch

from lyra.common.errors import InvalidInputError
from lyra.geometry.warp import WarpSettings, splat, splat_source
from tests.geometry import scenes, twins
from tests.geometry.warping import forward_warp

PUBLISHED = WarpSettings(pixel_offset=0.0)


def twin_of(values, depth, w2c, k, target_w2c, target_k, **options):
    """The twin's image (B, H, W, C), mask and depth (B, H, W), for one group of views into every target."""
    n = len(target_w2c)
    sources = scenes.as_torch(values.transpose(0, 1, 4, 2, 3), depth, w2c, k)
    sources = [s.expand(n, *s.shape[1:]) for s in sources]
    image, mask, z = twins.forward_warp(*sources, *scenes.as_torch(target_w2c, target_k), **options)
    return image.permute(0, 2, 3, 1).numpy(), mask[:, 0].numpy(), z[:, 0].numpy()


def assert_same(warped, expected, outliers=2e-3):
    """The kernels add in another order and round cameras otherwise: a pixel that is just touched may differ."""
    image, mask, depth = expected
    assert (warped.mask != mask).mean() <= outliers
    both = np.asarray(warped.mask) & mask
    error = np.abs(np.asarray(warped.values) - image)[both]
    assert np.quantile(error, 1 - outliers) < 2e-4
    ratio = np.asarray(warped.depth)[both] / depth[both]
    assert np.quantile(np.abs(ratio - 1), 1 - outliers) < 1e-4


def group(views, height, width, channels=3):
    depth, w2c, k = scenes.views(views, height, width)
    values = np.stack([scenes.image(height, width, channels, f"image{i}") for i in range(views)])
    return values[None], depth[None], w2c[None], k[None]


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
@pytest.mark.parametrize(
    ("height", "width", "views", "targets", "channels"),
    [(24, 40, 1, 1, 3), (31, 45, 1, 5, 3), (48, 80, 3, 4, 3), (40, 64, 2, 3, 1), (40, 64, 1, 2, 6)],
)
def test_agrees_with_its_twin(height, width, views, targets, channels, pixel_offset):
    source = group(views, height, width, channels)
    target = scenes.poses(targets + 1, 0.05)[1:], scenes.intrinsics(targets, height, width)
    warped = forward_warp(*source, *target, settings=WarpSettings(pixel_offset=pixel_offset))
    assert_same(warped, twin_of(*source, *target, pixel_offset=pixel_offset))
    assert warped.mask.mean() > 0.3
    assert warped.values.shape == (targets, height, width, channels)


def test_missing_depth_is_left_out_as_in_the_twin():
    source = group(1, 48, 80)
    source[1][0, 0, :6, :9] = 0
    source[1][0, 0, 20:26, 50:60] = np.nan
    source[1][0, 0, 40:, :30] = np.inf
    target = scenes.poses(3, 0.04), scenes.intrinsics(3, 48, 80)
    assert_same(forward_warp(*source, *target, settings=PUBLISHED), twin_of(*source, *target))


def test_points_behind_the_target_are_dropped_as_in_the_twin():
    source = group(1, 40, 64)
    behind = np.stack(
        [scenes.pose(0.2, (0, 0, -2.6)), scenes.pose(np.pi, (0, 0, 0)), scenes.pose(1.2, (0, 0, -1))]
    )
    target = behind, scenes.intrinsics(3, 40, 64)
    warped = forward_warp(*source, *target, settings=PUBLISHED)
    assert_same(warped, twin_of(*source, *target))
    assert not warped.mask[1].any()


def test_integer_coordinates_count_as_in_the_twin():
    height, width, focal = 24, 32, 16.0
    values, _, _, _ = group(1, height, width)
    # Exact in float32: the shift of 0.25 is 2 pixels at depth 2, 1 at depth 4, half a pixel at depth 8.
    depth = np.full((1, 1, height, width), 8.0, np.float32)
    depth[..., 8:] = 4
    depth[..., 10:16, 20:] = 2
    k = np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]], np.float32)[None, None]
    w2c = np.eye(4, dtype=np.float32)[None, None]
    target = scenes.pose(0, (0.25, 0, 0))[None], k[0]
    everything = np.ones(depth.shape, bool)
    warped = forward_warp(values, depth, w2c, k, *target, mask=everything, settings=PUBLISHED)
    image, mask, z = twin_of(values, depth, w2c, k, *target, mask=torch.from_numpy(everything))
    np.testing.assert_array_equal(warped.mask, mask)
    np.testing.assert_allclose(warped.values, image, atol=1e-5)
    np.testing.assert_allclose(warped.depth, z, atol=1e-5)


@pytest.mark.parametrize("pixel_offset", [0.0, 0.5])
def test_a_camera_that_stands_still_gives_the_image_back(pixel_offset):
    values = scenes.image(30, 44)[None, None]
    depth = np.full((1, 1, 30, 44), 3.0, np.float32)
    w2c, k = np.eye(4, dtype=np.float32)[None], scenes.intrinsics(1, 30, 44)
    settings = WarpSettings(pixel_offset=pixel_offset)
    warped = forward_warp(values, depth, w2c[None], k[None], w2c, k, settings=settings)
    assert warped.mask.all()
    np.testing.assert_allclose(warped.values[0], values[0, 0], atol=1e-4)
    np.testing.assert_allclose(warped.depth, 3.0, rtol=1e-6)


def test_the_nearer_surface_hides_the_farther_one():
    values = np.zeros((1, 2, 32, 48, 1), np.float32)
    values[0, 0], values[0, 1] = -0.5, 0.75
    depth = np.stack([np.full((32, 48), 4.0), np.full((32, 48), 2.0)])[None].astype(np.float32)
    w2c, k = np.tile(np.eye(4, dtype=np.float32), (1, 2, 1, 1)), scenes.intrinsics(2, 32, 48)[None]
    warped = forward_warp(values, depth, w2c, k, w2c[0, :1], k[0, :1])
    np.testing.assert_allclose(warped.values, 0.75, atol=1e-3)
    np.testing.assert_allclose(warped.depth, 2.0, atol=1e-3)


def test_holes_are_filled_and_values_clamped():
    values, depth, w2c, k = group(1, 24, 40)
    target = scenes.pose(0.5, (0, 0, 0))[None], scenes.intrinsics(1, 24, 40)
    settings = WarpSettings(fill=7.0, limits=(-0.25, 0.5))
    warped = forward_warp(values, depth, w2c, k, *target, settings=settings)
    hole = ~warped.mask
    assert hole.any() and warped.mask.any()
    assert (warped.values[hole] == 7).all() and (warped.depth[hole] == 0).all()
    assert warped.values[warped.mask].min() == -0.25 and warped.values[warped.mask].max() == 0.5


def test_a_group_per_target_goes_to_its_own_target():
    depth, w2c, k = scenes.views(3, 32, 48)
    values = np.stack([scenes.image(32, 48, name=f"image{i}") for i in range(3)])[:, None]
    sources = values, depth[:, None], w2c[:, None], k[:, None]
    targets = scenes.poses(4, 0.02)[1:]
    warped = forward_warp(*sources, targets, k, settings=WarpSettings(batch=1))
    for i in range(3):
        alone = forward_warp(*[x[i : i + 1] for x in sources], targets[i : i + 1], k[i : i + 1])
        np.testing.assert_allclose(warped.values[i], alone.values[0], atol=1e-6)
        np.testing.assert_array_equal(warped.mask[i], alone.mask[0])


def test_the_batch_shares_the_maximum_depth():
    source = group(1, 32, 48)
    near, far = scenes.pose(0, (0, 0, 0)), scenes.pose(0, (0, 0, 6))
    k = scenes.intrinsics(2, 32, 48)
    targets = np.stack([near, far])
    together = forward_warp(*source, targets, k, settings=WarpSettings(pixel_offset=0.0, batch=2))
    apart = forward_warp(*source, targets, k, settings=WarpSettings(pixel_offset=0.0, batch=1))
    assert_same(together, twin_of(*source, targets, k))
    assert np.abs(together.values[0] - apart.values[0]).max() > 1e-4
    np.testing.assert_allclose(together.values[1], apart.values[1], atol=1e-5)


def test_depth_alone_can_be_warped():
    values, depth, w2c, k = group(1, 32, 48)
    target = scenes.poses(2)[1:], scenes.intrinsics(1, 32, 48)
    alone = forward_warp(values[..., :0], depth, w2c, k, *target)
    np.testing.assert_array_equal(alone.depth, forward_warp(values, depth, w2c, k, *target).depth)


def test_another_size_and_reused_memory():
    source = splat_source(*group(1, 32, 48))
    k = scenes.intrinsics(3, 20, 30)
    first = splat(source, scenes.poses(3), k, size=(20, 30))
    kept = first.values.copy()
    again = splat(source, scenes.poses(3), k, size=(20, 30), out=first)
    assert again.values is first.values and again.values.shape == (3, 20, 30, 3)
    np.testing.assert_array_equal(again.values, kept)


def test_torch_gives_the_same_numbers():
    arrays = *group(2, 32, 48), scenes.poses(3), scenes.intrinsics(3, 32, 48)
    plain = forward_warp(*arrays)
    tensors = forward_warp(*[torch.from_numpy(a) for a in arrays[:2]], *arrays[2:])
    assert isinstance(tensors.values, torch.Tensor) and tensors.mask.dtype == torch.bool
    np.testing.assert_array_equal(tensors.values, plain.values)
    np.testing.assert_array_equal(tensors.mask, plain.mask)


def test_wrong_shapes_are_quoted():
    source = group(1, 16, 24)
    with pytest.raises(InvalidInputError, match="2 groups for 3 targets"):
        doubled = [np.concatenate([a, a]) for a in source]
        forward_warp(*doubled, scenes.poses(3), scenes.intrinsics(3, 16, 24))
    with pytest.raises(InvalidInputError, match=r"target_intrinsics has shape \(2, 3, 3\)"):
        forward_warp(*source, scenes.poses(3), scenes.intrinsics(2, 16, 24))


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    arrays = *group(1, 48, 80), scenes.poses(20, 0.01), scenes.intrinsics(20, 48, 80)
    plain = forward_warp(*arrays)
    cuda = forward_warp(*[torch.from_numpy(a).cuda() for a in arrays])
    assert cuda.values.is_cuda
    assert_same(plain, (cuda.values.cpu().numpy(), cuda.mask.cpu().numpy(), cuda.depth.cpu().numpy()))
