"""Similarity transforms between two sets of points, such as camera centres: least squares, and safe from outliers.

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
        """The points (n, 3) where the transform takes them."""
        return self.scale * points @ self.rotation.T + self.translation


def fit_similarity(source: np.ndarray, target: np.ndarray) -> Similarity | None:
    """The transform from `source` (n, 3) to `target` (n, 3) with the least squares; None where `source` is one point.

    Points on a line determine the scale but not the whole rotation; one of those possible is taken.
    """
    middle_source, middle_target = source.mean(0), target.mean(0)
    centred = source - middle_source
    variance = (centred**2).sum() / len(source)
    if variance <= 0:
        return None
    covariance = (target - middle_target).T @ centred / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    # A reflection fits no better than its nearest rotation may.
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / variance)
    return Similarity(scale, rotation, middle_target - scale * rotation @ middle_source)


def fit_similarity_robustly(source: np.ndarray, target: np.ndarray) -> Similarity | None:
    """As `fit_similarity`, from RANSAC_FROM points on without those that do not belong.

    Each trial fits half of the points; what it brings nearer than the median of a first fit's errors belongs. The
    trial with most of them wins, and is fitted again to them.
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
