"""Painterly effects: brush, ink, wash, paper, posterisation. Images are (H, W, 3) float sRGB in [0, 1]."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter

SHARE = 0.3


def by_hand(
    picture: np.ndarray, depth: np.ndarray, normals: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The image unchanged or, with a probability of 0.3, painted or drawn."""
    if rng.random() > SHARE:
        return picture
    if rng.random() < 0.3:
        picture = wobbled(picture, rng)
    draw = rng.random()
    if draw < 0.45:
        picture = brushed(picture, max(1, round(rng.uniform(0.6, 2.2) * picture.shape[1] / 160)))
    elif draw < 0.6:
        picture = flattened(picture, int(rng.integers(4, 9)))
    if rng.random() < 0.35:
        picture = inked(picture, depth, normals, rng)
    if rng.random() < 0.3:
        picture = on_paper(picture, rng)
    return picture


def brushed(picture: np.ndarray, radius: int) -> np.ndarray:
    """Kuwahara filter: each pixel takes the mean of the adjacent square, of four, with the least variance."""
    size = radius + 1
    grey = picture.mean(2)
    mean = uniform_filter(picture, (size, size, 0), mode="nearest")
    variance = uniform_filter(grey**2, size, mode="nearest") - uniform_filter(grey, size, mode="nearest") ** 2
    near, far = radius - radius // 2, radius // 2
    edge = max(near, far)
    mean = np.pad(mean, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    variance = np.pad(variance, edge, mode="edge")
    height, width = grey.shape
    corners = [(edge + i, edge + j) for i in (-near, far) for j in (-near, far)]
    spreads = np.stack([variance[i : i + height, j : j + width] for i, j in corners])
    means = np.stack([mean[i : i + height, j : j + width] for i, j in corners])
    best = spreads.argmin(0)
    return np.take_along_axis(means, best[None, ..., None], 0)[0]


def flattened(picture: np.ndarray, levels: int) -> np.ndarray:
    """Posterised brightness with soft steps."""
    grey = picture.mean(2, keepdims=True)
    stepped = np.rint(grey * levels) / levels
    return picture * (0.25 + 0.75 * stepped / np.maximum(grey, 0.02))


def inked(
    picture: np.ndarray, depth: np.ndarray, normals: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ink lines at depth edges and creases, over the image or over a pale wash of it."""
    near = 1 / np.where(np.isfinite(depth), depth, 1e6)
    jump = np.zeros(depth.shape, np.float32)
    bend = np.zeros(depth.shape, np.float32)
    for axis in (0, 1):
        step = np.abs(np.diff(near, axis=axis)) / np.maximum(
            np.minimum(
                near.take(range(1, near.shape[axis]), axis), near.take(range(near.shape[axis] - 1), axis)
            ),
            1e-5,
        )
        turn = 1 - (
            normals.take(range(1, near.shape[axis]), axis) * normals.take(range(near.shape[axis] - 1), axis)
        ).sum(2)
        pad = [(0, 1) if k == axis else (0, 0) for k in range(2)]
        jump = np.maximum(jump, np.pad(step, pad))
        bend = np.maximum(bend, np.pad(turn, pad))
    line = np.clip(jump / 0.3 - 0.4, 0, 1)
    if rng.random() < 0.7:
        line = np.maximum(line, rng.uniform(0.3, 0.9) * np.clip(bend / 0.5 - 0.3, 0, 1))
    line = gaussian_filter(line, rng.uniform(0.2, 0.6))
    if rng.random() < 0.3:
        paper = rng.uniform(0.75, 0.97) * np.array([1, rng.uniform(0.94, 1), rng.uniform(0.82, 1)])
        picture = paper + (picture - paper) * rng.uniform(0.1, 0.6)
    ink = rng.uniform(0, 0.25, 3)
    share = (rng.uniform(0.4, 0.95) * line.clip(0, 1))[..., None]
    return picture * (1 - share) + ink * share


def on_paper(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paper or canvas grain, and pigment pooling."""
    height, width = picture.shape[:2]
    fine = gaussian_filter(rng.standard_normal((height, width)), 0.6)
    broad = gaussian_filter(rng.standard_normal((height, width)), 0.06 * width)
    texture = rng.uniform(0.005, 0.025) * fine / fine.std() + rng.uniform(0.0, 0.06) * broad / broad.std()
    return picture * (1 + texture[..., None])


def wobbled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unsteady edges: displaced by about a pixel of an image 160 pixels wide."""
    height, width = picture.shape[:2]
    size = rng.uniform(2, 6) * width / 160
    shift = [gaussian_filter(rng.standard_normal((height, width)), size) for _ in range(2)]
    strength = rng.uniform(0.2, 0.5) * width / 160
    rows, columns = np.mgrid[:height, :width]
    at = [base + strength * s / s.std() for base, s in zip((rows, columns), shift, strict=True)]
    return np.stack([map_coordinates(picture[..., c], at, order=1, mode="nearest") for c in range(3)], -1)
