"""Plain torch twin of the rasterizer: every splat against every pixel, nothing binned."""

from __future__ import annotations

import torch

from lyra.geometry.gaussians import GaussianCloud


def rotation_matrices(wxyz: torch.Tensor) -> torch.Tensor:
    w, x, y, z = wxyz.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def covariances(cloud: GaussianCloud) -> torch.Tensor:
    """World covariances (M, 3, 3)."""
    scales = torch.as_tensor(cloud.log_scales).double().exp()
    basis = rotation_matrices(torch.as_tensor(cloud.rotations).double()) * scales[:, None]
    return basis @ basis.transpose(1, 2)


def project(cloud, w2c, k, height, width, low_pass=0.3):
    """Pixel coordinates (M, 2), z-depth (M,) and 2D covariances (M, 2, 2)."""
    w2c, k = torch.as_tensor(w2c).double(), torch.as_tensor(k).double()
    point = torch.as_tensor(cloud.means).double() @ w2c[:3, :3].T + w2c[:3, 3]
    z = point[:, 2]
    at = point[:, :2] / z[:, None] * torch.stack([k[0, 0], k[1, 1]]) + k[:2, 2]
    focal, size = torch.stack([k[0, 0], k[1, 1]]), torch.tensor([width, height])
    limit = 1.3 * torch.maximum(k[:2, 2], size - k[:2, 2]) / focal
    slope = torch.clamp(point[:, :2] / z[:, None], -limit, limit)
    jacobian = torch.zeros(len(z), 2, 3, dtype=torch.float64)
    jacobian[:, 0, 0], jacobian[:, 1, 1] = focal[0] / z, focal[1] / z
    jacobian[:, :, 2] = -focal * slope / z[:, None]
    turned = jacobian @ w2c[:3, :3]
    flat = turned @ covariances(cloud) @ turned.transpose(1, 2)
    return at, z, flat + low_pass * torch.eye(2, dtype=torch.float64)


def weights(cloud, w2c, k, height, width):
    """How much each splat contributes to each pixel (M, H, W), and the transmittance (H, W)."""
    at, z, cov = project(cloud, w2c, k, height, width)
    opacity = torch.as_tensor(cloud.opacity_logits).double().sigmoid().clamp(max=0.999)
    inverse = torch.linalg.inv(cov)
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    offset = torch.stack([u, v], -1)[None] - at[:, None, None]
    power = 0.5 * torch.einsum("mhwi,mij,mhwj->mhw", offset, inverse, offset)
    alpha = opacity[:, None, None] * torch.exp(-power)
    alpha[alpha < 1 / 255] = 0
    alpha[z <= 1e-3] = 0
    result = torch.zeros_like(alpha)
    light = torch.ones(height, width, dtype=torch.float64)
    for m in torch.argsort(z, stable=True).tolist():
        visible = torch.where(light >= 1e-3, alpha[m], 0.0)
        result[m] = visible * light
        light = light * (1 - visible)
    return result, light
