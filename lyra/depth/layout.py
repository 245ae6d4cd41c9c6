"""What can be read off a picture without a learned model: sky, ground, horizon.

The picture is cut into superpixels; sky spreads down from the upper edge and ground up from the lower one, along the
cheapest way through the superpixels' colours. The horizon is the height of the point where the picture's straight
edges meet, where they do, and the foot of the sky otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

WORKING_SIDE = 320
SUPERPIXELS = 500
# Colour steps (CIELAB units) that count as shading within one surface.
SHADING = 2.0
SKY_REACH, GROUND_REACH = 16.0, 40.0
MIN_SKY = 0.02
_RADIUS = 8


@dataclass(frozen=True)
class Layout:
    """`sky` and `ground` (H, W) in [0, 1] at working size, `horizon` as a share of the height.

    `vanishing` is the point (x, y) as shares of width and height where straight edges meet, or None. `segments`
    (H, W) int are the superpixels, `guide` (H, W, 3) float32 in [0, 1] the picture at working size.
    """

    sky: np.ndarray
    ground: np.ndarray
    horizon: float
    vanishing: tuple[float, float] | None
    segments: np.ndarray
    guide: np.ndarray


def read_layout(image: np.ndarray) -> Layout:
    """The layout of `image` (H, W, 3) uint8 sRGB."""
    height, width = image.shape[:2]
    shrink = min(1.0, WORKING_SIDE / max(height, width))
    small = Image.fromarray(image).resize(
        (max(8, round(width * shrink)), max(8, round(height * shrink))), Image.Resampling.BOX
    )
    guide = np.asarray(small, np.float32) / 255
    lab = rgb2lab(guide).astype(np.float32)
    segments = slic(lab, SUPERPIXELS, compactness=9, sigma=0.6, start_label=0, convert2lab=False, channel_axis=-1)
    facts = _Superpixels(lab, segments)
    sky = _sky(facts)
    vanishing = _vanishing_point(lab[..., 0])
    horizon = _horizon(sky[segments] > 0.5, vanishing)
    ground = _ground(facts, sky, horizon)
    return Layout(sky[segments], ground[segments], horizon, vanishing, segments, guide)


def sky_mask(image: np.ndarray) -> np.ndarray:
    """Where `image` (H, W, 3) uint8 shows sky, bool (H, W), its rim on the picture's own edges."""
    layout = read_layout(image)
    return refined_mask(layout.sky, image)


def refined_mask(soft: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A soft mask at working size as bool (H, W) at the size of `image`, drawn to its edges."""
    if soft.max() <= 0.5:
        return np.zeros(image.shape[:2], bool)
    large = np.asarray(Image.fromarray(soft.astype(np.float32)).resize(image.shape[1::-1], Image.Resampling.BILINEAR))
    radius = max(2, round(_RADIUS * max(image.shape[:2]) / 832))
    mask = guided(image.astype(np.float32).mean(-1) / 255, large, radius, 2e-4) > 0.5
    return ndimage.binary_opening(mask, iterations=1, border_value=1) if mask.any() else mask


def guided(guide: np.ndarray, values: np.ndarray, radius: int, smoothing: float) -> np.ndarray:
    """Guided filter with a grey guide (He, Sun and Tang 2010): `values` smoothed, its edges those of the guide."""

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array, 2 * radius + 1, mode="nearest")

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide**2
    slope = covariance / (variance + smoothing)
    return mean(slope) * guide + mean(mean_values - slope * mean_guide)


class _Superpixels:
    """Means over superpixels and the graph that joins neighbours by the step in colour between them."""

    def __init__(self, lab: np.ndarray, segments: np.ndarray):
        self.segments = segments
        self.height, self.width = segments.shape
        self.count = int(segments.max()) + 1
        labels = segments.ravel()
        self.area = np.maximum(np.bincount(labels, minlength=self.count), 1)
        self.color = np.stack([self.mean(lab[..., c]) for c in range(3)], 1)
        rows = np.broadcast_to(np.arange(self.height)[:, None], segments.shape)
        self.row = self.mean(rows) / self.height
        light = ndimage.gaussian_filter(lab[..., 0], 0.7)
        self.texture = self.mean(np.hypot(ndimage.sobel(light, 0), ndimage.sobel(light, 1)) / 8)
        self.graph = self._graph(lab)

    def mean(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.segments.ravel(), values.ravel(), self.count) / self.area

    def _graph(self, lab: np.ndarray) -> sparse.csr_matrix:
        pairs = np.concatenate(
            [
                np.stack([self.segments[:, :-1].ravel(), self.segments[:, 1:].ravel()], 1),
                np.stack([self.segments[:-1].ravel(), self.segments[1:].ravel()], 1),
            ]
        )
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)
        if len(pairs) == 0:
            return sparse.csr_matrix((self.count, self.count))
        step = np.linalg.norm(self.color[pairs[:, 0]] - self.color[pairs[:, 1]], axis=1)
        texture = np.abs(self.texture[pairs[:, 0]] - self.texture[pairs[:, 1]])
        cost = np.maximum(step - SHADING, 0) + 1.5 * texture + 0.15
        graph = sparse.coo_matrix((cost, (pairs[:, 0], pairs[:, 1])), (self.count, self.count))
        return (graph + graph.T).tocsr()

    def reach(self, seeds: np.ndarray) -> np.ndarray:
        """Cost of the cheapest way from any seed to every superpixel."""
        if len(seeds) == 0:
            return np.full(self.count, np.inf)
        return dijkstra(self.graph, indices=seeds, min_only=True)


def _sky(facts: _Superpixels) -> np.ndarray:
    """Probability of sky per superpixel; all zero where the upper part of the picture is no sky."""
    none = np.zeros(facts.count)
    top = np.unique(facts.segments[0])
    light, blue = facts.color[:, 0], facts.color[:, 2]
    # Sky is the smooth and light (or blue) part of the upper edge.
    smooth = facts.texture[top] < max(2.5, 0.7 * np.median(facts.texture))
    airy = (light[top] > np.percentile(light, 35)) | (blue[top] < -6)
    seeds = top[smooth & airy]
    if len(seeds) < 0.12 * len(top):
        return none
    reach = facts.reach(seeds)
    likely = 1 / (1 + np.exp((reach - SKY_REACH) / 2.5))
    likely *= 1 / (1 + np.exp((facts.texture - 6.0) / 1.0))
    likely *= 1 / (1 + np.exp((facts.row - 0.72) / 0.05))
    sky = likely > 0.5
    share = facts.area[sky].sum() / facts.area.sum()
    rest = facts.color[~sky]
    if share < MIN_SKY or len(rest) == 0:
        return none
    # A ceiling or wall at the upper edge is neither lighter nor bluer than the rest of the room.
    lighter = np.average(light[sky], weights=facts.area[sky]) - np.average(rest[:, 0], weights=facts.area[~sky])
    bluer = np.average(rest[:, 2], weights=facts.area[~sky]) - np.average(blue[sky], weights=facts.area[sky])
    calmer = np.average(facts.texture[~sky], weights=facts.area[~sky]) - np.average(
        facts.texture[sky], weights=facts.area[sky]
    )
    return likely if lighter / 8 + bluer / 8 + calmer / 1.5 > 1 else none


def _ground(facts: _Superpixels, sky: np.ndarray, horizon: float) -> np.ndarray:
    """Probability of ground per superpixel: joined to the lower edge, below the horizon, no sky."""
    bottom = np.unique(facts.segments[-1])
    columns = np.linspace(0, facts.width - 1, 24).astype(int)
    votes = np.bincount(facts.segments[-max(2, facts.height // 20) :, columns].ravel(), minlength=facts.count)
    color = np.average(facts.color, axis=0, weights=votes + 1e-9)
    # Dark or odd things that stand in at the lower edge are not where the ground begins.
    odd = np.linalg.norm((facts.color[bottom] - color) * (0.5, 1, 1), axis=1)
    seeds = bottom[odd <= np.percentile(odd, 75)]
    reach = facts.reach(seeds)
    likely = 1 / (1 + np.exp((reach - GROUND_REACH) / 6))
    likely *= 1 / (1 + np.exp((horizon + 0.015 - facts.row) / 0.012))
    return likely * (1 - sky)


def _horizon(sky: np.ndarray, vanishing: tuple[float, float] | None) -> float:
    """Height of the horizon as a share of the picture's height, from above."""
    if vanishing is not None:
        return float(np.clip(vanishing[1], 0.25, 0.72))
    if not sky.any():
        return 0.46
    height = sky.shape[0]
    feet = np.where(sky.any(0), height - np.argmax(sky[::-1], 0), 0) / height
    return float(np.clip(np.percentile(feet[feet > 0], 85) + 0.01, 0.32, 0.62))


def _vanishing_point(light: np.ndarray) -> tuple[float, float] | None:
    """Where slanted straight edges meet, as shares of width and height, or None where they do not.

    Lines through strong, straight edge pixels are intersected in random pairs (always the same ones); the fullest
    place among the intersections wins if enough lines pass near it.
    """
    height, width = light.shape
    gx, gy = ndimage.gaussian_filter(light, 1.0, (0, 1)), ndimage.gaussian_filter(light, 1.0, (1, 0))
    xx, yy, xy = (ndimage.gaussian_filter(product, 2.0) for product in (gx * gx, gy * gy, gx * gy))
    strength = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    straight = strength / (xx + yy + 1e-6)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)  # of the normal of the edge
    slanted = (np.abs(np.cos(angle)) > 0.17) & (np.abs(np.cos(angle)) < 0.97)
    score = np.where(slanted & (straight > 0.8) & (xx + yy > 1.0), np.sqrt(strength), 0)
    score[:3], score[-3:], score[:, :3], score[:, -3:] = 0, 0, 0, 0
    ys, xs = np.nonzero(score)
    if len(ys) < 150:
        return None
    rng = np.random.default_rng(0)
    weight = score[ys, xs] / score[ys, xs].sum()
    chosen = rng.choice(len(ys), (2, 12000), p=weight)
    normal = np.stack([np.cos(angle[ys, xs]), np.sin(angle[ys, xs])], 1)
    offset = normal[:, 0] * xs + normal[:, 1] * ys
    (n1, n2), (c1, c2) = normal[chosen], offset[chosen]
    cross = n1[:, 0] * n2[:, 1] - n1[:, 1] * n2[:, 0]
    good = np.abs(cross) > 0.25
    x = (c1 * n2[:, 1] - c2 * n1[:, 1])[good] / cross[good]
    y = (n1[:, 0] * c2 - n2[:, 0] * c1)[good] / cross[good]
    counts, y_edges, x_edges = np.histogram2d(
        y, x, bins=(48, 64), range=((0.15 * height, 0.8 * height), (0.05 * width, 0.95 * width))
    )
    counts = ndimage.gaussian_filter(counts, 1.5)
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    px, py = x_edges[column : column + 2].mean(), y_edges[row : row + 2].mean()
    distance = np.abs(normal[:, 0] * px + normal[:, 1] * py - offset)
    far_enough = np.hypot(xs - px, ys - py) > 0.1 * width
    supported = weight[far_enough & (distance < 0.02 * width)].sum() / max(weight[far_enough].sum(), 1e-9)
    if supported < 0.22 or counts.max() < 4 * max(counts.mean(), 1e-9):
        return None
    return px / width, py / height
