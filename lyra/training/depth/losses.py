"""Losses of the depth network over a batch.

Target is t = log(1/z + EPSILON), z in units of the image's median depth; for sky t = log(EPSILON). Terms: the
difference in t, plain and without the image's median error; the scale-and-shift-invariant difference of inverse
depth and the gradients at several scales of MiDaS (Ranftl et al. 2020, eqs. 5 to 7 and 11); a logistic ranking of
random pairs (after Chen et al. 2016, "Single-Image Depth Perception in the Wild"); cross-entropy for the sky; the
angle between surface normals; the angle between chords of straight structures, so that walls and columns do not lean
(long-range, as in Yin et al. 2019, "Enforcing geometric constraints of virtual normal for depth prediction"); and the
gravity field, which determines the focal length (after Jin et al. 2023, "Perspective Fields for Single Image Camera
Calibration").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from lyra.depth.network import EPSILON, pixel_coordinates

SKY_LOG = math.log(EPSILON)
SCALES = 4
# Reach in pixels of the differences from which normals are computed.
REACHES = (1, 3)
# Reach in pixels of the chords.
CHORDS = (8, 20)
# Angle in radians below which a chord's error is squared.
SOFT = 0.02
# Relative curvature of inverse depth over that reach, above which a pixel is an edge.
BEND = 0.05


@dataclass(frozen=True)
class LossWeights:
    """LossWeights of the terms."""

    direct: float = 0.6
    aligned: float = 1.0
    invariant: float = 0.7
    gradient: float = 0.7
    ranking: float = 0.6
    normal: float = 0.3
    chord: float = 0.3
    sky: float = 0.3
    focal: float = 1.0
    median: float = 0.05
    gravity: float = 0.5


@dataclass(frozen=True)
class Target:
    """Truth of a batch: `log_inverse` (N, H, W) as t above, `sky` (N, H, W) bool, `camera` (N, 2) as the network's,
    `up` (N, 3) the unit vector against gravity in camera axes."""

    log_inverse: torch.Tensor
    sky: torch.Tensor
    camera: torch.Tensor
    up: torch.Tensor


def target_from(depth: torch.Tensor, focal: torch.Tensor, up: torch.Tensor) -> Target:
    """The target for z-depth (N, H, W), inf for sky, `focal` (N,) over the longer side, `up` as above."""
    sky = ~torch.isfinite(depth)
    median = masked_median(depth, ~sky)
    normalised = depth / median[:, None, None]
    inverse = torch.where(sky, 0.0, 1 / normalised.clamp(min=1e-2))
    camera = torch.stack([focal.log(), median.log()], 1)
    return Target(torch.log(inverse + EPSILON), sky, camera, up)


def masked_median(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Median of every fourth of values (N, H, W) where mask holds, (N,); 1 where it holds nowhere."""
    flat = torch.where(mask, values, torch.nan)[:, ::2, ::2].flatten(1)
    return flat.nanmedian(1).values.nan_to_num(1.0)


def terms(
    log_inverse: torch.Tensor,
    sky_logit: torch.Tensor,
    camera: torch.Tensor,
    gravity: torch.Tensor,
    target: Target,
) -> dict[str, torch.Tensor]:
    """Each term, by its name in `LossWeights`, of a prediction as `DepthNet.forward` returns it."""
    error = log_inverse - target.log_inverse
    # In the sky, predictions farther than the target are not an error.
    error = torch.where(target.sky, error.clamp(min=0), error)
    seen = ~target.sky
    offset = masked_median(error.detach(), seen)[:, None, None]
    # Without the sky, which would dominate the difference.
    freed = (error - offset).abs() * seen
    return {
        "direct": error.abs().mean(),
        "aligned": freed.sum() / seen.sum().clamp(min=1),
        "invariant": _invariant(log_inverse, target.log_inverse),
        "gradient": _gradient(error),
        "ranking": _ranking(log_inverse, target.log_inverse),
        "normal": _normal(log_inverse, target),
        "chord": _chord(log_inverse, target),
        "sky": functional.binary_cross_entropy_with_logits(sky_logit, target.sky.float()),
        "focal": (camera[:, 0] - target.camera[:, 0]).abs().mean(),
        "median": (camera[:, 1] - target.camera[:, 1]).abs().mean(),
        "gravity": (gravity - gravity_field(target, *gravity.shape[2:])).abs().mean(),
    }


def total(parts: dict[str, torch.Tensor], weights: LossWeights) -> torch.Tensor:
    """The weighted sum of the terms."""
    return sum(getattr(weights, name) * value for name, value in parts.items())


def _invariant(log_inverse: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean difference of inverse depth, each normalised by its median and mean absolute deviation.

    Nothing is trimmed, since the truth has no outliers.
    """
    return (_standardised(inverse_of(log_inverse)) - _standardised(inverse_of(target))).abs().mean()


def inverse_of(log_inverse: torch.Tensor) -> torch.Tensor:
    """Inverse depth, in units of the median's, from t."""
    return log_inverse.clamp(max=5).exp() - EPSILON


def _standardised(values: torch.Tensor) -> torch.Tensor:
    middle = values.detach()[:, ::2, ::2].flatten(1).median(1).values
    centred = (values - middle[:, None, None]).flatten(1)
    return centred / (centred.abs().mean(1, keepdim=True) + 1e-2)


def _normal(log_inverse: torch.Tensor, target: Target) -> torch.Tensor:
    """Mean of 1 - cos of the angle between predicted and true normals, where the truth is smooth."""
    inverse, truth = inverse_of(log_inverse), inverse_of(target.log_inverse)
    focal = target.camera[:, 0].exp() * max(truth.shape[1:])
    sum_ = inverse.new_zeros(())
    for reach in REACHES:
        solid = ~target.sky[:, reach:-reach:2, reach:-reach:2]
        smooth = torch.stack([_straight(*three) for three in _around(truth, reach)]).all(0) & solid
        cosine = (_normals(inverse, focal, reach) * _normals(truth, focal, reach)).sum(0)
        sum_ = sum_ + ((1 - cosine) * smooth).sum() / smooth.sum().clamp(min=1)
    return sum_ / len(REACHES)


Three = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def _straight(middle: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Where three consecutive inverse depths lie on a straight line."""
    return (before + after - 2 * middle).abs() < BEND * middle


def _chord(log_inverse: torch.Tensor, target: Target) -> torch.Tensor:
    """Mean angle (radians) between predicted and true chords along columns and rows, where the truth is straight."""
    inverse, truth = inverse_of(log_inverse), inverse_of(target.log_inverse)
    focal = target.camera[:, 0].exp() * max(truth.shape[1:])
    sum_ = inverse.new_zeros(())
    reaches = [reach for reach in CHORDS if 2 * reach < min(truth.shape[1:])]
    for reach in reaches:
        height, width = truth.shape[1:]
        rays = _rays(focal, reach, height, width)
        solid = ~target.sky[:, reach:-reach:2, reach:-reach:2]
        for axis, (seen, true) in enumerate(zip(_around(inverse, reach), _around(truth, reach), strict=True)):
            straight = _straight(*true) & solid
            directions = (_along(before, after, rays, axis, reach) for _, before, after in (seen, true))
            apart = torch.sub(*directions).square().sum(0)
            angle = (apart + SOFT**2).sqrt() - SOFT
            sum_ = sum_ + (angle * straight).sum() / straight.sum().clamp(min=1)
    return sum_ / max(1, 2 * len(reaches))


def _around(values: torch.Tensor, reach: int) -> tuple[Three, Three]:
    """For columns, then rows: every second pixel of values (N, H, W), and those `reach` before and after it."""
    height, width = values.shape[1:]
    rows, columns = (range(reach, side - reach, 2) for side in (height, width))

    def at(down: int, across: int) -> torch.Tensor:
        return values[
            :, rows.start + down : rows.stop + down : 2, columns.start + across : columns.stop + across : 2
        ]

    middle = at(0, 0)
    return (middle, at(0, -reach), at(0, reach)), (middle, at(-reach, 0), at(reach, 0))


def _rays(focal: torch.Tensor, reach: int, height: int, width: int) -> torch.Tensor:
    """Rays (3, N, h, w) of every second pixel at least `reach` pixels from the border; `focal` (N,) in pixels."""
    x = torch.arange(reach, width - reach, 2, device=focal.device) + 0.5 - width / 2
    y = (torch.arange(reach, height - reach, 2, device=focal.device) + 0.5 - height / 2)[:, None]
    return torch.stack(torch.broadcast_tensors(x, y, focal[:, None, None]))


def _normals(inverse: torch.Tensor, focal: torch.Tensor, reach: int) -> torch.Tensor:
    """Unit normals (3, N, h, w) in camera axes of every second pixel, `focal` (N,) in pixels.

    On a plane n P = d inverse depth is linear in the pixel: 1/z = (n_x x + n_y y) / (f d) + n_z / d.
    """
    across, down = ((after - before) / (2 * reach) for _, before, after in _around(inverse, reach))
    x, y, scale = _rays(focal, reach, inverse.shape[1], inverse.shape[2])
    middle = inverse[:, reach:-reach:2, reach:-reach:2]
    normal = torch.stack([across * scale, down * scale, middle - x * across - y * down])
    return normal / (normal.square().sum(0) + 1e-8).sqrt()


def _along(
    before: torch.Tensor, after: torch.Tensor, rays: torch.Tensor, axis: int, reach: int
) -> torch.Tensor:
    """Unit vectors (3, N, h, w) between the points `reach` before and after along an axis, from inverse depths.

    For rays r - a, r + a with inverse depths b, c the direction is b (r + a) - c (r - a) = (b - c) r + (b + c) a.
    """
    way = list((before - after) * rays)
    way[axis] = way[axis] + (before + after) * reach
    way = torch.stack(way)
    return way / (way.square().sum(0) + 1e-8).sqrt()


def gravity_field(target: Target, height: int, width: int) -> torch.Tensor:
    """(N, 3, height, width): sine of the ray's elevation, and the unit up direction (x, y) in the image."""
    across, down = (torch.as_tensor(p, dtype=torch.float32) for p in pixel_coordinates(height, width))
    double = 2 * target.camera[:, 0].exp()[:, None, None]
    x, y = across.to(double) / double, down.to(double) / double
    x, y = torch.broadcast_tensors(x, y)
    up = target.up[:, :, None, None]
    sine = (x * up[:, 0] + y * up[:, 1] + up[:, 2]) / (x**2 + y**2 + 1).sqrt()
    way = torch.stack([up[:, 0] - x * up[:, 2], up[:, 1] - y * up[:, 2]], 1)
    way = way / (way.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return torch.cat([sine[:, None], way], 1)


def _gradient(error: torch.Tensor) -> torch.Tensor:
    """Mean absolute gradient of the error at several scales."""
    sum_ = error.new_zeros(())
    for scale in range(SCALES):
        coarse = error[:, :: 2**scale, :: 2**scale]
        across = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs().mean()
        sum_ = sum_ + across + (coarse[:, 1:] - coarse[:, :-1]).abs().mean()
    return sum_ / SCALES


def _ranking(log_inverse: torch.Tensor, target: torch.Tensor, pairs: int = 1024) -> torch.Tensor:
    """Logistic ranking loss of random pairs whose depths differ by more than a tenth."""
    count = target.flatten(1).shape[1]
    first, second = torch.randint(0, count, (2, pairs), device=target.device)
    steps = (values.flatten(1)[:, first] - values.flatten(1)[:, second] for values in (log_inverse, target))
    step, true_step = steps
    ordered = true_step.abs() > 0.1
    loss = functional.softplus(-3 * step * true_step.sign())
    return (loss * ordered).sum() / ordered.sum().clamp(min=1)
