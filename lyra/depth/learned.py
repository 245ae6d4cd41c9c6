"""The built-in depth estimator: the project's own network, with bundled weights, on NumPy alone.

The image and its mirror image are evaluated at several sizes: small ones, on which the network was mostly trained, for
the focal length and the overall structure, and a large one for detail (merged as in Miangoleh et al. 2021). The result
is upsampled to the image's edges. The scale is estimated, too. Training and failure cases: weights/MODEL_CARD.md.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import filled_from_nearest
from lyra.depth.edge_upsampling import resized, upsampled_to_edges
from lyra.depth.network import EPSILON, DepthNetwork, Prediction

WEIGHTS = Path(__file__).with_name("weights") / "depth.safetensors"
# Sizes of the network's input in pixels, about 96 x 160, 128 x 224 and 192 x 336; its shortest and longest side.
WHOLE_PIXELS, DETAIL_PIXELS = (15_360, 28_672), 64_000
SHORTEST, LONGEST = 64, 640
# Standard deviation of the Gaussian that separates detail, as a share of the longer side.
DETAIL = 0.06
# Steps in log depth, and in the probability of sky, above which edges are sharpened.
EDGE_STEP, SKY_STEP = 0.15, 0.3
# Farthest and nearest depth of anything but sky, in units of the median depth.
FARTHEST, NEAREST = 400.0, 0.02
# Accepted ranges of the field of view in degrees over the longer side, and of the median depth in metres.
LENSES = (20.0, 115.0)
SCALES = (0.5, 300.0)
# If more than this share is sky, the rest is too little to go by, and none of it is taken as sky.
ALL_SKY = 0.97
# Regions of sky, or holes in it, below this share of the image are treated as errors.
SPECK = 3e-4
# Difference in log depth between predictions of one image at which the confidence is one half.
DOUBT = 0.2


class LearnedDepth:
    """Depth without download or torch, in about a second. Relative, with an estimated scale."""

    id = "builtin"

    def __init__(self, notes: tuple[str, ...] = (), weights: Path = WEIGHTS):
        """`notes` are added to every estimate, such as why no better model was used.

        Raises EngineNotReadyError if the file `weights` is missing or unusable.
        """
        self.notes = notes
        self.network = DepthNetwork.load(weights)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth of `image` (H, W, 3) uint8 sRGB in approximate metres; inf for sky."""
        notes = list(self.notes)
        seen, doubt, small = _seen(self.network, image)
        log_inverse, sky = _drawn(seen, small, image)
        inverse = np.exp(log_inverse) - EPSILON
        if sky.mean() > ALL_SKY:
            notes.append("Nearly all of the picture looks like sky; it got a depth nevertheless.")
            sky[:] = False
        relative = 1 / np.clip(inverse, 1 / FARTHEST, 1 / NEAREST)
        median = np.clip(seen.median, *SCALES)
        depth = (relative * (median / np.median(relative[~sky]))).astype(np.float32)
        depth[sky] = np.inf
        if intrinsics is None:
            intrinsics, note = estimated_intrinsics(seen.focal, height_width(image))
            notes.append(note)
        notes.append("Depth is estimated by the built-in network; its scale is approximate.")
        confidence = resized(1 / (1 + (doubt / DOUBT) ** 2), height_width(image))
        return DepthEstimate(depth, intrinsics, False, "the built-in depth network", confidence, tuple(notes))


def working_size(size_hw: tuple[int, int], stride: int, pixels: int = DETAIL_PIXELS) -> tuple[int, int]:
    """(height, width) of the network's input: the image's aspect, unless extreme, in whole strides."""
    scale = np.sqrt(pixels / (size_hw[0] * size_hw[1]))
    height, width = (int(np.clip(round(s * scale / stride) * stride, SHORTEST, LONGEST)) for s in size_hw)
    return height, width


def _seen(network: DepthNetwork, image: np.ndarray) -> tuple[Prediction, np.ndarray, np.ndarray]:
    """The merged prediction at the size used for detail, the spread of the predictions in log depth, and the image at
    that size."""
    rough = [p for pixels in WHOLE_PIXELS for p in readings(network, image, pixels)[0]]
    fine, small = readings(network, image, DETAIL_PIXELS)
    size = height_width(small)
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
    """Predictions of an image of about `pixels` pixels and of its mirror image, and that image."""
    small = shrunk(network, image, pixels)
    mirrored = network.predict(np.ascontiguousarray(small[:, ::-1]))
    turned = replace(mirrored, log_inverse=mirrored.log_inverse[:, ::-1], sky=mirrored.sky[:, ::-1])
    return [network.predict(small), turned], small


def shrunk(network: DepthNetwork, image: np.ndarray, pixels: int) -> np.ndarray:
    """`image` (H, W, 3) scaled to an input size of about `pixels` pixels."""
    size = working_size(height_width(image), network.shape.stride, pixels)
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _drawn(seen: Prediction, small: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(1/z + EPSILON) (H, W) and the sky (H, W) bool at the size of `image`, refined to its edges."""
    guide, colors = small.astype(np.float32) / 255, image.astype(np.float32) / 255
    soft_sky = upsampled_to_edges(seen.sky, guide, colors, SKY_STEP)
    sky = without_small_regions(without_small_regions(soft_sky > 0.5), of=False)
    # The sky's value must not bleed into the objects in front of it.
    solid = seen.sky < 0.5
    values = filled_from_nearest(seen.log_inverse, solid) if solid.any() else seen.log_inverse
    # The unit is the median depth outside the sky; the prediction is close to it, this makes it exact.
    values = values - (np.median(seen.log_inverse[solid] if solid.any() else values) - np.log(1 + EPSILON))
    return upsampled_to_edges(values, guide, colors, EDGE_STEP), sky


def without_small_regions(mask: np.ndarray, of: bool = True) -> np.ndarray:
    """`mask` (H, W) bool with small connected regions of the value `of` flipped."""
    regions, _ = ndimage.label(mask == of)
    small = np.bincount(regions.ravel()) < SPECK * mask.size
    small[0] = False
    return np.where(small[regions], not of, mask)


def estimated_intrinsics(focal: float, size_hw: tuple[int, int]) -> tuple[np.ndarray, str]:
    """Intrinsics (3, 3) in pixels for a focal length over the longer side, and a note that quotes the field of view."""
    height, width = size_hw
    degrees = float(np.clip(np.degrees(2 * np.arctan(0.5 / focal)), *LENSES))
    pixels = max(size_hw) / 2 / np.tan(np.radians(degrees) / 2)
    matrix = np.array([[pixels, 0, width / 2], [0, pixels, height / 2], [0, 0, 1]])
    return matrix, f"The lens is estimated: a field of view of {degrees:.0f}° over the longer side."
