"""Layers of the depth network on NumPy arrays (H, W, C), as matrix products."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

# Rows of unfolded pixels per matrix product: about 2 MB, to fit into the cache.
TILE_FLOATS = 500_000


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0), in place."""
    return np.maximum(x, 0, out=x)


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x (..., in) times weight (in, out) plus bias (out,)."""
    y = x.reshape(-1, x.shape[-1]) @ weight
    y += bias
    return y.reshape(*x.shape[:-1], -1)


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> np.ndarray:
    """Zero-padded convolution of x (H, W, in) with weight (k, k, in, out), as in torch.

    Implemented as im2col, a few rows at a time.
    """
    size, _, inputs, outputs = weight.shape
    if size == 1:
        return linear(x[::stride, ::stride], weight[0, 0], bias)
    half = size // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    height, width = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    result = np.empty((height, width, outputs), np.float32)
    matrix = weight.reshape(-1, outputs)
    rows = max(1, TILE_FLOATS // (width * size * size * inputs))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = padded[top * stride : (bottom - 1) * stride + size]
        windows = sliding_window_view(strip, (size, size), (0, 1))[::stride, ::stride][:, :width]  # type: ignore[call-overload]  # the stubs of NumPy 1 lack tuples
        unfolded = windows.transpose(0, 1, 3, 4, 2).reshape((bottom - top) * width, -1)
        np.matmul(unfolded, matrix, out=result[top:bottom].reshape(-1, outputs))
    result += bias
    return result


def depthwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Depthwise convolution of x (H, W, C) with weight (k, k, 1, C)."""
    size = weight.shape[0]
    half = size // 2
    height, width = x.shape[:2]
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    result = np.broadcast_to(bias, x.shape).astype(np.float32)
    for dy in range(size):
        for dx in range(size):
            result += padded[dy : dy + height, dx : dx + width] * weight[dy, dx, 0]
    return result


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Layer normalisation over the last axis, with scale and shift."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.square(centred).mean(-1, keepdims=True)
    return centred / np.sqrt(variance + eps) * weight + bias


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """softmax(query keyᵀ / √d) value over (heads, tokens, d)."""
    scores = query @ key.transpose(0, 2, 1)
    scores *= query.shape[-1] ** -0.5
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    return scores @ value


def upsampled(x: np.ndarray) -> np.ndarray:
    """x (H, W, C) upsampled to (2 H, 2 W, C) by repetition."""
    return x.repeat(2, 0).repeat(2, 1)


def pixel_shuffle(x: np.ndarray) -> np.ndarray:
    """(H, W, 4 C) to (2 H, 2 W, C), channels in torch's order: C outermost, then row, then column."""
    height, width, channels = x.shape
    blocks = x.reshape(height, width, channels // 4, 2, 2)
    return blocks.transpose(0, 3, 1, 4, 2).reshape(2 * height, 2 * width, -1)
