"""Depth Anything 3, nested giant, through its package `depth_anything_3`, which is imported on first use.

Multi-view: it takes several frames of one scene with their cameras. Weights: depth-anything/
DA3NESTED-GIANT-LARGE-1.1, CC BY-NC 4.0, about 6.8 GB. Paper: Lin et al. 2025, "Depth Anything 3".

The package returns depth and cameras in its own units (approximately metres). A similarity between its camera centres
and the given ones scales the depth to the given units, as published with Lyra 2.0; if the cameras hardly move, it is
undetermined and the depth keeps its units. For a single image, metres are the metric branch's output times the focal
length over 300 pixels, with the package's estimate of the focal length; known intrinsics replace that estimate.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra.common.errors import EngineNotReadyError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate, WindowDepth
from lyra.depth.checks import believed_lens
from lyra.depth.device import torch_device
from lyra.depth.layout_prior import LayoutPrior
from lyra.depth.readiness import missing_files
from lyra.depth.similarity import fit_similarity_robustly
from lyra.depth.sky_and_lens import seen_lens
from lyra.hub.catalog import DEPTH_ANYTHING_3, ITEMS
from lyra.hub.licences import LICENCES
from lyra.hub.packages import packages_remark
from lyra.hub.weights import Weights

ID = "depth-anything-3"
LABEL = "Depth Anything 3"
PACKAGES = ("torch", "depth_anything_3")
FILES = ("config.json", "model.safetensors")
# Camera centres spread by less than this share of the depth do not determine its scale.
MOTION = 0.01
# Collinear cameras leave the rotation of the package's fit undetermined: displaced by this share of their spread.
OFF_LINE = 1e-3
FAINTEST = 1e-6
LEAST_SKY = 0.005
FARTHEST, NEAREST = 1e4, 1e-3
# Some statistics in the package are computed over random pixels.
SEED = 0


def missing_requirement(folder: str | Path | None = None, weights: Weights | None = None) -> str | None:
    """Why the model cannot run here and what to do about it; None if it can."""
    lacking = packages_remark(PACKAGES, "da3", LABEL)
    if lacking:
        return lacking
    if folder is not None:
        return missing_files(LABEL, folder, FILES)
    if (weights or Weights()).has(ID) or _cached():
        return None
    return (
        f"The weights of {LABEL} (CC BY-NC 4.0, non-commercial, about 6.8 GB) are not on this machine; "
        f"get them with: lyra models download {ID}."
    )


def _cached() -> bool:
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(DEPTH_ANYTHING_3, file), str) for file in FILES)


class DepthAnything3:
    """Depth of one image, or of a window of frames whose cameras are known."""

    id = ID

    def __init__(
        self, folder: str | Path | None = None, device: str | None = "cpu", notes: tuple[str, ...] = ()
    ):
        """`folder` holds the weights; by default the weights folder or the cache is used.

        `device` is "cpu", "cuda" or None for the best; without a GPU that PyTorch can use it is the CPU.
        `notes` are added to every estimate. Raises EngineNotReadyError if the package or the weights are missing.
        """
        reason = missing_requirement(folder)
        if reason:
            raise EngineNotReadyError(f"{reason} Or choose the built-in depth.")
        if folder is None:
            folder = Weights().path(ID) if Weights().has(ID) else DEPTH_ANYTHING_3
        self.source = str(folder)
        self.device, remarks = torch_device(device)
        self.notes = (*notes, *remarks)
        self._loaded: Any = None

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth of `image` (H, W, 3) uint8 sRGB. Raises EngineNotReadyError if loading fails."""
        height, width = image.shape[:2]
        notes = [*self.notes, LICENCES[ITEMS[ID].licence].notice]
        seen = self._inference(image[None])
        if seen is None:
            prior = LayoutPrior().estimate(image, intrinsics)
            notes.append(f"{LABEL} saw nothing but sky; its depth is that of {prior.source}.")
            return DepthEstimate(
                prior.depth, prior.intrinsics, False, prior.source, None, (*notes, *prior.notes)
            )
        depth, confidence = _full_size(seen, (height, width))
        if seen.intrinsics is not None:
            enlarged = np.array([width, height, 1]) / (*seen.depth.shape[:0:-1], 1)
            own, doubt = believed_lens(
                enlarged[:, None] * np.array(seen.intrinsics[0], np.float64), height, width, LABEL
            )
            if intrinsics is None:
                intrinsics = own
                notes += [doubt] if doubt else []
            # Its metres are proportional to the focal length, of which it used its own estimate.
            elif not doubt:
                focal, guess = (
                    (lens / enlarged[:, None])[[0, 1], [0, 1]].mean() for lens in (intrinsics, own)
                )
                depth = depth * np.float32(focal / guess)
        elif intrinsics is None:
            intrinsics, note = seen_lens(image)
            notes.append(note)
        if np.isinf(depth).any():
            notes.append(f"{np.isinf(depth).mean():.0%} of the picture was taken as sky.")
        return DepthEstimate(
            depth[0], intrinsics, True, LABEL, None if confidence is None else confidence[0], tuple(notes)
        )

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        """Depth of `frames` (N, H, W, 3) with cameras `w2c` (N, 4, 4) and `intrinsics` (N, 3, 3), in one pass.

        In the units of the cameras if they move enough to determine the scale, otherwise in the model's metres.
        """
        given = _off_one_line(w2c)
        seen = self._inference(frames, given, intrinsics)
        if seen is None:
            return WindowDepth(np.full(frames.shape[:3], np.inf, np.float32))
        depth, confidence = _full_size(seen, height_width(frames[0]))
        scale = _scale_by_cameras(given, _square(seen.extrinsics), depth)
        return WindowDepth(depth / np.float32(scale or 1), confidence, scaled_by_cameras=scale is not None)

    def release(self) -> None:
        """Frees the device; the next estimate loads the model onto it again."""
        if self._loaded is not None:
            self._loaded.to("cpu")

    def _inference(
        self, frames: np.ndarray, w2c: np.ndarray | None = None, intrinsics: np.ndarray | None = None
    ) -> Any:
        """The package's prediction, with fields (N, h, w) at its own size; None if there is nothing but sky."""
        model = self._model()
        with _same_random_numbers():
            try:
                return model.inference(
                    list(frames),
                    extrinsics=None if w2c is None else w2c.astype(np.float32),
                    intrinsics=None if intrinsics is None else intrinsics.astype(np.float32),
                    align_to_input_ext_scale=False,
                    process_res=max(frames.shape[1:3]),
                    process_res_method="upper_bound_resize",
                )
            except AssertionError as error:
                # The package asserts that there is something other than sky from which to take the scale.
                if "sky" not in str(error):
                    raise
                return None

    def _model(self) -> Any:
        if self._loaded is None:
            from depth_anything_3.api import DepthAnything3 as Package

            try:
                self._loaded = Package.from_pretrained(self.source).eval()
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).splitlines()[0]
                raise EngineNotReadyError(f"{LABEL} cannot be loaded from {self.source}: {reason}") from error
        return self._loaded.to(self.device)


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """Seeds the random generators and restores the caller's state afterwards."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield


def _square(extrinsics: np.ndarray) -> np.ndarray:
    """w2c (N, 4, 4) of (N, 3, 4) or (N, 4, 4)."""
    result = np.tile(np.eye(4), (len(extrinsics), 1, 1))
    result[:, :3] = np.asarray(extrinsics, np.float64)[:, :3]
    return result


def _centres(w2c: np.ndarray) -> np.ndarray:
    return np.linalg.inv(w2c)[:, :3, 3]


def _spread(centres: np.ndarray) -> float:
    return float(np.sqrt(((centres - centres.mean(0)) ** 2).sum(1).mean()))


def _off_one_line(w2c: np.ndarray) -> np.ndarray:
    """Cameras displaced by a tiny pattern, so that their centres are neither collinear nor coincident."""
    phase = np.arange(len(w2c), dtype=np.float64)[:, None] * (2.4, 1.7, 3.1)
    size = max(OFF_LINE * _spread(_centres(w2c)), FAINTEST)
    c2w = np.linalg.inv(np.asarray(w2c, np.float64))
    c2w[:, :3, 3] += size * np.sin(phase)
    return np.linalg.inv(c2w)


def _scale_by_cameras(given: np.ndarray, seen: np.ndarray, depth: np.ndarray) -> float | None:
    """The model's units per unit of the given cameras; None if their motion does not determine it."""
    there = np.isfinite(depth)
    centres = _centres(given)
    if not there.any() or _spread(centres) < MOTION * np.median(depth[there]):
        return None
    fit = fit_similarity_robustly(centres, _centres(seen))
    return fit.scale if fit is not None and fit.scale > 0 else None


def _full_size(seen: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth (N, H, W), inf for sky, and confidence (N, H, W) in [0, 1] or None, resized from the model's size."""
    depth = np.nan_to_num(np.asarray(seen.depth, np.float32), nan=FARTHEST)
    inverse = 1 / np.clip(depth, NEAREST, FARTHEST)
    large = 1 / np.stack([_resized(frame, size, Image.Resampling.BILINEAR) for frame in inverse])
    sky = _sky_of_one_depth(depth) if seen.sky is None else np.asarray(seen.sky, np.float32)
    covered = np.stack([_resized(frame, size, Image.Resampling.NEAREST) for frame in sky])
    large = np.where(covered >= 0.5, np.float32(np.inf), large)
    if seen.conf is None:
        return large, None
    # The package's confidence is 1 for none and unbounded above.
    share = 1 - 1 / np.maximum(np.nan_to_num(np.asarray(seen.conf, np.float32)), 1)
    return large, np.stack([_resized(frame, size, Image.Resampling.BILINEAR) for frame in share])


def _sky_of_one_depth(depth: np.ndarray) -> np.ndarray:
    """Sky (N, h, w) as 0 and 1, recovered from the single depth value that the package assigns to all sky.

    That value is a high quantile of the rest; other values hardly ever repeat exactly.
    """
    values, counts = np.unique(depth, return_counts=True)
    most = counts.argmax()
    is_sky = counts[most] >= LEAST_SKY * depth.size and values[most] >= np.quantile(depth, 0.9)
    return (depth == values[most]).astype(np.float32) * is_sky


def _resized(values: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(size[::-1], how))
