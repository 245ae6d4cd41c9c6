"""What the depth network is asked for, as losses over a batch.

Target is t = log(1/z + EPSILON), z in units of the picture's median depth; the sky is t = log(EPSILON). Terms: the
difference in t as it is and freed of the picture's median error; the scale-and-shift-invariant difference of inverse
depth and the gradients at several scales of MiDaS (Ranftl et al. 2020, eqs. 5 to 7 and 11); a logistic ranking of
random pairs (after Chen et al. 2016, "Single-Image Depth Perception in the Wild"); cross-entropy for the sky.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from lyra.depth.network import EPSILON

SKY_LOG = math.log(EPSILON)
SCALES = 4


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    direct: float = 0.6
    aligned: float = 1.0
    invariant: float = 0.7
    gradient: float = 0.5
    ranking: float = 0.6
    sky: float = 0.3
    focal: float = 0.5
    median: float = 0.05


@dataclass(frozen=True)
class Target:
    """Truth of a batch: `log_inverse` (N, H, W) as t above, `sky` (N, H, W) bool, `camera` (N, 2) as the network's."""

    log_inverse: torch.Tensor
    sky: torch.Tensor
    camera: torch.Tensor


def target_from(depth: torch.Tensor, focal: torch.Tensor) -> Target:
    """The target for z-depth (N, H, W), inf where the sky is, and `focal` (N,) over the longer side."""
    sky = ~torch.isfinite(depth)
    median = masked_median(depth, ~sky)
    normalised = depth / median[:, None, None]
    inverse = torch.where(sky, 0.0, 1 / normalised.clamp(min=1e-2))
    camera = torch.stack([focal.log(), median.log()], 1)
    return Target(torch.log(inverse + EPSILON), sky, camera)


def masked_median(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Median of values (N, H, W) where mask holds, (N,); 1 where it holds nowhere."""
    flat = torch.where(mask, values, torch.nan).flatten(1)
    return flat.nanmedian(1).values.nan_to_num(1.0)


def terms(
    log_inverse: torch.Tensor, sky_logit: torch.Tensor, camera: torch.Tensor, target: Target
) -> dict[str, torch.Tensor]:
    """Each term, by its name in `Weights`, of a prediction as `DepthNet.forward` returns it."""
    error = log_inverse - target.log_inverse
    # Beyond the sky there is nothing: being farther than it is no error.
    error = torch.where(target.sky, error.clamp(min=0), error)
    seen = ~target.sky
    offset = masked_median(error.detach(), seen)[:, None, None]
    # Without the sky, which would pull all of the picture down with it.
    freed = (error - offset).abs() * seen
    return {
        "direct": error.abs().mean(),
        "aligned": freed.sum() / seen.sum().clamp(min=1),
        "invariant": _invariant(log_inverse, target.log_inverse),
        "gradient": _gradient(error),
        "ranking": _ranking(log_inverse, target.log_inverse),
        "sky": functional.binary_cross_entropy_with_logits(sky_logit, target.sky.float()),
        "focal": (camera[:, 0] - target.camera[:, 0]).abs().mean(),
        "median": (camera[:, 1] - target.camera[:, 1]).abs().mean(),
    }


def total(parts: dict[str, torch.Tensor], weights: Weights) -> torch.Tensor:
    """The weighted sum of the terms."""
    return sum(getattr(weights, name) * value for name, value in parts.items())


def _invariant(log_inverse: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean difference of inverse depth, each freed of its median and mean deviation, the worst fifth left out."""
    predicted = _standardised((log_inverse.clamp(max=5).exp() - EPSILON).flatten(1))
    truth = _standardised((target.exp() - EPSILON).flatten(1))
    difference = (predicted - truth).abs().sort(1).values
    return difference[:, : int(0.8 * difference.shape[1])].mean()


def _standardised(values: torch.Tensor) -> torch.Tensor:
    centred = values - values.median(1, keepdim=True).values
    return centred / (centred.abs().mean(1, keepdim=True) + 1e-2)


def _gradient(error: torch.Tensor) -> torch.Tensor:
    """Mean absolute gradient of the error, at full size and at its halves."""
    sum_ = error.new_zeros(())
    for scale in range(SCALES):
        coarse = error[:, :: 2**scale, :: 2**scale]
        across = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs().mean()
        sum_ = sum_ + across + (coarse[:, 1:] - coarse[:, :-1]).abs().mean()
    return sum_ / SCALES


def _ranking(log_inverse: torch.Tensor, target: torch.Tensor, pairs: int = 1024) -> torch.Tensor:
    """Logistic loss of the order of random pairs whose depths differ by more than a tenth."""
    count = target.flatten(1).shape[1]
    first, second = torch.randint(0, count, (2, pairs), device=target.device)
    steps = (values.flatten(1)[:, first] - values.flatten(1)[:, second] for values in (log_inverse, target))
    step, true_step = steps
    ordered = true_step.abs() > 0.1
    loss = functional.softplus(-3 * step * true_step.sign())
    return (loss * ordered).sum() / ordered.sum().clamp(min=1)
