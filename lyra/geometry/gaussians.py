"""A cloud of 3D Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GaussianCloud:
    """M Gaussians in world coordinates, parameterised as in the 3DGS paper (Kerbl et al. 2023). All float32.

    `means` (M, 3); `log_scales` (M, 3) natural log of the standard deviations; `rotations` (M, 4) unit quaternions
    wxyz; `opacity_logits` (M,); `sh` (M, K, 3) spherical-harmonics coefficients of sRGB colour, K = (degree + 1)^2,
    colour = 0.5 + SH_C0 * sh[:, 0] + ... clipped at 0.
    """

    means: np.ndarray
    log_scales: np.ndarray
    rotations: np.ndarray
    opacity_logits: np.ndarray
    sh: np.ndarray

    def __len__(self) -> int:
        return len(self.means)


SH_C0 = 0.28209479177387814
