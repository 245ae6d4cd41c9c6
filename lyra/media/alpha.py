"""Transparent pixels, filled with surrounding colours."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.media.header import strip_lines

# The colours behind are found on a picture of no more than this a side.
SMALL_SIDE = 256


def filled(rgb: np.ndarray, alpha: np.ndarray) -> bool:
    """Lays `rgb` (H, W, 3) uint8, in place, over a soft continuation of its opaque parts; whether there was need.

    `alpha` (H, W) uint8 is straight. Raises InvalidInputError for a picture that is fully transparent.
    """
    if alpha.min() == 255:
        return False
    if alpha.max() == 0:
        raise InvalidInputError("It is fully transparent; save it with its background.")
    height, width = alpha.shape
    behind = Image.fromarray(_behind(rgb, alpha))
    lines = strip_lines(width)
    for top in range(0, height, lines):
        end = min(top + lines, height)
        if alpha[top:end].min() == 255:
            continue
        box = (0, top * behind.height / height, behind.width, end * behind.height / height)
        back = np.asarray(behind.resize((width, end - top), Image.Resampling.BICUBIC, box))
        share = alpha[top:end, :, None].astype(np.float32) / 255
        mixed = rgb[top:end] * share + back * (1 - share)
        rgb[top:end] = np.rint(mixed)
    return True


def _behind(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colours of the opaque parts, continued over all of a small picture, uint8."""
    shrunk = _shrunk(rgb, alpha)
    weight = shrunk[..., 3:] / 255
    known = weight[..., 0] > min(0.5, weight.max() / 2)
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    colour = (shrunk[..., :3] / np.maximum(weight, 1e-3))[tuple(nearest)]
    colour = np.where(known[..., None], colour, ndimage.gaussian_filter(colour, (4, 4, 0)))
    return np.clip(colour, 0, 255).astype(np.uint8)


def _shrunk(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours times alpha, and alpha (h, w, 4) float32, averaged over the pixels that each stands for."""
    height, width = alpha.shape
    scale = min(1, SMALL_SIDE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    out = np.empty((*small, 4), np.float32)
    for line in range(small[0]):
        top, end = line * height // small[0], -(-(line + 1) * height // small[0])
        share = alpha[top:end, :, None].astype(np.float32) / 255
        weighted = np.concatenate([rgb[top:end] * share, share * 255], -1).mean(0)
        for channel in range(4):
            row = Image.fromarray(weighted[None, :, channel])
            out[line, :, channel] = np.asarray(row.resize((small[1], 1), Image.Resampling.BOX))[0]
    return out
