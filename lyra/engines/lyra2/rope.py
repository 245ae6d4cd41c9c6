"""Rotary position embedding by slot: a token has the mean position of the latents it covers."""

from __future__ import annotations

import torch
from torch import Tensor

from lyra.engines.lyra2.framepack import FramePackLayout

THETA = 10000.0


def axis_frequencies(head_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Angular frequencies of time, row and column, float64; together `head_dim` / 2 of them (44/42/42 of 128).

    The split is Wan 2.1's: rows and columns get a third each, rounded down to pairs, time the rest.
    """
    spatial = 2 * (head_dim // 6)
    sizes = (head_dim - 2 * spatial, spatial, spatial)
    return tuple(THETA ** -(torch.arange(0, size, 2, dtype=torch.float64) / size) for size in sizes)


def pooled_positions(count: int, pool: int, start: int = 0) -> Tensor:
    """Mean position of every `pool` of the positions start ... start + count - 1, the last one repeated as needed.

    Float64 of size ceil(count / pool).
    """
    padded = torch.arange(-(-count // pool) * pool, dtype=torch.float64).clamp(max=count - 1)
    return start + padded.view(-1, pool).mean(1)


def rotary_angles(layout: FramePackLayout, rows: int, columns: int, head_dim: int) -> Tensor:
    """Angles (tokens, head_dim / 2) float32 of all tokens in the network's order, for a base grid rows x columns.

    Time is the slot index, not the frame. The published code averages the angles of what a compressed token
    covers; they are linear in the position, so that is the angle of the mean position.
    """
    frequencies = axis_frequencies(head_dim)
    angles = []
    for group in (*layout.groups, layout.generated_group):
        starts, counts = (group.start, 0, 0), (group.count, rows, columns)
        positions = [
            pooled_positions(count, pool, start)
            for start, count, pool in zip(starts, counts, group.pooling, strict=True)
        ]
        grid = torch.cartesian_prod(*positions)
        angles.append(torch.cat([grid[:, i, None] * frequencies[i] for i in range(3)], dim=1))
    return torch.cat(angles).float()


def rotary_tables(angles: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (tokens, 1, head_dim) float32 for `rotate`, from angles (tokens, head_dim / 2)."""
    cosine = angles.cos().repeat_interleave(2, dim=-1)
    sine = torch.stack((-angles.sin(), angles.sin()), dim=-1).flatten(-2)
    return cosine[:, None], sine[:, None]


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turns the pairs (2j, 2j + 1) of x (batch, tokens, heads, head_dim) in float32; keeps the type of x."""
    # x has the network's largest size: few passes over it, and no float32 copy of it besides the result.
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * cosine, swapped, sine).to(x.dtype)
