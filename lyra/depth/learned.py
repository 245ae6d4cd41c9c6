"""The built-in depth: the project's own network, its weights in the package, run with NumPy alone.

The picture is shrunk to several working sizes and read in each, also mirrored: small for the lens and for how things
stand to each other, which the network knows best at the sizes it was mostly trained on, and large for detail alone (as
Miangoleh et al. 2021 join readings of two sizes). The result is drawn to the picture's edges. The scale is the
network's guess too. How it was trained and where it fails: weights/MODEL_CARD.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.depth.base import DepthEstimate
from lyra.depth.checks import filled_from_nearest
from lyra.depth.edge_upsampling import resized, upsampled_to_edges
from lyra.depth.network import EPSILON, DepthNetwork, Prediction

WEIGHTS = Path(__file__).with_name("weights") / "depth.safetensors"
# Pixels that the network sees, about 96 x 160, 128 x 224 and 192 x 336; the shortest and longest side it is given.
WHOLE_PIXELS, DETAIL_PIXELS = (15_360, 28_672), 64_000
SHORTEST, LONGEST = 64, 640
# What is finer than this share of the longer side (standard deviation of a Gaussian) is detail.
DETAIL = 0.06
# Steps in log depth, and in the probability of sky, from which edges are drawn.
EDGE_STEP, SKY_STEP = 0.15, 0.3
# Nothing that is no sky is farther than this, or nearer than that, in units of the median depth.
FARTHEST, NEAREST = 400.0, 0.02
# Degrees over the longer side, and metres of median depth, that the network is believed.
LENSES = (20.0, 115.0)
SCALES = (0.5, 300.0)
# Where more than this is sky, there is nothing to measure by, and none of it is taken as sky.
ALL_SKY = 0.97
# Share of the picture below which a piece of sky, or a piece within the sky, is a mistake.
SPECK = 3e-4
# Difference in log depth between the readings of a picture at which half the confidence is gone.
DOUBT = 0.2


class LearnedDepth:
    """Depth that everyone has: no download, no torch, about a second. Relative, with a guess at its scale."""

    id = "builtin"

    def __init__(self, notes: tuple[str, ...] = (), weights: Path = WEIGHTS):
        """`notes` are handed to the user with every estimate, such as why nothing better was taken.

        Raises EngineNotReadyError when the file `weights` is missing or cannot be used.
        """
        self.notes = notes
        self.network = DepthNetwork.load(weights)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth of `image` (H, W, 3) uint8 sRGB in metres, as far as one picture tells; inf where the sky is."""
        notes = list(self.notes)
        seen, doubt, small = _seen(self.network, image)
        log_inverse, sky = _drawn(seen, small, image)
        inverse = np.exp(log_inverse) - EPSILON
        if sky.mean() > ALL_SKY:
            notes.append("Nearly all of the picture looks like sky; it was given a depth all the same.")
            sky[:] = False
        relative = 1 / np.clip(inverse, 1 / FARTHEST, 1 / NEAREST)
        median = np.clip(seen.median, *SCALES)
        depth = (relative * (median / np.median(relative[~sky]))).astype(np.float32)
        depth[sky] = np.inf
        if intrinsics is None:
            intrinsics, note = estimated_intrinsics(seen.focal, image.shape[:2])
            notes.append(note)
        notes.append("Depth is estimated by the built-in network; its scale is a guess.")
        confidence = resized(1 / (1 + (doubt / DOUBT) ** 2), image.shape[:2])
        return DepthEstimate(depth, intrinsics, False, "the built-in depth network", confidence, tuple(notes))


def working_size(size_hw: tuple[int, int], stride: int, pixels: int = DETAIL_PIXELS) -> tuple[int, int]:
    """(height, width) that the network sees: of the picture's aspect where that is not extreme, in whole strides."""
    scale = np.sqrt(pixels / (size_hw[0] * size_hw[1]))
    height, width = (int(np.clip(round(s * scale / stride) * stride, SHORTEST, LONGEST)) for s in size_hw)
    return height, width


def _seen(network: DepthNetwork, image: np.ndarray) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """What the network says of a picture, of the detail's size, how far its readings are apart in log depth, and the
    picture in that size."""
    rough = [p for pixels in WHOLE_PIXELS for p in readings(network, image, pixels)[0]]
    fine, small = readings(network, image, DETAIL_PIXELS)
    size = small.shape[:2]
    rough_depth, fine_depth = (
        np.stack([resized(p.log_inverse, size) for p in part]) for part in (rough, fine)
    )
    whole, detail = rough_depth.mean(0), fine_depth.mean(0)
    mean = Prediction(
        detail - ndimage.gaussian_filter(detail - whole, DETAIL * max(size)),
        np.mean([resized(p.sky, size) for p in (*rough, *fine)], 0),
        float(np.exp(np.mean([np.log(p.focal) for p in rough]))),
        float(np.exp(np.mean([np.log(p.median) for p in rough]))),
    )
    return mean, 2 * np.concatenate([rough_depth, fine_depth]).std(0), small


def readings(network: DepthNetwork, image: np.ndarray, pixels: int) -> tuple[list[Prediction], np.ndarray]:
    """What the network says of a picture of about so many pixels and of its mirror image, and that picture."""
    small = shrunk(network, image, pixels)
    mirrored = network.predict(np.ascontiguousarray(small[:, ::-1]))
    turned = replace(mirrored, log_inverse=mirrored.log_inverse[:, ::-1], sky=mirrored.sky[:, ::-1])
    return [network.predict(small), turned], small


def shrunk(network: DepthNetwork, image: np.ndarray, pixels: int) -> np.ndarray:
    """`image` (H, W, 3) at the size of about so many pixels that the network sees."""
    size = working_size(image.shape[:2], network.shape.stride, pixels)
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _drawn(seen: Prediction, small: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(1/z + EPSILON) (H, W) and the sky (H, W) bool at the size of `image`, drawn to its edges."""
    guide, colors = small.astype(np.float32) / 255, image.astype(np.float32) / 255
    soft_sky = upsampled_to_edges(seen.sky, guide, colors, SKY_STEP)
    sky = without_small_regions(without_small_regions(soft_sky > 0.5), of=False)
    # The sky's own value must not bleed over its rim into what stands before it.
    solid = seen.sky < 0.5
    values = filled_from_nearest(seen.log_inverse, solid) if solid.any() else seen.log_inverse
    # The unit is the median depth of what is no sky; the network meets it nearly, this makes it so.
    values = values - (np.median(seen.log_inverse[solid] if solid.any() else values) - np.log(1 + EPSILON))
    return upsampled_to_edges(values, guide, colors, EDGE_STEP), sky


def without_small_regions(mask: np.ndarray, of: bool = True) -> np.ndarray:
    """`mask` (H, W) bool; connected regions of the value `of` that are too small to be anything are turned over."""
    regions, _ = ndimage.label(mask == of)
    small = np.bincount(regions.ravel()) < SPECK * mask.size
    small[0] = False
    return np.where(small[regions], not of, mask)


def estimated_intrinsics(focal: float, size_hw: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Intrinsics (3, 3) in pixels with the network's lens, and the remark that says which."""
    height, width = size_hw
    degrees = float(np.clip(np.degrees(2 * np.arctan(0.5 / focal)), *LENSES))
    pixels = max(size_hw) / 2 / np.tan(np.radians(degrees) / 2)
    matrix = np.array([[pixels, 0, width / 2], [0, pixels, height / 2], [0, 0, 1]])
    return matrix, f"The lens is estimated: a field of view of {degrees:.0f}° over the longer side."
