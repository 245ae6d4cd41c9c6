"""The built-in depth network in NumPy: from an image to log inverse depth, sky and focal length.

`lyra.training.depth.network` is the same network in torch, for training; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyra.depth.network_file import NetworkShape, load_weights
from lyra.depth.network_layers import (
    attention,
    conv,
    depthwise,
    layer_norm,
    linear,
    pixel_shuffle,
    relu,
    upsampled,
)

# The target is log(1/z + EPSILON), z in units of the image's median depth: at 1 / EPSILON median depths it saturates
# towards the sky's value, so that the exact distance of mountains does not outweigh a street.
EPSILON = 0.01


@dataclass(frozen=True)
class Prediction:
    """The network's output for one image.

    `log_inverse` (H, W) is log(1/z + EPSILON), z in units of the median depth outside the sky; `sky` (H, W) the
    probability of sky; `focal` the focal length over the longer side; `median` the estimated median depth in metres.
    """

    log_inverse: np.ndarray
    sky: np.ndarray
    focal: float
    median: float


def network_input(image: np.ndarray) -> np.ndarray:
    """(H, W, 5) float32 of `image` (H, W, 3) in 0 ... 255: colours and pixel coordinates.

    x and y are relative to the centre in halves of the longer side, and thus encode the aspect as well.
    """
    height, width = image.shape[:2]
    result = np.empty((height, width, 5), np.float32)
    np.divide(image, 63.75, out=result[..., :3], casting="unsafe")
    result[..., :3] -= 2
    result[..., 3], result[..., 4] = pixel_coordinates(height, width)
    return result


def pixel_coordinates(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x (width,) and y (height, 1) of pixel centres relative to the image centre, in halves of the longer side."""
    half = max(height, width) / 2
    across = (np.arange(width) + 0.5 - width / 2) / half
    return across, ((np.arange(height) + 0.5 - height / 2) / half)[:, None]


def _pooled(x: np.ndarray) -> np.ndarray:
    """(3 C,) of x (H, W, C): the mean and the first moments across columns and rows.

    The focal length follows from how fast viewing directions change across the image.
    """
    across, down = pixel_coordinates(*x.shape[:2])
    moments = [x.mean((0, 1)), across @ x.mean(0) / x.shape[1], down[:, 0] @ x.mean(1) / x.shape[0]]
    return np.concatenate(moments).astype(np.float32)


class DepthNetwork:
    """The network with loaded weights."""

    def __init__(
        self, weights: dict[str, np.ndarray], shape: NetworkShape, facts: dict[str, str] | None = None
    ):
        """`weights` by name, convolutions (k, k, in, out), matrices (in, out); `facts` describe how they were made."""
        self.weights, self.shape, self.facts = weights, shape, facts or {}

    @classmethod
    def load(cls, path: Path) -> DepthNetwork:
        """Loads a safetensors file. Raises EngineNotReadyError if it is unusable."""
        return cls(*load_weights(path))

    def predict(self, image: np.ndarray) -> Prediction:
        """The prediction for `image` (H, W, 3), uint8 or float32 in 0 ... 255, sides multiples of `shape.stride`."""
        x = relu(self._conv("stem", network_input(image), 2))
        kept = []
        for level, count in enumerate(self.shape.encoder_blocks):
            x = self._residuals(f"encoder.{level}", count, x)
            kept.append(x)
            x = relu(self._conv(f"down.{level}", x, 2))
        for index in range(self.shape.token_blocks):
            x = self._token_block(f"tokens.{index}", x)
        camera = self._linear("camera2", relu(self._linear("camera1", _pooled(x))))
        for level in reversed(range(len(kept))):
            x = upsampled(self._conv(f"up.{level}", x))
            x += self._conv(f"skip.{level}", kept[level])
            x = self._residuals(f"decoder.{level}", self.shape.decoder_blocks[level], relu(x))
        maps = pixel_shuffle(self._conv("maps", relu(self._conv("head", x))))
        sky = 1 / (1 + np.exp(-np.clip(maps[..., 1], -30, 30)))
        focal, median = np.exp(np.clip(camera, -5, 10))
        return Prediction(maps[..., 0], sky, float(focal), float(median))

    def _named(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def _conv(self, name: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        return conv(x, *self._named(name), stride)

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return linear(x, *self._named(name))

    def _residuals(self, name: str, count: int, x: np.ndarray) -> np.ndarray:
        for index in range(count):
            y = relu(self._conv(f"{name}.{index}.first", x))
            x = relu(x + self._conv(f"{name}.{index}.second", y))
        return x

    def _token_block(self, name: str, x: np.ndarray) -> np.ndarray:
        height, width, channels = x.shape
        heads = self.shape.heads
        normal = layer_norm(x, *self._named(f"{name}.norm1"))
        normal = normal + depthwise(normal, *self._named(f"{name}.place"))
        tokens = x.reshape(-1, channels)
        qkv = self._linear(f"{name}.qkv", normal.reshape(-1, channels))
        query, key, value = qkv.reshape(-1, 3, heads, channels // heads).transpose(1, 2, 0, 3)
        mixed = attention(query, key, value).transpose(1, 0, 2).reshape(-1, channels)
        tokens = tokens + self._linear(f"{name}.proj", mixed)
        wide = relu(self._linear(f"{name}.expand", layer_norm(tokens, *self._named(f"{name}.norm2"))))
        return (tokens + self._linear(f"{name}.shrink", wide)).reshape(height, width, channels)
