"""Scene layout without a learned model: sky, ground, horizon and vanishing point.

The image is segmented into superpixels. Sky grows down from the upper edge and ground up from the lower one along
shortest paths in colour; an object stands where its shortest path meets the ground. The horizon passes through the
vanishing point, if there is one, otherwise through the lower end of a deep sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, sparse, special
from scipy.sparse.csgraph import dijkstra
from skimage.color import rgb2lab
from skimage.segmentation import slic

from lyra.common.shapes import height_width

WORKING_SIDE = 320
SUPERPIXELS = 500
COMPACTNESS = 0.06  # slic scales colours to [0, 1]
# Colour differences (CIELAB units) within one surface, such as shading.
SHADING = 2.0
SKY_REACH, GROUND_REACH = 16.0, 24.0
MIN_SKY = 0.02
_RADIUS = 8


@dataclass(frozen=True)
class Layout:
    """`sky` and `ground` (H, W) in [0, 1] at working size, `horizon` as a share of the height.

    `vanishing` is the vanishing point (x, y) as shares of width and height, or None. `segments` (H, W) int are the
    superpixels, `foot` (H, W) the row (share of the height) at which a pixel's object stands on the ground, `guide`
    (H, W, 3) float32 in [0, 1] the image at working size.
    """

    sky: np.ndarray
    ground: np.ndarray
    horizon: float
    vanishing: tuple[float, float] | None
    segments: np.ndarray
    foot: np.ndarray
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
    segments = slic(
        lab,
        SUPERPIXELS,
        compactness=COMPACTNESS,
        sigma=0.6,
        start_label=0,
        convert2lab=False,
        channel_axis=-1,
    )
    facts = _Superpixels(lab, segments)
    sky = _sky(facts)
    vanishing = _vanishing_point(lab[..., 0])
    horizon = _horizon(sky[segments] > 0.5, vanishing)
    ground = _ground(facts, sky, horizon)
    foot = _foot(facts, sky, ground, horizon)
    return Layout(sky[segments], ground[segments], horizon, vanishing, segments, foot[segments], guide)


def refined_mask(soft: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A soft mask at working size as bool (H, W) at the size of `image`, refined to its edges."""
    if soft.max() <= 0.5:
        return np.zeros(image.shape[:2], bool)
    large = np.asarray(
        Image.fromarray(soft.astype(np.float32)).resize(height_width(image)[::-1], Image.Resampling.BILINEAR)
    )
    radius = max(2, round(_RADIUS * max(image.shape[:2]) / 832))
    mask = guided(image.astype(np.float32).mean(-1) / 255, large, radius, 2e-4) > 0.5
    # The mask is extended past the border; a constant border would grow into the image from all four sides.
    return ndimage.binary_opening(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]


def guided(guide: np.ndarray, values: np.ndarray, radius: int, smoothing: float) -> np.ndarray:
    """Guided filter with a grey guide (He, Sun and Tang 2010): `values` smoothed, with the edges of the guide."""

    def mean(array: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(array, 2 * radius + 1, mode="nearest")

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide**2
    slope = covariance / (variance + smoothing)
    return mean(slope) * guide + mean(mean_values - slope * mean_guide)


class _Superpixels:
    """Superpixel means and the neighbourhood graph, weighted by colour differences."""

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
        self.lowest = ndimage.maximum(rows, segments, np.arange(self.count)) / self.height
        self.column = self.mean(np.broadcast_to(np.arange(self.width), segments.shape)) / self.width
        self.pairs = self._pairs()
        self.stacked = self._stacked()

    def mean(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.segments.ravel(), values.ravel(), self.count) / self.area

    def _pairs(self) -> np.ndarray:
        """Neighbouring superpixels (P, 2), each pair once."""
        right = np.stack([self.segments[:, :-1].ravel(), self.segments[:, 1:].ravel()], 1)
        down = np.stack([self.segments[:-1].ravel(), self.segments[1:].ravel()], 1)
        pairs = np.concatenate([right, down])
        return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)

    def _stacked(self) -> np.ndarray:
        """Pairs (upper, lower) of superpixels that touch along a large part of their width."""
        pairs = np.stack([self.segments[:-1].ravel(), self.segments[1:].ravel()], 1)
        pairs, length = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
        return pairs[length > 0.4 * np.sqrt(self.area[pairs[:, 0]])]

    def weighted(self, cost: np.ndarray) -> sparse.csr_matrix:
        """The neighbourhood graph with a cost (P,) per pair."""
        graph = sparse.coo_matrix((cost, tuple(self.pairs.T)), (self.count, self.count))
        return (graph + graph.T).tocsr()

    def reach(self, seeds: np.ndarray, light_weight: float = 1.0) -> np.ndarray:
        """Cost of the shortest path from any seed to every superpixel, over colour and texture differences."""
        first, second = self.pairs.T
        step = np.linalg.norm((self.color[first] - self.color[second]) * (light_weight, 1, 1), axis=1)
        texture = np.abs(self.texture[first] - self.texture[second])
        graph = self.weighted(np.maximum(step - SHADING, 0) + 1.5 * texture + 0.15)
        return dijkstra(graph, indices=seeds, min_only=True)


def _falling(value: np.ndarray, limit: float, width: float) -> np.ndarray:
    """1 well below the limit, 0 well above it."""
    return special.expit((limit - value) / width)


def _sky(facts: _Superpixels) -> np.ndarray:
    """Probability of sky per superpixel; all zero if the upper part of the image is not sky."""
    none = np.zeros(facts.count)
    top = np.unique(facts.segments[0])
    light, blue = facts.color[:, 0], facts.color[:, 2]
    # Sky is the smooth and light (or blue) part of the upper edge.
    smooth = facts.texture[top] < max(2.5, 0.7 * np.median(facts.texture))
    airy = (light[top] > np.percentile(light, 35)) | (blue[top] < -6)
    seeds = top[smooth & airy]
    if len(seeds) < 0.12 * len(top):
        return none
    likely = _falling(facts.reach(seeds), SKY_REACH, 2.5)
    likely *= _falling(facts.texture, 6.0, 1.0) * _falling(facts.row, 0.72, 0.05)
    sky = likely > 0.5
    share = facts.area[sky].sum() / facts.area.sum()
    rest = facts.color[~sky]
    if share < MIN_SKY or len(rest) == 0:
        return none
    over_sky, over_rest = facts.area[sky], facts.area[~sky]
    sky_light, sky_yellow = (np.average(facts.color[sky, c], weights=over_sky) for c in (0, 2))
    # A ceiling or wall at the upper edge is neither lighter, bluer nor smoother than the rest of the room.
    lighter = sky_light - np.average(rest[:, 0], weights=over_rest)
    bluer = np.average(rest[:, 2], weights=over_rest) - sky_yellow
    calmer = np.average(facts.texture[~sky], weights=over_rest) - np.average(
        facts.texture[sky], weights=over_sky
    )
    possible = sky_yellow < 10 or sky_light > 60  # brown skies are bright
    return likely if possible and lighter / 8 + bluer / 8 + calmer / 1.5 > 1 else none


def _ground(facts: _Superpixels, sky: np.ndarray, horizon: float) -> np.ndarray:
    """Probability of ground per superpixel: connected to the lower edge, below the horizon, not sky."""
    bottom = np.unique(facts.segments[-1])
    columns = np.linspace(0, facts.width - 1, 24).astype(int)
    strip = facts.segments[-max(2, facts.height // 20) :, columns]
    votes = np.bincount(strip.ravel(), minlength=facts.count)
    color = np.average(facts.color, axis=0, weights=votes)
    # Dark or unusual objects at the lower edge are not seeds of the ground.
    odd = np.linalg.norm((facts.color[bottom] - color) * (0.5, 1, 1), axis=1)
    seeds = bottom[odd <= np.percentile(odd, 90)]
    reach = facts.reach(seeds, light_weight=0.5)  # shadows lie on the ground too
    likely = _falling(reach, GROUND_REACH, 6)
    likely *= _falling(-facts.row, -(horizon + 0.03), 0.008)
    return likely * (1 - sky)


def _foot(facts: _Superpixels, sky: np.ndarray, ground: np.ndarray, horizon: float) -> np.ndarray:
    """Row at which each superpixel's object touches the ground, as a share of the height.

    Contact points are superpixels off the ground with ground below them, or at the lower edge. Every other superpixel
    is assigned to the contact point with the shortest path through similar colours, mostly straight down.
    """
    on_ground = ground > 0.5
    touches = np.zeros(facts.count, bool)
    upper, lower = facts.stacked.T
    touches[upper[~on_ground[upper] & on_ground[lower]]] = True
    touches[np.unique(facts.segments[-1])] = True
    touches &= ~on_ground & (sky < 0.5) & (facts.lowest > horizon)
    foot = facts.lowest.copy()
    if not touches.any():
        return foot
    first, second = facts.pairs.T
    step = np.linalg.norm(facts.color[first] - facts.color[second], axis=1)
    aside = np.abs(facts.column[first] - facts.column[second])
    barrier = on_ground[first] | on_ground[second] | (sky[first] > 0.5) | (sky[second] > 0.5)
    cost = np.maximum(step - SHADING, 0) + 90 * aside + 0.5 + 200 * barrier
    _, _, origin = dijkstra(
        facts.weighted(cost), indices=np.flatnonzero(touches), min_only=True, return_predecessors=True
    )
    known = origin >= 0
    foot[known] = facts.lowest[origin[known]]
    return np.where(on_ground, facts.row, foot)


def _horizon(sky: np.ndarray, vanishing: tuple[float, float] | None) -> float:
    """Height of the horizon as a share of the picture's height, from above."""
    if vanishing is not None:
        return float(np.clip(vanishing[1], 0.3, 0.68))
    if not sky.any():
        return 0.46
    height = sky.shape[0]
    feet = np.where(sky.any(0), height - np.argmax(sky[::-1], 0), 0) / height
    lowest = float(np.percentile(feet[feet > 0], 97))
    # A sky that ends high up is occluded by hills or houses and does not constrain the horizon.
    return min(lowest + 0.01, 0.64) if lowest > 0.44 else 0.5


def _vanishing_point(light: np.ndarray) -> tuple[float, float] | None:
    """Vanishing point of slanted straight edges, as shares of width and height, or None.

    Lines through strong, straight edge pixels are intersected in random pairs (with a fixed seed); the densest spot
    among the intersections wins if enough lines pass near it.
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
    middle = (y_edges[:-1] + y_edges[1:]) / 2 / height
    usual = np.exp(-(((middle - 0.53) / 0.16) ** 2))[:, None]
    counts = ndimage.gaussian_filter(counts, 1.5) * usual
    row, column = np.unravel_index(counts.argmax(), counts.shape)
    px, py = x_edges[column : column + 2].mean(), y_edges[row : row + 2].mean()
    distance = np.abs(normal[:, 0] * px + normal[:, 1] * py - offset)
    far_enough = np.hypot(xs - px, ys - py) > 0.1 * width
    supported = weight[far_enough & (distance < 0.02 * width)].sum() / max(weight[far_enough].sum(), 1e-9)
    if supported < 0.22 or counts.max() < 4 * max(counts.mean(), 1e-9):
        return None
    return px / width, py / height
