"""Reconstruction of a Gaussian cloud from frames with known cameras and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.geometry.gaussians import GaussianCloud
from lyra.geometry.planes import fit_planes
from lyra.geometry.views import View, evenly_spaced
from lyra.splats.rasterize import Rendering, SplatRasterizer
from lyra.splats.refine import refine_colors
from lyra.splats.seeding import SkyShell, joined, seed_gaussians


@dataclass(frozen=True)
class SplatSettings:
    """Settings of the reconstruction.

    Every `keyframe_step`-th frame adds Gaussians, at most `max_keyframes` in all. A pixel counts as explained if the
    cloud covers at least `min_alpha` of it, no farther than `depth_tolerance` (a share of the depth) behind the
    view's own depth, in a colour that differs by at most `color_tolerance` (of 1, averaged over 5x5 pixels).
    `max_splats` bounds the cloud; the first keyframe, every pixel of which adds a Gaussian, gets at most
    `first_share` of them, to leave some for later views. `refine_passes` passes over at most `max_refine_views`
    keyframes fit the colours.
    """

    keyframe_step: int = 8
    max_keyframes: int = 160
    min_alpha: float = 0.98
    depth_tolerance: float = 0.04
    color_tolerance: float = 0.12
    max_splats: int = 1_500_000
    first_share: float = 0.6
    refine_passes: int = 3
    max_refine_views: int = 24


# The sky is this many times farther than the farthest surface, and far enough for at most SKY_PARALLAX pixels of
# parallax along the path.
SKY_FACTOR = 2.0
SKY_PARALLAX = 3.0
# Percentile of a view's surface distances taken as the farthest: single pixels at a horizon may be kilometres away.
SURFACE_PERCENTILE = 99.9
# Radius for a scene that shows nothing but sky.
EMPTY_SCENE_DEPTH = 100.0
# Splats wider than this many pixels are reported to the user.
COARSE = 1.25


def reconstruct_splats(
    views: Sequence[View],
    progress: Progress = SILENT,
    settings: SplatSettings | None = None,
    device: str = "cpu",
    notes: list[str] | None = None,
    around: Sequence[View] = (),
) -> GaussianCloud:
    """One Gaussian for every pixel that earlier frames do not explain, with colours fitted to the frames.

    Views `around` add Gaussians only where the others leave a gap, and at most as many again.

    The cloud is in the world frame of the views; sky becomes Gaussians on a sphere around the path (`sky_shell`).
    Remarks for the user are appended to `notes`. Raises InvalidInputError without views, CancelledError on
    cancellation.
    """
    settings = settings or SplatSettings()
    if len(views) == 0:
        raise InvalidInputError("There are 0 views; splats need at least one frame. Generate a chunk first.")
    keyframes = []
    picks = keyframe_indices(len(views), settings)
    for done, index in enumerate(picks):
        progress.update("splats", 0.1 * done / len(picks))
        keyframes.append(views[index])
    shell = sky_shell(keyframes)
    keyframes = [_within(view, shell) for view in keyframes]
    cloud, coarsest = _grow(keyframes, shell, settings, progress.part(0.1, 0.6), device)
    if notes is not None and coarsest > COARSE:
        notes.append(
            f"Some splats cover {coarsest:.1f} x {coarsest:.1f} pixels instead of one: at most "
            f"{settings.max_splats:,} are made. Smaller frames or a shorter path give finer ones."
        )
    chosen = [keyframes[i] for i in evenly_spaced(len(keyframes), settings.max_refine_views)]
    cloud = refine_colors(cloud, chosen, settings.refine_passes, progress.part(0.6, 0.9), device)
    return _completed(
        cloud, [_within(view, shell) for view in around], shell, settings, progress.part(0.9, 1.0), device
    )


def _completed(
    cloud: GaussianCloud,
    around: Sequence[View],
    shell: SkyShell,
    settings: SplatSettings,
    progress: Progress,
    device: str,
) -> GaussianCloud:
    """The cloud with Gaussians for what the views `around` see beside it; none is added in front of what is there."""
    for done, view in enumerate(around):
        progress.update("splats", done / len(around), view.image)
        rendering = SplatRasterizer(cloud, device).render(view.w2c, view.intrinsics, view.height, view.width)
        wanted, spacing = _thinned(rendering.alpha < settings.min_alpha, settings.max_splats / len(around))
        if wanted.any():
            fresh = seed_gaussians(view, fit_planes(view.depth, device), shell, wanted, spacing)
            cloud = joined([cloud, fresh])
    return cloud


def keyframe_indices(count: int, settings: SplatSettings) -> list[int]:
    """Indices of evenly spaced keyframes, the first and last frame included."""
    wanted = min(settings.max_keyframes, 1 + -(-(count - 1) // settings.keyframe_step))
    return evenly_spaced(count, max(wanted, 1))


def sky_shell(views: Sequence[View]) -> SkyShell:
    """The sphere for the sky: centred on the path, behind every surface except outlier pixels.

    Its radius is SKY_FACTOR times the farthest surface, or more, so that over the whole path the sky's parallax is
    at most SKY_PARALLAX pixels in each direction.
    """
    centers = np.stack([np.linalg.inv(view.w2c)[:3, 3] for view in views])
    center = (centers.min(0) + centers.max(0)) / 2
    extent = np.linalg.norm(centers - center, axis=1).max()
    focal = max(view.intrinsics[0, 0] for view in views)
    far = max((_farthest(view) for view in views), default=0.0) or EMPTY_SCENE_DEPTH
    return SkyShell(center, float(max(SKY_FACTOR * (far + extent), focal * extent / SKY_PARALLAX)))


def _farthest(view: View) -> float:
    """Upper bound of the view's surface distances along rays, outlier pixels excluded."""
    finite = view.depth[np.isfinite(view.depth)]
    if not len(finite):
        return 0.0
    k = view.intrinsics
    corner = np.hypot(
        max(k[0, 2], view.width - k[0, 2]) / k[0, 0], max(k[1, 2], view.height - k[1, 2]) / k[1, 1]
    )
    return float(np.percentile(finite, SURFACE_PERCENTILE) * np.hypot(1, corner))


def _within(view: View, shell: SkyShell) -> View:
    """The view with surfaces beyond the shell turned into sky."""
    beyond = np.isfinite(view.depth) & (view.depth >= shell.depth(view))
    return replace(view, depth=np.where(beyond, np.float32(np.inf), view.depth)) if beyond.any() else view


def _grow(
    keyframes: list[View], shell: SkyShell, settings: SplatSettings, progress: Progress, device: str
) -> tuple[GaussianCloud, float]:
    """The cloud, and the width in pixels of the splats of its coarsest keyframe."""
    cloud: GaussianCloud | None = None
    coarsest = 1.0
    for done, view in enumerate(keyframes):
        progress.update("splats", done / len(keyframes), view.image)
        planes = fit_planes(view.depth, device)
        wanted = np.ones(view.depth.shape, bool)
        if cloud is not None:
            rendering = SplatRasterizer(cloud, device).render(
                view.w2c, view.intrinsics, view.height, view.width
            )
            wanted = ~explained(view, rendering, shell, settings)
        remaining = len(keyframes) - done
        if cloud is None:
            room = settings.max_splats * (settings.first_share if remaining > 1 else 1)
        else:
            room = (settings.max_splats - len(cloud)) / remaining
        wanted, spacing = _thinned(wanted, room)
        coarsest = max(coarsest, spacing)
        fresh = seed_gaussians(view, planes, shell, wanted, spacing)
        cloud = fresh if cloud is None else joined([cloud, fresh])
    if cloud is None:
        raise ValueError("there are no keyframes")
    return cloud, coarsest


def _thinned(wanted: np.ndarray, room: float) -> tuple[np.ndarray, float]:
    """At most `room` of the pixels `wanted` (H, W) bool, on a regular grid, and the grid's spacing in pixels.

    The spacing is fractional: with whole pixels, an image slightly above `room` would lose three quarters of its
    pixels.
    """
    spacing = 1.0
    picked = wanted
    while picked.sum() > room:
        spacing = max(1.02 * spacing, np.sqrt(wanted.sum() / max(room, 1)))
        picked = np.zeros_like(wanted)
        grid = np.ix_(*(_spread(length, int(length / spacing)) for length in wanted.shape))
        picked[grid] = wanted[grid]
    return picked, float(spacing)


def _spread(length: int, count: int) -> np.ndarray:
    """`count` of the numbers 0 ... length - 1: the midpoints of as many equal intervals."""
    return ((np.arange(count) + 0.5) * (length / max(count, 1))).astype(int)


def explained(view: View, rendering: Rendering, shell: SkyShell, settings: SplatSettings) -> np.ndarray:
    """Pixels (H, W) of a view that a rendering of the cloud already shows."""
    sky = ~np.isfinite(view.depth)
    depth = np.where(sky, shell.depth(view), view.depth)
    difference = view.image / np.float32(255) - rendering.rgb
    # A rendering blends both sides of an edge, so depths in between are accepted as well ...
    behind = rendering.depth > maximum_filter(depth, 3) * (1 + settings.depth_tolerance)
    # ... unless the colour shows that the far side is visible through a crack.
    crack = rendering.depth > depth * (1 + settings.depth_tolerance)
    crack &= np.abs(difference).max(-1) > settings.color_tolerance
    in_place = rendering.depth >= minimum_filter(depth, 3) * (1 - settings.depth_tolerance)
    average = np.abs(uniform_filter(difference, (5, 5, 1))).max(-1)
    recolored = in_place & ~sky & (average > settings.color_tolerance)
    return (rendering.alpha >= settings.min_alpha) & ~behind & ~crack & ~recolored
