"""One estimate of two networks: scale, lens, sky and normals of MoGe-2, and Depth Anything's edges where better.

An edge is the better one where it divides the picture's colours better: around every pixel both estimates split the
window into a nearer and a farther part, and the share of the colours' variance that this explains (Fisher's ratio, as
Otsu 1979 uses it) is compared. There the metric depth is filtered with the finer one as the guide (He, Sun and Tang
2010, "Guided Image Filtering"): levels stay metric, edges move to where the guide has them. Pixels on ramps of the
metric depth count little in it, as they belong to neither surface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from lyra.depth.base import DepthEstimate
from lyra.depth.checks import sanitise
from lyra.depth.onnx_depth_anything import LABEL, DepthAnythingOnnx, scaled
from lyra.depth.onnx_moge import LABEL as METRIC_LABEL
from lyra.depth.onnx_moge import MoGe

ID = "joined"
# Side of the windows in which edges are compared and surfaces filtered, in shares of the longer side; and the least
# of the former in pixels.
WINDOW, SURFACES, SMALLEST = 11 / 832, 25 / 832, 7
# Steps in log depth from which something is an edge, and from which it is one for certain.
EDGE_STEP, CLEAR_STEP = 0.08, 0.16
# How much more of the colours' variance a better edge explains, and how much more than that until it alone counts.
MARGIN, BETTER = 0.03, 0.06
# A better edge's step in the window has at least this share of the other's; from the second on it counts in full.
SOFTER, STEEP = 0.7, 0.9
# Variance of film grain.
GRAIN = 0.03**2
# An edge of the finer depth that the metric one has less than this share of was lost in it.
LOST = 0.4
# What is lost tells little of the level of what it stands before.
LOST_COUNTS = 0.05
# Steps in log depth that the guided filter levels out, and ramps on which a pixel counts half.
LEVELLED, RAMP = 0.04, 0.04
# Difference in log depth at which the confidence is one half.
DOUBT = 0.2
CONTRADICTED = f"{LABEL} contradicts {METRIC_LABEL} about what is near, so its edges were not used."


@dataclass(frozen=True)
class Join:
    """`log_depth` (H, W) and the share of the finer estimate in it, `finer` (H, W) in [0, 1]."""

    log_depth: np.ndarray
    finer: np.ndarray


class Joined:
    """Metric depth of MoGe-2 with the edges of Depth Anything V2 where they are better."""

    id = ID

    def __init__(
        self, folder: str | Path | None = None, device: str | None = None, notes: tuple[str, ...] = ()
    ):
        """`folder` holds both networks; by default the weights folder. `device` as for `OnnxNetwork`.

        `notes` are added to every estimate. Raises EngineNotReadyError if a network is missing or unusable.
        """
        self._metric = MoGe(folder, device, notes)
        self._finer = DepthAnythingOnnx(folder, device)

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth in metres of `image` (H, W, 3) uint8 sRGB, with normals and confidence; inf for sky."""
        metric = sanitise(self._metric.estimate(image, intrinsics))
        values = self._finer.relative(image)
        notes = dict.fromkeys((*metric.notes, *self._finer.notes))
        solid = ~metric.sky
        fit = scaled(values, solid, metric.depth)
        if not fit.agreed:
            return replace(metric, notes=(*notes, CONTRADICTED))
        finer = -np.log(fit.applied(values.astype(np.float64)))
        base = np.where(solid, np.log(np.where(solid, metric.depth, 1)), finer)
        joined = join(base, finer, image)
        depth = np.where(solid, np.exp(joined.log_depth), np.inf).astype(np.float32)
        confidence = (1 / (1 + ((base - finer) / DOUBT) ** 2)).astype(np.float32)
        share = f"{joined.finer[solid].mean():.0%} of the depth"
        said = f"{share}, along edges, is by {LABEL}; the rest, scale and lens by {METRIC_LABEL}."
        return replace(
            metric,
            depth=depth,
            confidence=confidence,
            source=f"{METRIC_LABEL} and {LABEL} (ONNX), joined",
            notes=(*notes, said),
        )


def join(metric: np.ndarray, finer: np.ndarray, image: np.ndarray) -> Join:
    """Log depth `metric` (H, W) with the edges of log depth `finer` (H, W) where `image` (H, W, 3) has them so."""
    longer = max(metric.shape)
    window = max(SMALLEST, round(WINDOW * longer) | 1)
    surfaces = max(2 * SMALLEST - 1, round(SURFACES * longer) | 1)
    metric, finer = metric.astype(np.float32), finer.astype(np.float32)
    colors = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 255
    (coarse, coarse_step), (fine, fine_step) = (
        _explained(depth, colors, window) for depth in (metric, finer)
    )
    better = np.clip((fine - coarse - MARGIN) / BETTER, 0, 1)
    edge = np.clip((fine_step - EDGE_STEP) / (CLEAR_STEP - EDGE_STEP), 0, 1)
    as_steep = np.clip((fine_step / np.maximum(coarse_step, EDGE_STEP) - SOFTER) / (STEEP - SOFTER), 0, 1)
    share = ndimage.gaussian_filter(better * edge * as_steep, window / 6)
    lost = coarse_step < LOST * fine_step
    return Join(metric + share * (_moved(metric, finer, lost, surfaces, window) - metric), share)


def _explained(depth: np.ndarray, colors: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Share of the colours' variance in the window of each pixel that nearer and farther explain, and the step in log
    depth between them; both (H, W). `colors` (3, H, W) in [0, 1].
    """
    low, high = ndimage.minimum_filter(depth, window), ndimage.maximum_filter(depth, window)
    farther = (depth > (low + high) / 2).astype(np.float32)
    part = _mean(farther, window)
    whole = _mean(colors, window)
    # The sum over the farther part is that of its colours; the nearer part has the rest.
    apart = _mean(colors * farther, window) - part * whole
    inside = np.maximum(part * (1 - part), 1e-3)
    between = (apart**2).sum(0) / inside
    total = _mean((colors**2).sum(0), window) - (whole**2).sum(0)
    return between / (np.maximum(total, 0) + GRAIN), high - low


def _moved(metric: np.ndarray, finer: np.ndarray, lost: np.ndarray, surfaces: int, edges: int) -> np.ndarray:
    """`metric` as linear in `finer` in windows of `surfaces` pixels, all (H, W); what is `lost` in it keeps the step
    that `finer` has. `edges` is the window over which these linear functions are averaged.
    """
    ramp = ndimage.maximum_filter(metric, 3) - ndimage.minimum_filter(metric, 3)
    weight = np.where(lost, LOST_COUNTS, 1) / (1 + (ramp / RAMP) ** 2)
    total = _mean(weight, surfaces)
    mean_metric, mean_finer = (_mean(weight * x, surfaces) / total for x in (metric, finer))
    both = _mean(weight * metric * finer, surfaces) / total - mean_metric * mean_finer
    own = _mean(weight * finer**2, surfaces) / total - mean_finer**2
    gain = np.where(lost, 1.0, np.clip(both, 0, None) / (np.maximum(own, 0) + LEVELLED**2))
    return _mean(gain, edges) * finer + _mean(mean_metric - gain * mean_finer, edges)


def _mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the window of each pixel, of (H, W) or each channel of (C, H, W)."""
    return ndimage.uniform_filter(values, window, mode="nearest", axes=(-2, -1))
