"""Data augmentation on the training device: colour, grain and foreign surface detail."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

# Share of the images that get the fine detail of another one.
FOREIGN_DETAIL = 0.3


def recoloured(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Images (N, H, W, 3) uint8 as float32 in 0 ... 255 with random contrast, tint, saturation and grain.

    The grain is drawn from torch's global generator, everything else from `rng`.
    """
    count = len(images)

    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(images.device)

    def per_picture(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return on_device(rng.uniform(low, high, (count, 1, 1, channels)))

    colors = _with_foreign_detail((images.float() + 0.5) / 256, rng)
    colors = colors.pow_(per_picture(-0.5, 0.5).exp_())
    grey = colors.mean(-1, keepdim=True)
    greyed = on_device(rng.random((count, 1, 1, 1)) < 0.08)
    colors = grey + (colors - grey) * per_picture(0.4, 1.4) * (1 - greyed)
    middle = colors.mean((1, 2, 3), keepdim=True)
    colors = middle + (colors - middle) * per_picture(0.7, 1.25)
    colors *= per_picture(0.8, 1.15) * per_picture(0.9, 1.1, 3)
    colors += per_picture(-0.03, 0.02).clamp_(min=0) * torch.randn_like(colors)
    return colors.clamp_(0, 1).mul_(255)


def _with_foreign_detail(colors: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Colours (N, H, W, 3), some of them overlaid with the fine detail of another image, upside down.

    Ivy, carvings and brush strokes cover surfaces of every shape; their edges are not depth edges.
    """
    chosen = np.flatnonzero(rng.random(len(colors)) < FOREIGN_DETAIL)
    apart = rng.integers(1, max(len(colors), 2), len(chosen))
    strength = rng.uniform(0.2, 0.9, (len(chosen), 1, 1, 1)).astype(np.float32)
    reach = int(rng.integers(1, 5))
    if not len(chosen):
        return colors
    places = torch.from_numpy(chosen).to(colors.device)
    others = colors[torch.from_numpy((chosen + apart) % len(colors)).to(colors.device)].flip(1)
    blurred = functional.avg_pool2d(
        others.permute(0, 3, 1, 2), 2 * reach + 1, 1, reach, count_include_pad=False
    )
    detail = others - blurred.permute(0, 2, 3, 1)
    colors[places] += torch.from_numpy(strength).to(colors.device) * detail
    return colors.clamp_(0, 1)
