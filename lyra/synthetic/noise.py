"""The periodic noise table that all kernels sample."""

from __future__ import annotations

from functools import cache

import numpy as np

SIZE = 32


@cache
def noise_table() -> np.ndarray:
    """Three independent noises (32, 32, 32, 3) float32 in [0, 1], periodic, with a spectrum of about 1 / f.

    White noise is shaped in the Fourier domain between 2 and 14 cycles and stretched to fill the range.
    """
    rng = np.random.default_rng(20240607)
    frequency = np.fft.fftfreq(SIZE, 1 / SIZE)
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(frequency, frequency, frequency, indexing="ij")))
    gain = np.where((radius > 1.5) & (radius < 14), 1 / np.maximum(radius, 1) ** 2.3, 0)
    white = np.fft.fftn(rng.standard_normal((SIZE, SIZE, SIZE, 3)), axes=(0, 1, 2))
    shaped = np.fft.ifftn(white * gain[..., None], axes=(0, 1, 2)).real
    shaped /= shaped.std(axis=(0, 1, 2))
    return np.clip(0.5 + 0.19 * shaped, 0, 1).astype(np.float32)
