"""MoGe-2 ViT-S as an ONNX network: metric depth, lens, sky and normals of one image.

Weights: Ruicheng/moge-2-vits-normal-onnx, MIT, 141 MB. Paper: Wang et al. 2025, "MoGe-2: Accurate Monocular Geometry
with Metric Scale and Sharp Details". The network gives points in the camera's frame up to a scale and a shift along z,
the scale, normals, and where there is a surface at all. Lens and shift follow from the points: they must lie on the
rays of their pixels (as in the authors' code, microsoft/MoGe).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.optimize import least_squares

from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import assumed_intrinsics, filled_from_nearest
from lyra.depth.edge_upsampling import resized
from lyra.depth.onnx_session import OnnxNetwork, network_file
from lyra.depth.sky_and_lens import seen_sky, touching_upper_edge

ID = "moge-2"
ITEM = "moge-2-small-onnx"
LABEL = "MoGe-2 Small"
PATCH = 14
# Patches of the image that the network looks at. The authors allow 1200 to 3600.
TOKENS = 1800
SURFACE = 0.5
# Lens and shift are found with about this many points.
POINTS = 4096
# Accepted fields of view in degrees over the longer side; points that may lie behind the camera, as a share.
LENSES = (15.0, 150.0)
MOST_BEHIND = 0.02
# If more than this share would be sky, hardly any surface is left, and none of it is taken as sky.
ALL_SKY = 0.97
NEAREST = 0.01


@dataclass(frozen=True)
class Geometry:
    """What the network sees at its own size (h, w): `points` (h, w, 3) up to scale and shift, `normals` (h, w, 3),
    `surface` (h, w) in [0, 1], and the `scale` that makes metres of the points' units.
    """

    points: np.ndarray
    normals: np.ndarray
    surface: np.ndarray
    scale: float


@dataclass(frozen=True)
class Placed:
    """Depth in the points' units: `shift` along z, `focal` in pixels of the points, and whether they agree at all."""

    shift: float
    focal: float
    agreed: bool


class MoGe:
    """Metric depth, lens, sky and normals by MoGe-2."""

    id = ID

    def __init__(
        self, folder: str | Path | None = None, device: str | None = None, notes: tuple[str, ...] = ()
    ):
        """`folder` holds the network; by default the weights folder. `device` as for `OnnxNetwork`.

        `notes` are added to every estimate. Raises EngineNotReadyError if the network is missing or unusable.
        """
        self._notes = notes
        self.network = OnnxNetwork(
            network_file(ITEM, folder),
            LABEL,
            {"image": "float", "num_tokens": "int64"},
            # The published file has the short name for the scale, the authors' export the long one.
            ("points", "normal", "mask", "metric_scale|scale"),
            device,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._notes, *self.network.notes)

    def geometry(self, image: np.ndarray) -> Geometry:
        """What the network sees in `image` (H, W, 3) uint8 sRGB.

        Raises EngineNotReadyError when the network gives anything else.
        """
        size = input_size(height_width(image))
        small = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
        pixels = np.asarray(small, np.float32).transpose(2, 0, 1)[None] / 255
        found = self.network.run(image=pixels, num_tokens=np.array(TOKENS))
        shapes = {"points": (1, *size, 3), "normal": (1, *size, 3), "mask": (1, *size)}
        for name, shape in shapes.items():
            if found[name].shape != shape or not np.isfinite(found[name]).all():
                raise self.network.wrong_output(name, found[name])
        scale = found["metric_scale"]
        if scale.size != 1 or not 0 < float(scale.item()) < np.inf:
            raise self.network.wrong_output("metric_scale", scale)
        return Geometry(
            found["points"][0], found["normal"][0], np.clip(found["mask"][0], 0, 1), float(scale.item())
        )

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth in metres of `image` (H, W, 3) uint8 sRGB, with normals; inf for sky."""
        seen, notes = self.geometry(image), list(self.notes)
        height, width = size = height_width(image)
        enlarged = np.array([width, height, 1]) / (*seen.surface.shape[::-1], 1)
        known = None if intrinsics is None else intrinsics / enlarged[:, None]
        surface = seen.surface > SURFACE
        placed = place_points(seen.points, surface, known)
        if not placed.agreed:
            notes.append(f"What {LABEL} sees does not fit any lens; depth and scale are rough.")
        if intrinsics is None:
            intrinsics, note = _lens(placed, enlarged, size)
            notes.append(note)
        small = seen.scale * np.maximum(seen.points[..., 2] + placed.shift, 0)
        shown = surface & (small > 0)
        depth, normals = full_size(small, shown, seen.normals, intrinsics, size)
        sky = seen_as_sky(image, resized(seen.surface, size))
        if sky.mean() > ALL_SKY:
            sky[:] = False
            notes.append("Nearly all of the picture looks like sky; it got a depth nevertheless.")
        elif sky.any():
            notes.append(f"{sky.mean():.0%} of the picture was taken as sky.")
        depth[sky], normals[sky] = np.inf, 0
        return DepthEstimate(
            depth, intrinsics, placed.agreed, f"{LABEL} (ONNX)", None, tuple(notes), normals=normals
        )


def input_size(source_hw: tuple[int, int]) -> tuple[int, int]:
    """(height, width) near TOKENS patches, in the image's aspect: the network itself goes on to whole patches."""
    scale = (TOKENS * PATCH * PATCH / (source_hw[0] * source_hw[1])) ** 0.5
    height, width = (max(PATCH, round(side * scale)) for side in source_hw)
    return height, width


def place_points(points: np.ndarray, surface: np.ndarray, known: np.ndarray | None = None) -> Placed:
    """The shift along z, and the focal length, with which `points` (h, w, 3) lie on the rays of their pixels.

    Least squares of focal * (x, y) / (z + shift) against the pixel's place, over points where `surface` (h, w) is.
    `known` (3, 3) are intrinsics in pixels of the points where the lens is known; else its centre is the image's.
    """
    height, width = surface.shape
    step = max(1, round((height * width / POINTS) ** 0.5))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    taken = surface[rows, columns]
    rows, columns = rows[taken], columns[taken]
    lens = assumed_intrinsics(height, width)[0] if known is None else known
    if len(rows) < 3:
        return Placed(0.0, float(lens[0, 0]), False)
    xy, z = np.split(points[rows, columns].astype(np.float64), [2], axis=1)
    centre = lens[:2, 2] if known is not None else (width / 2, height / 2)
    # With a known lens in units of its focal lengths, so that the one to be found is 1.
    units = (lens[0, 0], lens[1, 1]) if known is not None else (1.0, 1.0)
    uv = (np.stack([columns, rows], 1) + 0.5 - centre) / units

    def projected(shift: float) -> tuple[np.ndarray, float]:
        seen = xy / (z + shift)
        focal = 1.0 if known is not None else float((seen * uv).sum() / max((seen**2).sum(), 1e-12))
        return seen, focal

    def residuals(shift: np.ndarray) -> np.ndarray:
        seen, focal = projected(float(shift[0]))
        return (focal * seen - uv).ravel()

    # In units of the points' own extent, so that a step means the same whatever these are.
    extent = float(np.median(np.abs(z))) or 1.0
    start = max(0.0, 1e-3 * extent - float(z.min()))
    found = least_squares(lambda x: residuals(x * extent), start / extent, method="lm", ftol=1e-6)
    shift = float(found.x[0]) * extent
    focal = projected(shift)[1] if known is None else float(lens[0, 0])
    fov = 2 * np.degrees(np.arctan2(max(height, width) / 2, focal))
    agreed = bool(
        np.isfinite([shift, focal]).all()
        and (z + shift <= 0).mean() <= MOST_BEHIND
        and (known is not None or LENSES[0] <= fov <= LENSES[1])
    )
    if agreed:
        return Placed(shift, focal, True)
    return Placed(start, float(lens[0, 0]), False)


def _lens(placed: Placed, enlarged: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    height, width = size
    if not placed.agreed:
        return assumed_intrinsics(height, width)
    focal = placed.focal * float(np.sqrt(enlarged[0] * enlarged[1]))
    degrees = 2 * np.degrees(np.arctan2(max(size) / 2, focal))
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return (
        matrix,
        f"The lens is estimated by {LABEL}: a field of view of {degrees:.0f}° over the longer side.",
    )


def full_size(
    depth: np.ndarray, shown: np.ndarray, normals: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) and normals (H, W, 3) float32 at `size`, of those (h, w) where `shown` is; elsewhere its nearest.

    Depth is resized in 1/z. The normals have length 1 and face the camera with `intrinsics` of the full size.
    """
    filled = filled_from_nearest(depth, shown) if shown.any() else np.ones_like(depth)
    large = 1 / np.maximum(resized(1 / np.maximum(filled, NEAREST), size), np.float32(1e-9))
    normals = resized(normals, size)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack(
        [
            (columns - intrinsics[0, 2]) / intrinsics[0, 0],
            (rows - intrinsics[1, 2]) / intrinsics[1, 1],
            np.ones(size),
        ],
        -1,
    )
    facing = np.where((normals * rays).sum(-1, keepdims=True) > 0, -1, 1)
    length = np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    return large.astype(np.float32), (facing * normals / length).astype(np.float32)


def seen_as_sky(image: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Where the network sees no surface (`surface` (H, W) in [0, 1]) and what is there can be the sky, bool (H, W).

    It sees none in mirrors and glass either: what neither looks like sky nor touches the upper edge is none.
    """
    nothing = surface < SURFACE
    if not nothing.any():
        return nothing
    return nothing & (seen_sky(image) | touching_upper_edge(nothing))
