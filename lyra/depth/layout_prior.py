"""Layout prior: depth from a ground plane with upright objects, sky or a room; no weights.

Built on layout.py. Ground pixels get the depth of flat ground, everything else the depth of the ground where it
stands, like a cut-out (Hoiem, Efros and Hebert 2005, "Automatic Photo Pop-up"). Haze increases depth, an image
without sky is bounded by a room. Depth edges follow image edges.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import assumed_intrinsics, filled_from_nearest
from lyra.depth.layout import Layout, guided, read_layout, refined_mask

EYE_HEIGHT = 1.6  # metres
FARTHEST_OUTDOOR, FARTHEST_INDOOR = 36.0, 14.0
FARTHEST_IN_HAZE = 100.0
ROOM_HALF_WIDTH, ROOM_ABOVE_EYE = 2.6, 1.9
STREET_HALF_WIDTH = 7.0
CONTACT = 0.5


class LayoutPrior:
    """Depth from the estimated scene layout, in under a second."""

    id = "layout"

    def __init__(self, notes: tuple[str, ...] = ()):
        """`notes` are added to every estimate, such as why no better model was used."""
        self.notes = notes

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth of `image` (H, W, 3) uint8 sRGB, in metres for a camera 1.6 m above flat ground."""
        notes = list(self.notes)
        if intrinsics is None:
            intrinsics, note = assumed_intrinsics(*image.shape[:2])
            notes.append(note)
        layout = read_layout(image)
        log_depth = _log_depth(layout, intrinsics, height_width(image))
        depth = np.exp(_enlarged(log_depth, layout.guide, image)).astype(np.float32)
        sky = refined_mask(layout.sky, image)
        depth[sky] = np.inf  # never everywhere: layout.py confines the sky to the upper three quarters
        notes.append("Depth is guessed from the picture's layout; give a depth file for true depth.")
        return DepthEstimate(depth, intrinsics, False, "the built-in layout prior", None, tuple(notes))


def _log_depth(layout: Layout, intrinsics: np.ndarray, full_hw: tuple[int, int]) -> np.ndarray:
    """log z (h, w) at working size; undefined in the sky."""
    height, width = layout.sky.shape
    outdoor = bool((layout.sky > 0.5).any())
    farthest = FARTHEST_OUTDOOR if outdoor else FARTHEST_INDOOR
    focal = intrinsics[1, 1] * height / full_hw[0]
    rows = np.arange(height) + 0.5
    below = rows - layout.horizon * height
    plane = np.where(below > 0, focal * EYE_HEIGHT / np.maximum(below, 1e-3), np.inf)
    ground_plane = np.minimum(plane, farthest)[:, None].repeat(width, 1)
    plane = ground_plane
    if not outdoor:
        plane = np.minimum(plane, _box(layout, focal, ROOM_HALF_WIDTH, ROOM_ABOVE_EYE))
    elif layout.vanishing:  # a street or a passage between walls
        plane = np.minimum(plane, _box(layout, focal, STREET_HALF_WIDTH, np.inf))
    standing = np.minimum(_standing(layout, ground_plane), plane)
    log_standing = _over_superpixels(np.log(standing), layout)
    if outdoor:
        log_standing = _hazed(log_standing, layout, np.log(FARTHEST_IN_HAZE))
    ground = ndimage.gaussian_filter((layout.ground > CONTACT).astype(np.float64), 1.0)
    log_depth = ground * np.log(plane) + (1 - ground) * log_standing
    # Below the horizon nothing is farther than flat ground.
    return np.minimum(log_depth, np.where(below[:, None] > 0, np.log(ground_plane), np.inf))


def _standing(layout: Layout, plane: np.ndarray) -> np.ndarray:
    """Depth of the ground where each pixel's object stands."""
    height = plane.shape[0]
    rows = np.clip((layout.foot * height).astype(int), 0, height - 1)
    return plane[rows, 0]


def _over_superpixels(values: np.ndarray, layout: Layout) -> np.ndarray:
    """One value per superpixel (its mean off the ground), smoothed over neighbours of similar brightness."""
    segments = layout.segments
    weight = 1 - 0.98 * layout.ground.ravel()
    labels, count = segments.ravel(), int(segments.max()) + 1
    total = np.bincount(labels, weight, count)
    mean = np.bincount(labels, weight * values.ravel(), count) / np.maximum(total, 1e-9)
    sky = layout.sky > 0.5
    blocky = filled_from_nearest(mean[segments], ~sky)  # the sky's value must not bleed into its neighbours
    return guided(layout.guide.mean(-1), blocky, max(2, segments.shape[1] // 40), 1e-3)


def _hazed(log_depth: np.ndarray, layout: Layout, log_farthest: float) -> np.ndarray:
    """Moves low-contrast regions in the colour of the lowest sky towards `log_farthest`."""
    light = layout.guide.mean(-1)
    sky = layout.sky > 0.5
    rim = sky & ~ndimage.binary_erosion(sky, iterations=6, border_value=1)
    haze = np.median(layout.guide[rim if rim.any() else sky], 0)
    unlike = np.linalg.norm(layout.guide - haze, axis=-1)
    local = ndimage.uniform_filter(unlike, 9, mode="nearest")
    contrast = np.sqrt(
        np.maximum(ndimage.uniform_filter(light**2, 9) - ndimage.uniform_filter(light, 9) ** 2, 0)
    )
    clear = np.clip(local / 0.45 + contrast / 0.15, 0, 1)
    haze_amount = guided(light, (1 - clear) ** 2, 5, 1e-3)
    rows = (np.arange(len(light)) + 0.5)[:, None] / len(light)
    above = 1 / (1 + np.exp((rows - layout.horizon - 0.05) / 0.02))
    return log_depth + np.clip(haze_amount, 0, 1) * above * 0.8 * np.maximum(log_farthest - log_depth, 0)


def _box(layout: Layout, focal: float, half_width: float, above: float) -> np.ndarray:
    """z of the side walls and ceiling of a box (metres) around the camera, aligned with the vanishing point."""
    height, width = layout.sky.shape
    x0, y0 = layout.vanishing or (0.5, layout.horizon)
    aside = np.abs(np.arange(width) + 0.5 - x0 * width)[None]
    up = y0 * height - (np.arange(height) + 0.5)[:, None]
    walls = focal * half_width / np.maximum(aside, 1e-3)
    ceiling = np.where(up > 0, focal * above / np.maximum(up, 1e-3), np.inf)
    return np.minimum(walls, ceiling)


def _enlarged(values: np.ndarray, guide: np.ndarray, image: np.ndarray) -> np.ndarray:
    """`values` at the size of `image`: bilinear within surfaces, at edges the neighbour most similar in colour."""
    height, width = image.shape[:2]
    if values.shape == (height, width):
        return values
    smooth = np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR),
        np.float32,
    )
    ys = (np.arange(height) + 0.5) * values.shape[0] / height - 0.5
    xs = (np.arange(width) + 0.5) * values.shape[1] / width - 0.5
    colors = ndimage.uniform_filter(image.astype(np.float32) / 255, (3, 3, 1))
    best, best_cost = np.zeros((height, width), np.float32), np.full((height, width), np.inf, np.float32)
    low, high = np.full((height, width), np.inf, np.float32), np.full((height, width), -np.inf, np.float32)
    for dy in (-1, 0, 1, 2):
        for dx in (-1, 0, 1, 2):
            y = np.clip(np.floor(ys).astype(int) + dy, 0, values.shape[0] - 1)[:, None]
            x = np.clip(np.floor(xs).astype(int) + dx, 0, values.shape[1] - 1)[None]
            value = values[y, x].astype(np.float32)
            away = np.hypot(y - ys[:, None], x - xs[None]).astype(np.float32)
            cost = np.abs(guide[y, x] - colors).sum(-1) + 0.05 * away
            nearer = cost < best_cost
            best, best_cost = np.where(nearer, value, best), np.where(nearer, cost, best_cost)
            low, high = np.minimum(low, value), np.maximum(high, value)
    edge = np.clip((high - low - 0.12) / 0.12, 0, 1)
    return ndimage.median_filter(smooth + edge * (best - smooth), 3, mode="nearest")
