"""The CUDA rasterizer of gsplat returning the same sums as the Warp one. Needs torch and gsplat (extra `gpu`)."""

from __future__ import annotations

import gsplat
import numpy as np
import torch

from lyra.geometry.gaussians import GaussianCloud


def render_sums(
    cloud: GaussianCloud,
    w2c: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    *,
    device: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums of colour (H, W, 3) and z-depth (H, W), and the transmittance (H, W)."""

    def upload(array: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=device)

    sums, alpha, _ = gsplat.rasterization(
        means=upload(cloud.means),
        quats=upload(cloud.rotations),
        scales=upload(cloud.log_scales).exp(),
        opacities=upload(cloud.opacity_logits).sigmoid(),
        colors=upload(cloud.sh),
        viewmats=upload(w2c)[None],
        Ks=upload(intrinsics)[None],
        width=width,
        height=height,
        near_plane=1e-3,
        eps2d=0.3,
        sh_degree=round(np.sqrt(cloud.sh.shape[1])) - 1,
        render_mode="RGB+D",
        rasterize_mode="classic",
    )
    sums = sums[0].cpu().numpy()
    return sums[..., :3], sums[..., 3], 1 - alpha[0, ..., 0].cpu().numpy()
