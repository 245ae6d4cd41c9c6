import numpy as np
import pytest
import torch
import warp as wp

from lyra.geometry.gaussians import GaussianCloud
from lyra.splats import SplatRasterizer, rasterize
from lyra.splats.harmonics import sh_basis, sh_colors
from lyra.splats.tiles import DeviceCloud, TiledView
from tests.splats.twin import weights

HEIGHT, WIDTH = 37, 50
INTRINSICS = np.array([[45.0, 0, 23.0], [0, 48.0, 19.5], [0, 0, 1]])


def random_cloud(count: int, seed: int, coefficients: int = 1) -> GaussianCloud:
    generator = np.random.default_rng(seed)
    rotations = generator.normal(size=(count, 4))
    arrays = (
        generator.uniform([-3, -2, -1], [3, 2, 6], (count, 3)),
        generator.uniform(-4, -0.5, (count, 3)),
        rotations / np.linalg.norm(rotations, axis=1, keepdims=True),
        generator.uniform(-7, 6, count),
        generator.normal(size=(count, coefficients, 3)) * 0.5,
    )
    return GaussianCloud(*(array.astype(np.float32) for array in arrays))


def camera(seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    w2c = np.eye(4)
    q, _ = np.linalg.qr(np.eye(3) + 0.2 * generator.normal(size=(3, 3)))
    w2c[:3, :3] = q * np.sign(np.linalg.det(q)) * 1.0
    if w2c[2, 2] < 0:
        w2c[:3, :3] = np.diag([-1, 1, -1]) @ w2c[:3, :3]
    w2c[:3, 3] = generator.uniform(-0.3, 0.3, 3)
    return w2c


@pytest.mark.parametrize(
    ("count", "seed", "coefficients"), [(1, 0, 1), (60, 1, 1), (200, 2, 16), (150, 3, 4)]
)
def test_matches_the_torch_twin(count, seed, coefficients):
    cloud, w2c = random_cloud(count, seed, coefficients), camera(seed)
    background = np.array([0.2, 0.5, 0.9])
    rendering = rasterize(cloud, w2c, INTRINSICS, HEIGHT, WIDTH, background)
    share, light = weights(cloud, w2c, INTRINSICS, HEIGHT, WIDTH)
    colors = torch.as_tensor(sh_colors(cloud, np.linalg.inv(w2c)[:3, 3])).double()
    expected = torch.einsum("mhw,mc->hwc", share, colors) + light[..., None] * torch.as_tensor(background)
    # Rounding decides now and then on which side of 1/255 an alpha falls.
    assert np.abs(rendering.rgb - expected.clamp(0, 1).numpy()).max() < 8e-3
    assert np.abs(rendering.alpha - (1 - light).numpy()).max() < 8e-3
    z = torch.as_tensor(cloud.means).double() @ torch.as_tensor(w2c)[2, :3] + w2c[2, 3]
    depth = torch.einsum("mhw,m->hw", share, z) / (1 - light)
    dense = (1 - light).numpy() > 0.1
    assert np.abs(rendering.depth - depth.numpy())[dense].max(initial=0) < 0.02
    assert np.isinf(rendering.depth[light.numpy() == 1]).all()


def test_gathered_weights_match_the_torch_twin():
    cloud, w2c = random_cloud(120, 5), camera(5)
    residual = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    sums = wp.zeros(len(cloud), wp.vec4, device="cpu")
    TiledView(DeviceCloud(cloud), w2c, INTRINSICS, HEIGHT, WIDTH).gather(residual, sums)
    share, _ = weights(cloud, w2c, INTRINSICS, HEIGHT, WIDTH)
    expected = torch.einsum("mhw,hwc->mc", share, torch.as_tensor(residual).double())
    assert np.abs(sums.numpy()[:, :3] - expected.numpy()).max() < 0.05
    assert np.abs(sums.numpy()[:, 3] - share.sum((1, 2)).numpy()).max() < 0.05


def test_empty_cloud_shows_the_background():
    cloud = random_cloud(0, 0)
    rendering = rasterize(cloud, np.eye(4), INTRINSICS, HEIGHT, WIDTH, np.array([0.25, 0.5, 0.75]))
    assert np.allclose(rendering.rgb, [0.25, 0.5, 0.75])
    assert (rendering.alpha == 0).all() and np.isinf(rendering.depth).all()


def test_what_lies_behind_the_camera_is_not_drawn():
    cloud = random_cloud(50, 7)
    behind = GaussianCloud(
        -np.abs(cloud.means), cloud.log_scales, cloud.rotations, cloud.opacity_logits, cloud.sh
    )
    assert (rasterize(behind, np.eye(4), INTRINSICS, HEIGHT, WIDTH).alpha == 0).all()


def test_an_opaque_splat_lies_where_its_mean_projects():
    one = GaussianCloud(
        np.array([[0.4, -0.2, 2.0]], np.float32),
        np.full((1, 3), -5, np.float32),
        np.array([[1, 0, 0, 0]], np.float32),
        np.array([8], np.float32),
        np.zeros((1, 1, 3), np.float32),
    )
    alpha = SplatRasterizer(one).render(np.eye(4), INTRINSICS, HEIGHT, WIDTH).alpha
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    center = (alpha * u).sum() / alpha.sum(), (alpha * v).sum() / alpha.sum()
    assert center == pytest.approx((45 * 0.2 + 23, 48 * -0.1 + 19.5), abs=0.05)


def test_sh_basis_is_orthonormal_on_the_sphere():
    golden = np.pi * (3 - np.sqrt(5)) * np.arange(20000)
    z = 1 - (2 * np.arange(20000) + 1) / 20000
    radius = np.sqrt(1 - z * z)
    basis = sh_basis(np.stack([radius * np.cos(golden), radius * np.sin(golden), z], 1), 3)
    assert np.allclose(basis.T @ basis * 4 * np.pi / 20000, np.eye(16), atol=2e-3)
