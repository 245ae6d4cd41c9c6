"""Gravity in a picture: which way is up for its camera, from vertical lines and surfaces.

Straight edges vote for the vertical vanishing point as in Coughlan and Yuille, "Manhattan World" (1999). The normals of
the estimated depth vote as in Gupta, Arbelaez and Malik, "Perceptual organization and recognition of indoor scenes"
(2013): most surfaces lie level or stand upright. A prior says how cameras are held. One plane through the ground
would not do, for estimated ground is bent, and the widest plane below may be a slope or a roof.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# The camera's own up in OpenCV axes.
LEVEL = np.array([0.0, -1.0, 0.0])
# Largest pitch and roll that are considered, in degrees.
MAX_PITCH, MAX_ROLL = 36.0, 20.0
# How cameras are held: standard deviations of pitch and roll in degrees.
PITCH_PRIOR, ROLL_PRIOR = 14.0, 5.0
# Edges within this angle of the picture's columns, in degrees, may be vertical lines.
STEEP = 36.0
# Width of the orientation bins in which edges are joined into lines, degrees.
BIN = 16.0
# Smoothing of the orientation of edges, pixels.
STEPS = 2.0
# Share of pixels whose gradient is too weak to be an edge.
WEAK = 0.8
# A line spans at least this share of the picture's height, and at least this many rows.
SHORTEST, FEWEST_ROWS = 0.0375, 8
# Largest variance of the distance of a line's pixels from it, in pixels.
STRAIGHT = 1.0
# Angles within which a line and a surface vote for a direction, degrees, and what their votes weigh.
LINE_SIGMA, SURFACE_SIGMA = 1.0, 8.0
LINE_WEIGHT, SURFACE_WEIGHT = 3.0, 20.0
# With fewer lines than this the confidence is lower.
ENOUGH_LINES = 10
# The votes are less certain than they could be: exponent of the posterior. Expected error in degrees at which the
# confidence is one half.
SHARPNESS, DOUBT = 2.0, 6.0
# Surfaces are sampled on about this many pixels, and smoothed over this share of the picture's height.
SAMPLES, SMOOTHING = 1500, 0.0125


@dataclass(frozen=True)
class Gravity:
    """`up` (3,) is the unit vector against gravity in the camera's OpenCV axes; `confidence` is in [0, 1].

    `lines` (N, 4) float64 are the nearly vertical lines x0, y0, x1, y1 in pixels, and `vertical` (N,) bool says which
    of them point to the vertical vanishing point.
    """

    up: np.ndarray
    confidence: float
    lines: np.ndarray
    vertical: np.ndarray


def up_of(pitch: np.ndarray | float, roll: np.ndarray | float) -> np.ndarray:
    """Up (..., 3) in OpenCV axes of a camera that looks up by `pitch` and is turned clockwise by `roll`, degrees."""
    pitch, roll = np.radians(pitch), np.radians(roll)
    return np.stack([-np.cos(pitch) * np.sin(roll), -np.cos(pitch) * np.cos(roll), np.sin(pitch)], -1)


def find_gravity(image: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray) -> Gravity:
    """Gravity in `image` (H, W, 3) uint8 with its z-depth (H, W), inf for sky, and `intrinsics` (3, 3) in pixels.

    The most probable pitch and roll; the confidence falls with the expected error of the posterior.
    """
    lines = steep_lines(image)
    evidence = (lines, intrinsics, surface_normals(depth, intrinsics))
    pitch, roll = _grid(0.0, 0.0, (MAX_PITCH, MAX_ROLL), (2.0, 1.0))
    score = _score(pitch, roll, *evidence)
    best = score.argmax()
    share = np.exp(SHARPNESS * (score - score[best]))
    off = np.degrees(np.arccos(np.clip(up_of(pitch, roll) @ up_of(pitch[best], roll[best]), -1, 1)))
    doubt = (share * off).sum() / share.sum()
    for reach, step in ((2.0, 0.4), (0.4, 0.1)):
        pitch, roll = _grid(pitch[best], roll[best], (reach, reach), (step, step))
        best = _score(pitch, roll, *evidence).argmax()
    up = up_of(pitch[best], roll[best])
    vertical = _off(up[None], lines, intrinsics)[0] < 2 * LINE_SIGMA
    confidence = (0.5 + 0.5 * min(1.0, vertical.sum() / ENOUGH_LINES)) / (1 + (doubt / DOUBT) ** 2)
    return Gravity(up, float(confidence), lines, vertical)


def _grid(
    pitch: float, roll: float, reach: tuple[float, float], step: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Pitches and rolls (N,) about the given ones."""
    around = (np.arange(-r, r + s / 2, s) for r, s in zip(reach, step, strict=True))
    pitches, rolls = np.meshgrid(*around, indexing="ij")
    return pitch + pitches.ravel(), roll + rolls.ravel()


def _score(
    pitch: np.ndarray, roll: np.ndarray, lines: np.ndarray, intrinsics: np.ndarray, normals: np.ndarray
) -> np.ndarray:
    """Log posterior (N,), up to a constant, of `pitch` and `roll` (N,) in degrees."""
    up = up_of(pitch, roll)
    score = -0.5 * ((pitch / PITCH_PRIOR) ** 2 + (roll / ROLL_PRIOR) ** 2)
    if len(lines):
        length = np.hypot(*(lines[:, 2:] - lines[:, :2]).T) / (2 * intrinsics[1, 2])
        votes = np.exp(-0.5 * (_off(up, lines, intrinsics) / LINE_SIGMA) ** 2) @ length
        score += LINE_WEIGHT * votes / np.sqrt(1 + 0.05 * length.sum())
    if len(normals):
        cosine, spread = up @ normals.T, np.radians(SURFACE_SIGMA) ** 2
        # For small angles, 1 - cos a is a * a / 2.
        votes = np.exp(-0.5 * cosine**2 / spread) + np.exp((cosine - 1) / spread)
        score += SURFACE_WEIGHT * votes.mean(1)
    return score


def _off(up: np.ndarray, lines: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Angles in degrees (U, N) between `lines` and what is vertical at their middles, for directions `up` (U, 3)."""
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    middle = ((lines[:, :2] + lines[:, 2:]) / 2 - centre) / focal
    along = (lines[:, 2:] - lines[:, :2]) / focal
    across = up[:, 0, None] - middle[:, 0] * up[:, 2, None]
    down = up[:, 1, None] - middle[:, 1] * up[:, 2, None]
    sine = np.abs(across * along[:, 1] - down * along[:, 0])
    size = np.hypot(across, down) * np.hypot(along[:, 0], along[:, 1])
    return np.degrees(np.arcsin(np.clip(sine / np.maximum(size, 1e-12), 0, 1)))


def steep_lines(image: np.ndarray) -> np.ndarray:
    """Straight edges within STEEP of the columns of `image` (H, W, 3) uint8, as x0, y0, x1, y1 (N, 4) in pixels.

    Edge pixels, thinned across the columns, are joined where they touch and have one orientation; each group is a line
    by principal component analysis if it is long and straight.
    """
    grey = image.astype(np.float32).mean(-1)
    gx = ndimage.gaussian_filter(grey, 1.2, order=(0, 1))
    gy = ndimage.gaussian_filter(grey, 1.2, order=(1, 0))
    strength = np.hypot(gx, gy)
    edge = strength > max(float(np.quantile(strength, WEAK)), 1.0)
    beside = np.pad(strength, ((0, 0), (1, 1)))
    edge &= (strength >= beside[:, :-2]) & (strength > beside[:, 2:])
    # The angle between an edge and the columns is that between its gradient and the rows; the structure tensor's, for
    # single pixels follow the steps of a slanted edge.
    xx, xy, yy = (ndimage.gaussian_filter(product, STEPS) for product in (gx * gx, gx * gy, gy * gy))
    angle = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    edge &= np.abs(angle) < STEEP
    found = []
    for shift in (0.0, BIN / 2):
        bins = np.floor((angle + 90 + shift) / BIN).astype(np.int64)
        for number in np.unique(bins[edge]):
            found.append(_fitted(edge & (bins == number), image.shape[0]))
    lines = np.concatenate([np.zeros((0, 4)), *found])
    return _without_repeats(lines)


def _fitted(mask: np.ndarray, height: int) -> np.ndarray:
    """Lines (N, 4) through the connected groups of `mask` (H, W) that are long and straight."""
    groups, count = ndimage.label(mask, np.ones((3, 3)))
    y, x = np.nonzero(mask)
    group = groups[y, x] - 1
    area = np.bincount(group, minlength=count)
    tall = max(FEWEST_ROWS, SHORTEST * height)
    rows = ndimage.find_objects(groups)
    spans = np.array([part[0].stop - part[0].start for part in rows]) if count else np.zeros(0)
    x, y = x + 0.5, y + 0.5

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, count) / np.maximum(area, 1)

    mx, my = mean(x), mean(y)
    dx, dy = x - mx[group], y - my[group]
    xx, xy, yy = mean(dx * dx), mean(dx * dy), mean(dy * dy)
    root = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    least = (xx + yy) / 2 - root
    turn = 0.5 * np.arctan2(2 * xy, xx - yy)
    along = np.stack([np.cos(turn), np.sin(turn)], -1)
    along *= np.where(along[:, 1] < 0, -1, 1)[:, None]
    kept = (spans >= tall) & (least < STRAIGHT) & (along[:, 1] > np.cos(np.radians(STEEP + 4)))
    half = spans / 2 / np.maximum(along[:, 1], 0.1)
    middle = np.stack([mx, my], -1)
    ends = np.concatenate([middle - along * half[:, None], middle + along * half[:, None]], 1)
    return ends[kept]


def _without_repeats(lines: np.ndarray) -> np.ndarray:
    """`lines` (N, 4) without those that the second set of bins found again: the longest of each middle is kept."""
    if not len(lines):
        return lines
    order = np.argsort(lines[:, 1] - lines[:, 3])
    lines = lines[order]
    middle = np.rint((lines[:, :2] + lines[:, 2:]) / 2 / 4).astype(np.int64)
    _, first = np.unique(middle, axis=0, return_index=True)
    return lines[np.sort(first)]


def surface_normals(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3) towards the camera of sampled surfaces of a z-depth (H, W), inf for sky; camera axes.

    A plane is linear in inverse depth, 1/z = n . ray, so that its normal follows from the smoothed gradient.
    """
    height, width = depth.shape
    solid = np.isfinite(depth)
    step = max(1, round(np.sqrt(height * width / 25_000)))
    with np.errstate(divide="ignore"):
        inverse = np.where(solid, 1 / depth, 0)[::step, ::step].astype(np.float64)
    sigma = max(0.7, SMOOTHING * height / step)
    x = (np.arange(0, width, step) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = ((np.arange(0, height, step) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1])[:, None]
    across = ndimage.gaussian_filter(inverse, sigma, order=(0, 1)) * intrinsics[0, 0] / step
    down = ndimage.gaussian_filter(inverse, sigma, order=(1, 0)) * intrinsics[1, 1] / step
    ahead = ndimage.gaussian_filter(inverse, sigma) - across * x - down * y
    normals = -np.stack([across, down, ahead], -1)[solid[::step, ::step]]
    normals = normals[:: max(1, len(normals) // SAMPLES)]
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
