"""Similarity transforms between point sets, such as camera centres: least squares and robust.

Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns"; Fischler and
Bolles 1981, "Random sample consensus". The settings of the search are those of the published Lyra 2.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RANSAC_FROM = 10
RANSAC_TRIALS = 10
RANSAC_SEED = 42


@dataclass(frozen=True)
class Similarity:
    """target = scale * rotation @ source + translation."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def applied(self, points: np.ndarray) -> np.ndarray:
        """The transformed points (n, 3)."""
        return self.scale * points @ self.rotation.T + self.translation


def fit_similarity(source: np.ndarray, target: np.ndarray) -> Similarity | None:
    """The least-squares transform from `source` (n, 3) to `target` (n, 3); None if all of `source` coincide.

    Collinear points determine the scale but not the whole rotation; one of the possible ones is returned.
    """
    middle_source, middle_target = source.mean(0), target.mean(0)
    centred = source - middle_source
    variance = (centred**2).sum() / len(source)
    if variance <= 0:
        return None
    covariance = (target - middle_target).T @ centred / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    # Rotations only: a reflection is replaced by the nearest rotation.
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / variance)
    return Similarity(scale, rotation, middle_target - scale * rotation @ middle_source)


def fit_similarity_robustly(source: np.ndarray, target: np.ndarray) -> Similarity | None:
    """As `fit_similarity`, but by RANSAC if there are RANSAC_FROM points or more.

    Each trial fits half of the points; inliers have less than the median error of a first fit to all. The trial with
    the most inliers wins and is fitted again to them.
    """
    first = fit_similarity(source, target)
    if first is None or len(source) < RANSAC_FROM:
        return first
    threshold = np.median(_errors(first, source, target))
    rng = np.random.default_rng(RANSAC_SEED)
    size = max(3, -(-len(source) // 2))
    best = np.ones(len(source), bool)
    most = 0
    for _ in range(RANSAC_TRIALS):
        chosen = rng.choice(len(source), size, replace=False)
        trial = fit_similarity(source[chosen], target[chosen])
        if trial is None:
            continue
        belongs = _errors(trial, source, target) <= threshold
        if belongs.sum() > most:
            best, most = belongs, int(belongs.sum())
    return fit_similarity(source[best], target[best]) or first


def _errors(transform: Similarity, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.linalg.norm(transform.applied(source) - target, axis=1)
