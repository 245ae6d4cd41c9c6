"""Protocol of depth alignment: scale drift and jumps of aligned depth, as printed by `lyra eval depth`.

Camera flights of several chunks through scenes with true depth. The depth of every frame is perturbed by a random
scale and noise, then aligned to the memory chunk by chunk as in the engines: frame 0 is remembered as it is, every
eighth frame is aligned and remembered. Two flights have five chunks, one of which is a pure rotation; the third circles
twice in twelve chunks.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lyra.common.progress import SILENT, Progress
from lyra.depth.align import DepthAligner
from lyra.evaluation.scenes import PaintedScene, hall, path, street
from lyra.geometry.cameras import Trajectory
from lyra.memory import GeometryCache

SIZE = (120, 208)
# Every eighth of a chunk's 80 frames gets depth.
PER_CHUNK = 10
# Motions (x, y, z, yaw, pitch) at the ends of chunks: forward, rotation in place, sideways and up, back, onward.
STOPS = {
    "street": (
        (0, 0, 0, 0, 0),
        (0.5, 0, 7, 4, 0),
        (0.5, 0, 7, -38, 3),
        (-1, -1, 9, -15, 6),
        (0, -1, 12, 6, 4),
        (1, -1, 20, 2, 2),
    ),
    "hall": (
        (0, 0, 0, 0, 0),
        (0.8, 0, 4, -5, 0),
        (0.8, 0, 4, 35, 2),
        (-0.5, -0.6, 5, 12, 4),
        (-1, -0.5, 8, 0, 3),
        (0, -0.3, 12, -6, 1),
    ),
}
ROUND_CHUNKS = 12


@dataclass(frozen=True)
class AlignmentFlight:
    """A camera flight through a scene: the `cameras` of frames 0, 8, 16, ... of whole chunks."""

    name: str
    scene: PaintedScene
    cameras: Trajectory


def flights(size: tuple[int, int] = SIZE) -> list[AlignmentFlight]:
    """The flights at frames of `size` (height, width)."""
    scenes = (hall(size), street(size))
    ways = [
        AlignmentFlight(scene.name, scene, _along(scene, _between_stops(STOPS[scene.name])))
        for scene in scenes
    ]
    return [*ways, AlignmentFlight("round", scenes[0], _along(scenes[0], _twice_round()))]


def _along(scene: PaintedScene, motions: np.ndarray) -> Trajectory:
    return path(list(motions), scene.intrinsics, scene.size)


def _between_stops(stops: Sequence[Sequence[float]]) -> np.ndarray:
    """Motions of PER_CHUNK frames from stop to stop, eased in and out."""
    share = (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, PER_CHUNK + 1)))[1:, None]
    ends = itertools.pairwise(np.array(stops, np.float64))
    return np.concatenate([np.zeros((1, 5)), *(a + share * (b - a) for a, b in ends)])


def _twice_round() -> np.ndarray:
    """Motions through the hall and back with two full turns."""
    turn = np.linspace(0, 4 * np.pi, ROUND_CHUNKS * PER_CHUNK + 1)
    along = 6 - 6 * np.cos(turn / 2)
    return np.stack(
        [1.5 * np.sin(turn), -0.5 * np.sin(turn / 2), along, np.degrees(turn), 5 * np.sin(turn)], 1
    )


@dataclass(frozen=True)
class Disturbance:
    """A perturbation of the true depth of a frame.

    Depth is multiplied by a log-uniform scale between `scales` and by 1 + `noise` times normal noise: per pixel, or
    with `patch` (a share of the height) smooth at that size. A uniform shift from -`shift` to `shift`, in units of the
    median, is added to inverse depth. Limits apply to `asked` perturbations; the others show the aligner's range.
    """

    name: str
    scales: tuple[float, float] = (0.7, 1.4)
    noise: float = 0.05
    patch: float = 0.0
    shift: float = 0.0
    asked: bool = True

    def applied(self, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A perturbed copy of z-depth (H, W); sky stays sky."""
        grain = rng.standard_normal(depth.shape)
        if self.patch:
            grain = ndimage.gaussian_filter(grain, self.patch * depth.shape[0] / 2, mode="reflect")
            grain /= grain.std()
        scale = np.exp(rng.uniform(*np.log(self.scales)))
        disturbed = depth * scale * np.maximum(1 + self.noise * grain, 0.5)
        with np.errstate(divide="ignore"):
            inverse = 1 / disturbed
        shift = rng.uniform(-self.shift, self.shift) * np.median(inverse[inverse > 0])
        return np.where(np.isinf(depth), np.inf, 1 / np.maximum(inverse + shift, 0.2 * inverse + 1e-9))


DISTURBANCES = (
    Disturbance("scale"),
    Disturbance("scale, smooth noise", patch=0.25),
    Disturbance("scale, shift", shift=0.15),
    Disturbance("poor estimate", noise=0.3, patch=0.5, asked=False),
)


@dataclass(frozen=True)
class AlignmentRow:
    """Metrics of one flight; errors are relative to true depth.

    `before`, `median`: median error over all pixels of all frames, before and after alignment; `worst`: the largest
    median of a frame; `border`: the largest jump of scale at a chunk border, `inside`: between other neighbouring
    frames; `drift`: the scale error of the last chunk; `seconds`: for ten frames; `asked`: whether limits apply.
    """

    flight: str
    disturbance: str
    before: float
    median: float
    worst: float
    border: float
    inside: float
    drift: float
    seconds: float
    asked: bool = True


@dataclass(frozen=True)
class AlignmentLimits:
    """Upper limits of the median error and of the jump at a chunk border."""

    median: float = 0.03
    border: float = 0.01


def evaluate_flight(
    flight: AlignmentFlight,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
    seed: int = 0,
    aligner: DepthAligner | None = None,
    progress: Progress = SILENT,
) -> list[AlignmentRow]:
    """Perturbs and aligns the depth of every frame of a flight and compares it with the truth."""
    aligner, cameras = aligner or DepthAligner(), flight.cameras
    truth = []
    for n, w2c in enumerate(cameras.w2c):
        progress.update("depth", 0.5 * n / len(cameras.w2c))
        truth.append(flight.scene.view(w2c)[1])
    rows = []
    for n, disturbance in enumerate(disturbances):
        progress.update("alignment", 0.5 + 0.5 * n / len(disturbances))
        rng = np.random.default_rng(seed)
        given = np.stack([truth[0], *(disturbance.applied(depth, rng) for depth in truth[1:])])
        aligned, seconds = _aligned(aligner, cameras, given)
        rows.append(_figures(flight.name, disturbance, np.stack(truth), given, aligned, seconds))
    return rows


def _aligned(aligner: DepthAligner, cameras: Trajectory, given: np.ndarray) -> tuple[np.ndarray, float]:
    """Depth (F, H, W) as remembered, frame 0 as given; and the seconds for ten frames."""
    cache = GeometryCache(cameras.height, cameras.width)
    cache.add(0, given[0].astype(np.float32), cameras.w2c[0], cameras.intrinsics[0])
    aligned, seconds = [given[:1]], 0.0
    for first in range(1, len(given), PER_CHUNK):
        new = slice(first, first + PER_CHUNK)
        started = time.perf_counter()
        result = aligner.align(cache, given[new], cameras.w2c[new], cameras.intrinsics[new])
        seconds += time.perf_counter() - started
        for n, depth in enumerate(result.depth, first):
            cache.add(8 * n, depth, cameras.w2c[n], cameras.intrinsics[n])
        aligned.append(result.depth)
    return np.concatenate(aligned), 10 * seconds / (len(given) - 1)


def _figures(name, disturbance, truth, given, aligned, seconds) -> AlignmentRow:
    surface = np.isfinite(truth)
    surface[0] = False
    with np.errstate(invalid="ignore"):
        errors, before = np.abs(aligned / truth - 1), np.abs(given / truth - 1)
        scales = np.array(
            [np.median(np.log(a / t)[np.isfinite(t)]) for a, t in zip(aligned, truth, strict=True)]
        )
    jumps = np.abs(np.diff(scales))
    border = np.zeros(len(jumps), bool)
    border[::PER_CHUNK] = True
    return AlignmentRow(
        name,
        disturbance.name,
        float(np.median(before[surface])),
        float(np.median(errors[surface])),
        float(max(np.median(e[s]) for e, s in zip(errors[1:], surface[1:], strict=True))),
        float(jumps[border].max()),
        float(jumps[~border].max()),
        float(abs(np.median(scales[-PER_CHUNK:]))),
        seconds,
        disturbance.asked,
    )


def evaluate_alignment(
    size: tuple[int, int] = SIZE,
    disturbances: Sequence[Disturbance] = DISTURBANCES,
    seed: int = 0,
    progress: Progress = SILENT,
) -> list[AlignmentRow]:
    """The metrics of every flight under every perturbation, with frames of `size` (height, width)."""
    ways = flights(size)
    rows: list[AlignmentRow] = []
    for n, flight in enumerate(ways):
        share = progress.part(n / len(ways), (n + 1) / len(ways))
        rows += evaluate_flight(flight, disturbances, seed, progress=share)
    return rows


def missed_alignment(rows: Sequence[AlignmentRow], limits: AlignmentLimits | None = None) -> list[str]:
    """A sentence for every metric above its limit; empty if all pass."""
    limits = limits or AlignmentLimits()
    found = [
        (row, label, value, limit)
        for row in rows
        if row.asked
        for label, value, limit in (
            ("median error", row.median, limits.median),
            ("step at a chunk border", row.border, limits.border),
        )
    ]
    return [
        f"{label} of aligned depth, {row.flight} disturbed by {row.disturbance}: {value:.2%}, "
        f"at most {limit:.2%} is allowed"
        for row, label, value, limit in found
        # NaN fails.
        if not value <= limit
    ]


def alignment_table(rows: Sequence[AlignmentRow], limits: AlignmentLimits | None = None) -> str:
    """The metrics as lines of text, with limits; perturbations without limits are in brackets."""
    limits = limits or AlignmentLimits()
    head = (
        f"{'flight':<9}{'disturbed by':<22}{'before':>8}{'median':>8}{'worst':>8}"
        f"{'border':>8}{'inside':>8}{'drift':>8}{'s / 10':>8}"
    )
    goal = f"{'goal':<31}{'':>8}{f'<= {limits.median:.0%}':>8}{'':>8}{f'<= {limits.border:.0%}':>8}"
    lines = [
        f"{row.flight:<9}{row.disturbance if row.asked else f'({row.disturbance})':<22}"
        f"{row.before:>8.2%}{row.median:>8.2%}{row.worst:>8.2%}"
        f"{row.border:>8.2%}{row.inside:>8.2%}{row.drift:>8.2%}{row.seconds:>8.2f}"
        for row in rows
    ]
    return "\n".join([head, *lines, goal])
