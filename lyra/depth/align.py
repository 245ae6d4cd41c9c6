"""Depth alignment: the depth of new frames is fitted to the memory, so that a world keeps one scale.

Estimators choose a scale of their own for every frame. Points of remembered frames are projected into the new camera
and compared with the new depth. A robust scale (and shift) of inverse depth, followed by a smooth field of small
corrections, aligns the two. None of this needs camera motion, so it also works for pure rotations, where the
published fit of camera centres is undefined.

With too little overlap, the fallbacks are, in this order: a scale alone; the previous frame's fit; the estimator's own
scaling by the cameras; the depth as it is. `FrameFit.method` records which was used.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.depth.fit import (
    FieldSettings,
    InverseFit,
    SmoothField,
    disagreement,
    fit_field,
    fit_scale,
    fit_scale_and_shift,
    weighted_median,
)
from lyra.depth.overlap import BlockDepth, KnownPoints, Overlap, find_overlap, known_points
from lyra.geometry.arrays import check_shape, to_numpy
from lyra.memory import CoverageSettings, GeometryCache, GreedyCoverage

# How a frame's depth was brought to the memory's scale.
SCALE_AND_SHIFT, SCALE, PREVIOUS, CAMERAS, UNCHANGED = (
    "scale and shift",
    "scale",
    "previous frame",
    "cameras",
    "unchanged",
)


@dataclass(frozen=True)
class AlignmentSettings:
    """`references`: remembered frames to compare with; `recent`: newly aligned ones, with their weight `trust`.

    A frame with consistent pairs in at least the share `full_overlap` of its blocks (and in `full_cells` blocks) gets
    a shift and a local correction; with `least_overlap` (and `least_cells`) a scale alone. Pairs are consistent if
    they differ by less than `agreement`. A shift must reduce the disagreement (see fit.py) below `shift_gain` times
    its value without one, and by at least `shift_least`. Pixel noise above `speckle` is filtered out.
    """

    references: int = 6
    recent: int = 3
    trust: float = 0.15
    full_overlap: float = 0.06
    full_cells: int = 80
    least_overlap: float = 0.01
    least_cells: int = 24
    agreement: float = 0.2
    shift_gain: float = 0.8
    shift_least: float = 1e-3
    speckle: float = 0.01
    local: FieldSettings | None = field(default_factory=FieldSettings)


@dataclass(frozen=True)
class FrameFit:
    """How one frame was aligned: `method` (one of this module's names), the global `fit` in inverse depth.

    `overlap` is the share of the frame's blocks that agree with the memory, `residual` the median difference of log
    depth after all corrections; 0 and NaN where nothing was compared.
    """

    method: str
    fit: InverseFit
    overlap: float
    residual: float


@dataclass(frozen=True)
class Alignment:
    """Aligned z-depth (N, H, W) float32, inf for sky, and how each frame was aligned."""

    depth: np.ndarray
    frames: tuple[FrameFit, ...]

    def notes(self) -> tuple[str, ...]:
        """Remarks for the user: frames that could not be compared with the memory."""
        said = {
            PREVIOUS: "took the depth scale of the frame before them",
            CAMERAS: "have the depth scale of their cameras' motion",
            UNCHANGED: "kept the estimator's own depth scale",
        }
        counts = Counter(frame.method for frame in self.frames)
        return tuple(
            f"{counts[method]} of {len(self.frames)} frames {what}: they overlap too little with remembered frames."
            for method, what in said.items()
            if counts[method]
        )


@dataclass(frozen=True)
class DepthAligner:
    """Aligns the depth of new frames to a memory. Stateless."""

    settings: AlignmentSettings = AlignmentSettings()

    def align(
        self,
        cache: GeometryCache,
        depth: np.ndarray,
        w2c: np.ndarray,
        intrinsics: np.ndarray,
        confidence: np.ndarray | None = None,
        *,
        scaled_by_cameras: bool = False,
        previous: InverseFit | None = None,
    ) -> Alignment:
        """Aligns `depth` (N, H, W), z-depth of N new frames in temporal order, to the frames in `cache`.

        `w2c` (N, 4, 4) in the world frame, `intrinsics` (N, 3, 3), `confidence` (N, H, W) in [0, 1]. Each frame is also
        compared with those aligned before it. `scaled_by_cameras` says that the depth is already in the units of the
        cameras, `previous` is the fit of the frame before the first; both are used only where the overlap is too
        small. Raises InvalidInputError for inconsistent shapes or depth that is not positive.
        """
        count, height, width = _checked_frames(cache, depth, w2c, intrinsics, confidence)
        offset = cache.settings.pixel_offset
        memory = self._references(cache, w2c, intrinsics)
        recent: list[KnownPoints] = []
        aligned, fits = np.empty((count, height, width), np.float32), []
        for n in range(count):
            trusted = None if confidence is None else confidence[n]
            calm = without_speckle(depth[n], self.settings.speckle)
            blocks = BlockDepth.of(calm, trusted)
            overlap = find_overlap(
                [*memory, *recent[-self.settings.recent :]], blocks, w2c[n], intrinsics[n], offset
            )
            fit, local = self._fitted(overlap, (height, width))
            if fit is None:
                fit = _fallback(previous, scaled_by_cameras, blocks)
            aligned[n] = _applied(calm, fit.fit, local)
            if fit.method in (SCALE, SCALE_AND_SHIFT):
                previous = fit.fit
                recent.append(
                    known_points(
                        BlockDepth.of(aligned[n], trusted),
                        w2c[n],
                        intrinsics[n],
                        offset,
                        self.settings.trust,
                    )
                )
            fits.append(fit)
        return Alignment(aligned, tuple(fits))

    def _references(self, cache: GeometryCache, w2c: np.ndarray, intrinsics: np.ndarray) -> list[KnownPoints]:
        """Points of the remembered frames that together cover most of the new views."""
        some = np.unique([0, len(w2c) // 2, len(w2c) - 1])
        strategy = GreedyCoverage(CoverageSettings(relative_tolerance=0.05, exclude_newest=False))
        chosen = cache.retrieve(w2c[some], intrinsics[some], self.settings.references, strategy)
        points = []
        for frame_id in chosen:
            entry = cache[frame_id]
            blocks = BlockDepth.of(to_numpy(entry.depth))
            points.append(known_points(blocks, entry.w2c, entry.intrinsics, cache.settings.pixel_offset))
        return points

    def _fitted(self, overlap: Overlap, size: tuple[int, int]) -> tuple[FrameFit | None, SmoothField | None]:
        """The fit to the memory and its local correction; None if too few pairs agree."""
        settings = self.settings
        if len(overlap.known) < settings.least_cells:
            return None, None
        seen, known, weight, vote = overlap.seen, overlap.known, overlap.weight, overlap.vote
        fit, method = fit_scale(seen, known, weight, vote), SCALE
        share, cells = self._agreeing(overlap, fit)
        shifted = fit_scale_and_shift(seen, known, weight, vote)
        if shifted is not None and self._shift_pays(overlap, fit, shifted):
            fit, method = shifted, SCALE_AND_SHIFT
            share, cells = self._agreeing(overlap, fit)
        if share < settings.least_overlap or cells < settings.least_cells:
            return None, None
        full = share >= settings.full_overlap and cells >= settings.full_cells
        if not full and method == SCALE_AND_SHIFT:
            fit, method = fit_scale(seen, known, weight, vote), SCALE
            share, cells = self._agreeing(overlap, fit)
            if share < settings.least_overlap or cells < settings.least_cells:
                return None, None
        residual = np.log(known / fit.applied(seen))
        local = None
        if full and settings.local is not None:
            local = fit_field(overlap.pixels, residual, weight, size, settings.local)
            residual = residual - local.at(overlap.pixels, size)
        return FrameFit(method, fit, share, weighted_median(np.abs(residual), weight)), local

    def _shift_pays(self, overlap: Overlap, plain: InverseFit, shifted: InverseFit) -> bool:
        left = [
            disagreement(np.log(overlap.known / fit.applied(overlap.seen)), overlap.vote)
            for fit in (plain, shifted)
        ]
        return bool(left[1] < self.settings.shift_gain * left[0] - self.settings.shift_least)

    def _agreeing(self, overlap: Overlap, fit: InverseFit) -> tuple[float, int]:
        """Share and number of the frame's blocks with a pair consistent with a fit."""
        residual = np.abs(np.log(overlap.known / fit.applied(overlap.seen)))
        cells = overlap.cells_where(residual < self.settings.agreement)
        return cells / max(overlap.cells, 1), cells


def _checked_frames(cache, depth, w2c, intrinsics, confidence) -> tuple[int, int, int]:
    """(N, H, W) of frames whose shapes match the memory. Raises InvalidInputError otherwise."""
    check_shape("depth", depth, None, cache.height, cache.width)
    count = len(depth)
    check_shape("w2c", w2c, count, 4, 4)
    check_shape("intrinsics", intrinsics, count, 3, 3)
    if confidence is not None:
        check_shape("confidence", confidence, count, cache.height, cache.width)
    if not (depth > 0).all():
        raise InvalidInputError(
            f"{int((~(depth > 0)).sum())} depths are 0, negative or not a number; "
            "pass the estimate through lyra.depth.sanitise first."
        )
    return depth.shape


def without_speckle(depth: np.ndarray, threshold: float) -> np.ndarray:
    """`depth` (H, W) median-filtered if its pixel noise is above `threshold` (relative).

    The 5 x 5 median preserves edges; sky stays sky. Learned depth has no such noise and is returned unchanged.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        inverse = 1 / np.asarray(depth, np.float64)
        bend = np.abs(inverse[:, :-2] - 2 * inverse[:, 1:-1] + inverse[:, 2:]) / inverse[:, 1:-1]
    bend = bend[np.isfinite(bend)]
    if bend.size == 0 or np.median(bend) / 0.6745 / np.sqrt(6) < threshold:
        return depth
    calm = ndimage.median_filter(inverse, 5, mode="nearest")
    # Next to sky the median may be sky.
    with np.errstate(divide="ignore"):
        return 1 / np.where((calm > 0) & (inverse > 0), calm, inverse)


def _fallback(previous: InverseFit | None, scaled_by_cameras: bool, blocks: BlockDepth) -> FrameFit:
    if previous is not None and blocks.filled:
        # A shift is not carried over to surfaces that were not compared.
        middle = float(np.median(blocks.inverse[blocks.inverse > 0]))
        return FrameFit(PREVIOUS, previous.scale_at(middle), 0.0, np.nan)
    return FrameFit(CAMERAS if scaled_by_cameras else UNCHANGED, InverseFit(), 0.0, np.nan)


def _applied(depth: np.ndarray, fit: InverseFit, local: SmoothField | None) -> np.ndarray:
    """Aligned z-depth (H, W); sky stays sky."""
    inverse = fit.applied(1 / np.asarray(depth, np.float64))
    if local is not None:
        inverse = inverse * np.exp(local.over(*depth.shape))
    with np.errstate(divide="ignore"):
        return np.where(np.isinf(depth), np.inf, 1 / inverse)
