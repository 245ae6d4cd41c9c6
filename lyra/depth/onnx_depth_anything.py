"""Depth Anything V2 Small as an ONNX network: inverse depth up to scale and offset, with fine edges.

Weights: onnx-community/depth-anything-v2-small, Apache-2.0, 50 MB in half precision. Paper: Yang et al. 2024, "Depth
Anything V2". The network is the relative one: alone it gets its scale, the sky and the lens from the built-in network;
`lyra.depth.joined` gives it those of MoGe-2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import sanitise
from lyra.depth.depth_anything import input_size, network_input
from lyra.depth.learned import LearnedDepth
from lyra.depth.onnx_session import OnnxNetwork, network_file
from lyra.depth.relative import RelativeFit, fit_relative

ID = "depth-anything-v2-onnx"
ITEM = "depth-anything-v2-small-onnx"
LABEL = "Depth Anything V2 Small"
PATCH = 14
# What the built-in network takes for sky is sky where the value is below this share of the largest.
FAR = 0.1
NOT_SCALED = (
    f"{LABEL} and the built-in network contradict each other about what is near, so its range was laid over the "
    "other's."
)


class DepthAnythingOnnx:
    """Relative depth by Depth Anything V2 Small, brought to the scale that the built-in network guesses."""

    id = ID

    def __init__(
        self, folder: str | Path | None = None, device: str | None = None, notes: tuple[str, ...] = ()
    ):
        """`folder` holds the network; by default the weights folder. `device` as for `OnnxNetwork`.

        `notes` are added to every estimate. Raises EngineNotReadyError if the network is missing or unusable.
        """
        self._notes = notes
        self.network = OnnxNetwork(
            network_file(ITEM, folder), LABEL, {"pixel_values": "float"}, ("predicted_depth",), device
        )

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self.network.notes)

    def relative(self, image: np.ndarray) -> np.ndarray:
        """Inverse depth of `image` (H, W, 3) uint8 sRGB up to scale and offset, (H, W) float32 in [0, 1], 1 nearest.

        Raises EngineNotReadyError when the network gives anything else.
        """
        size = input_size(height_width(image), PATCH)
        values = self.network.run(pixel_values=network_input(image, size))["predicted_depth"]
        if values.shape != (1, *size) or not np.isfinite(values).all():
            raise self.network.wrong_output("predicted_depth", values)
        values = np.maximum(values[0], 0)
        resized = Image.fromarray(values).resize(height_width(image)[::-1], Image.Resampling.BILINEAR)
        return np.asarray(resized) / max(float(values.max()), np.finfo(np.float32).tiny)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth of `image` (H, W, 3) uint8 sRGB in approximate metres; inf for sky."""
        values = self.relative(image)
        guess = sanitise(LearnedDepth().estimate(image, intrinsics))
        sky = guess.sky & (values < FAR)
        fit = scaled(values, ~guess.sky, guess.depth)
        depth = (1 / fit.applied(values)).astype(np.float32)
        depth[sky] = np.inf
        notes = (*self.notes, *(() if fit.agreed else (NOT_SCALED,)), *guess.notes)
        return DepthEstimate(depth, guess.intrinsics, False, f"{LABEL} (ONNX)", None, notes)


def scaled(values: np.ndarray, solid: np.ndarray, depth: np.ndarray) -> RelativeFit:
    """How relative `values` (H, W) become the inverse of `depth` (H, W) where `solid` is."""
    return fit_relative(values[solid].astype(np.float64), 1 / depth[solid].astype(np.float64))
