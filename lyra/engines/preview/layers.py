"""RGB-D layers of a preview world: the source image and the fills that complete it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lyra.geometry.raster import Surface
from lyra.geometry.raster_cameras import relative_camera

# Pixels of a layer that are probed to decide whether it is in view.
PROBES = 512
# How far outside the frame, as a share of its size, a probe may land for the layer to count as in view.
PROBE_MARGIN = 0.15


@dataclass(frozen=True)
class Layer:
    """The filled pixels of one camera's image.

    `pixels` (n,) int32 indices into an image of `height` x `width`; `colours` (n, 3) uint8 sRGB; `disparity` (n,)
    float32; `w2c` (4, 4) and `intrinsics` (3, 3) of that camera.
    """

    height: int
    width: int
    pixels: np.ndarray
    colours: np.ndarray
    disparity: np.ndarray
    w2c: np.ndarray
    intrinsics: np.ndarray

    @classmethod
    def cut(cls, image, disparity, drawn, w2c, intrinsics) -> Layer:
        """The pixels `drawn` (H, W) bool of an image, cropped to their bounding box."""
        rows, columns = np.nonzero(drawn.any(1))[0], np.nonzero(drawn.any(0))[0]
        top, left = int(rows[0]), int(columns[0])
        box = np.s_[top : rows[-1] + 1, left : columns[-1] + 1]
        cropped = np.array(intrinsics, np.float64)
        cropped[0, 2] -= left
        cropped[1, 2] -= top
        mask = drawn[box]
        colours = np.rint(image[box][mask]).clip(0, 255).astype(np.uint8)
        pixels = np.flatnonzero(mask).astype(np.int32)
        height, width = mask.shape
        nearness = disparity[box][mask].astype(np.float32)
        return cls(height, width, pixels, colours, nearness, np.array(w2c), cropped)

    def surface(self, device: str, weight: float = 1.0) -> Surface:
        image = np.zeros((self.height * self.width, 3), np.uint8)
        disparity = np.zeros(self.height * self.width, np.float32)
        drawn = np.zeros(self.height * self.width, bool)
        image[self.pixels] = self.colours
        disparity[self.pixels] = self.disparity
        drawn[self.pixels] = True
        shape = (self.height, self.width)
        return Surface(
            image.reshape(*shape, 3),
            disparity.reshape(shape),
            self.w2c,
            self.intrinsics,
            drawn.reshape(shape),
            weight=weight,
            device=device,
        )


class PlacedLayer:
    """A layer's surface on its device, with probe points for culling."""

    def __init__(self, layer: Layer, device: str, weight: float = 1.0):
        self.surface = layer.surface(device, weight)
        picks = np.linspace(0, len(layer.pixels) - 1, min(PROBES, len(layer.pixels))).astype(int)
        pixels = layer.pixels[picks]
        self._uv = np.stack(
            [pixels % layer.width + 0.5, pixels // layer.width + 0.5, np.ones(len(pixels))]
        ).astype(np.float64)
        self._disparity = layer.disparity[picks].astype(np.float64)

    def in_view(self, w2c: np.ndarray, intrinsics: np.ndarray, height: int, width: int) -> bool:
        matrix, shift = relative_camera(self.surface.w2c, self.surface.intrinsics, w2c, intrinsics)
        seen = matrix @ self._uv + shift[:, None] * self._disparity
        front = seen[2] > 1e-9
        x, y = seen[:2, front] / seen[2, front]
        beside, above = PROBE_MARGIN * width, PROBE_MARGIN * height
        return bool(np.any((x > -beside) & (x < width + beside) & (y > -above) & (y < height + above)))


def pack(layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """Layers as named arrays; `unpack` restores them exactly."""
    counts = [len(layer.pixels) for layer in layers]
    return {
        "layer_shape": np.array([(layer.height, layer.width) for layer in layers], np.int32).reshape(-1, 2),
        "layer_count": np.array(counts, np.int64),
        "layer_w2c": np.array([layer.w2c for layer in layers], np.float64).reshape(-1, 4, 4),
        "layer_intrinsics": np.array([layer.intrinsics for layer in layers], np.float64).reshape(-1, 3, 3),
        "pixels": np.concatenate([np.empty(0, np.int32), *(layer.pixels for layer in layers)]),
        "colours": np.concatenate([np.empty((0, 3), np.uint8), *(layer.colours for layer in layers)]),
        "disparity": np.concatenate([np.empty(0, np.float32), *(layer.disparity for layer in layers)]),
    }


def unpack(state: Mapping[str, np.ndarray]) -> list[Layer]:
    ends = np.cumsum(state["layer_count"])[:-1]
    parts = [np.split(state[name], ends) for name in ("pixels", "colours", "disparity")]
    return [
        Layer(int(height), int(width), pixels, colours, disparity, w2c, intrinsics)
        for (height, width), w2c, intrinsics, pixels, colours, disparity in zip(
            state["layer_shape"], state["layer_w2c"], state["layer_intrinsics"], *parts, strict=False
        )
    ]
