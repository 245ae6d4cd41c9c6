"""From linear light to a picture: exposure, tone, colour, lens and paper, in numpy and scipy."""

from __future__ import annotations

import numpy as np


def develop(linear: np.ndarray, depth: np.ndarray, rngs: list[np.random.Generator]) -> np.ndarray:
    """Pictures (N, H, W, 3) uint8 sRGB from linear light and z-depth (inf for sky)."""
    images = np.empty(linear.shape, np.uint8)
    for k, rng in enumerate(rngs):
        picture = _expose(linear[k], rng)
        images[k] = np.rint(255 * picture.clip(0, 1)).astype(np.uint8)
    return images


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    middle = np.exp(np.log(np.maximum(luminance, 1e-4)).mean())
    gain = (0.22 / middle) ** rng.uniform(0.5, 1.0) * np.exp(rng.normal(0, 0.3))
    return _tone(light * gain, rng)


def _tone(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """sRGB after a shoulder of random hardness (extended Reinhard, by its white point)."""
    white = rng.uniform(1.5, 6)
    light = light * (1 + light / white**2) / (1 + light)
    return np.maximum(light, 0) ** (1 / rng.uniform(1.9, 2.4))
