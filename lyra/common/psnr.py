"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np


def psnr_of_error(mean_squared_error: float, peak: float, limit: float) -> float:
    """PSNR in dB of a mean squared error between signals in [0, `peak`], at most `limit`."""
    floor = peak**2 / 10 ** (limit / 10)
    return float(10 * np.log10(peak**2 / max(mean_squared_error, floor)))
