"""Patch embedding of the network inputs: latents, cameras, correspondences.

Tokens stand in the order of the slot groups, within a group by time, row, column. Where a size is not a multiple of
a patch, the last slot, row or column is repeated.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from lyra.engines.lyra2.framepack import FramePackLayout, SlotGroup

BASE_PATCH = 2
# Tokens whose sines and cosines exist at one time: 1024 x 20480 float32 are 84 MB.
TOKENS_PER_PIECE = 1024


def pad_to_multiple(x: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Repeats the last slot, row and column of x (..., T, h, w) until each is a multiple of `patch`."""
    for dim, size in zip((-3, -2, -1), patch, strict=True):
        missing = -x.shape[dim] % size
        if missing:
            last = x.narrow(dim, x.shape[dim] - 1, 1)
            x = torch.cat([x, *[last] * missing], dim)
    return x


def patchify(x: Tensor, patch: tuple[int, int, int]) -> Tensor:
    """Patches of x (B, C, T, h, w) as tokens (B, N, C * pt * ph * pw), a token in the order channel, t, row, column."""
    pt, ph, pw = patch
    x = pad_to_multiple(x, patch).unflatten(4, (-1, pw)).unflatten(3, (-1, ph)).unflatten(2, (-1, pt))
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def unpatchify(tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Output tokens (B, T * rows * columns, 4 * C), channel last, as latents (B, C, T, 2 * rows, 2 * columns)."""
    x = tokens.unflatten(1, grid).unflatten(4, (BASE_PATCH, BASE_PATCH, -1))
    return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5).flatten(3, 4)


def pool(x: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    """Means of x (B, C, T, h, w) over `kernel`, taken in float32; keeps the type of x."""
    if kernel == (1, 1, 1):
        return x
    return functional.avg_pool3d(pad_to_multiple(x, kernel).float(), kernel).to(x.dtype)


def group_patch(group: SlotGroup) -> tuple[int, int, int]:
    """Latents in time, rows and columns under one content token of a group."""
    time, rows, columns = group.pooling
    return time, BASE_PATCH * rows, BASE_PATCH * columns


def camera_tokens(rays: Tensor, layout: FramePackLayout) -> Tensor:
    """Rays (B, 384, slots, h, w) as one camera token (B, N, 1536) for every token of the network."""
    time, height, width = rays.shape[2:]
    grid = (time, height // BASE_PATCH, width // BASE_PATCH)
    base = patchify(rays, (1, BASE_PATCH, BASE_PATCH)).unflatten(1, grid).movedim(-1, 1)
    groups = (*layout.groups, layout.generated_group)
    pooled = [pool(base[:, :, group.start : group.slots.stop], group.pooling) for group in groups]
    return torch.cat([x.flatten(2).transpose(1, 2) for x in pooled], dim=1)


def correspondence_tokens(correspondence: Tensor, group: SlotGroup) -> Tensor:
    """Correspondences (B, 1280, slots, h, w) of an "s" group or the generated slots as tokens (B, N, 5120)."""
    frames = correspondence[:, :, group.start : group.slots.stop]
    return patchify(pool(frames, (1, group.size, group.size)), (1, BASE_PATCH, BASE_PATCH))


def waves(x: Tensor, octaves: int) -> Tensor:
    """Sines and cosines of pi x, 2 pi x, ...: (..., C) -> (..., 2 * octaves * C), in float32, then the type of x."""
    angles = [x.float() * (math.pi * 2**octave) for octave in range(octaves)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=-1).to(x.dtype)
