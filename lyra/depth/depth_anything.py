"""Depth Anything V2, metric, through transformers; torch is imported on first use.

Weights: depth-anything/Depth-Anything-V2-Metric-{Outdoor,Indoor}-{Small,Large}-hf; Small is Apache-2.0 and about
100 MB each, Large is CC BY-NC 4.0 and about 1.3 GB each. Paper: Yang et al. 2024, "Depth Anything V2". The metric
heads are trained on z-depth (Virtual KITTI, Hypersim).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from lyra.common.errors import EngineNotReadyError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimate, WindowDepth
from lyra.depth.device import torch_device
from lyra.depth.readiness import missing_files
from lyra.depth.sky_and_lens import seen_lens, seen_sky, touching_upper_edge
from lyra.hub.catalog import ITEMS
from lyra.hub.downloads import download
from lyra.hub.licences import LICENCES
from lyra.hub.packages import packages_remark
from lyra.hub.sources import choose_source
from lyra.hub.weights import Weights

if TYPE_CHECKING:
    from transformers import DepthAnythingForDepthEstimation

PACKAGES = ("torch", "transformers", "safetensors")
FILES = ("config.json", "model.safetensors")
# Preprocessing as published: the shorter side near 518, ImageNet's mean and standard deviation.
SHORT_SIDE = 518
# Attention is quadratic in the number of pixels, so very long images are scaled down further.
LONGEST_SIDE = 4 * SHORT_SIDE
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Pixels that look like sky are sky from this share of the model's range on. Where none does, only the very end of the
# outdoor weights' range (80 m; the indoor weights' is 20 m) is taken as sky.
SEEN_SKY_FROM, UNSEEN_SKY_FROM = 0.4, 0.97
INDOOR_RANGE = 20.0
# An image is outdoors if more than this share is sky connected to the upper edge, which windows are not.
OUTDOOR_SKY = 0.005
# If more than this share would be sky, hardly any surface is left, and none of it is taken as sky.
ALL_SKY = 0.97
NEAREST = 0.01

Scene = Literal["auto", "outdoor", "indoor"]


@dataclass(frozen=True)
class Variant:
    """One size of the model: `id` as in `CHOICES`, `size` as in its repositories' names."""

    id: str
    label: str
    size: str
    download: str
    may_be_fetched: bool

    def item(self, scene: str) -> str:
        """Catalogue id of the weights for a kind of scene."""
        return f"depth-anything-v2-{scene}-{self.size}"

    def repository(self, scene: str) -> str:
        return ITEMS[self.item(scene)].repository

    @property
    def notice(self) -> str:
        """The notice that a world made with these weights carries; empty if the licence requires none."""
        return LICENCES[ITEMS[self.item("outdoor")].licence].notice


SMALL = Variant("depth-anything-v2", "Depth Anything V2 Small", "small", "Apache-2.0, about 100 MB", True)
# `lyra models download` asks for acceptance of the licence first.
LARGE = Variant(
    "depth-anything-v2-large",
    "Depth Anything V2 Large",
    "large",
    "CC BY-NC 4.0, non-commercial, about 1.3 GB",
    False,
)
VARIANTS = {variant.id: variant for variant in (SMALL, LARGE)}


def missing_requirement(
    allow_download: bool,
    folder: str | Path | None = None,
    variant: Variant = SMALL,
    scene: Scene = "auto",
    weights: Weights | None = None,
) -> str | None:
    """Why the model cannot run here and what to do about it; None if it can."""
    lacking = packages_remark(PACKAGES, "depth", variant.label)
    if lacking:
        return lacking
    if folder is not None:
        return missing_files(variant.label, folder, FILES)
    scenes = ("outdoor", "indoor") if scene == "auto" else (scene,)
    if any(_present(variant, kind, weights) for kind in scenes) or (
        allow_download and variant.may_be_fetched
    ):
        return None
    first = "allow their download, or" if variant.may_be_fetched else ""
    return (
        f"The weights of {variant.label} ({variant.download}) are not on this machine; {first} get them with: "
        f"lyra models download {variant.id}."
    ).replace("  ", " ")


def _cached(repository: str) -> bool:
    """Whether a repository is in the cache that transformers uses."""
    from huggingface_hub import try_to_load_from_cache

    return all(isinstance(try_to_load_from_cache(repository, file), str) for file in FILES)


def _present(variant: Variant, scene: str, weights: Weights | None = None) -> bool:
    return (weights or Weights()).has(variant.item(scene)) or _cached(variant.repository(scene))


class DepthAnything:
    """Metric depth by Depth Anything V2.

    `scene` selects the outdoor or indoor weights; "auto" takes the outdoor ones for images that show sky. With
    "indoor" nothing is sky.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        allow_download: bool = False,
        device: str | None = "cpu",
        *,
        variant: Variant = SMALL,
        scene: Scene = "auto",
    ):
        """`folder` holds weights in transformers' layout; by default the weights folder or the cache is used.

        `device` is "cpu", "cuda" or None for the best; without a GPU that PyTorch can use it is the CPU.
        Raises EngineNotReadyError if a package or the weights are missing.
        """
        reason = missing_requirement(allow_download, folder, variant, scene)
        if reason:
            raise EngineNotReadyError(f"{reason} Or choose the built-in depth.")
        self.id, self.variant, self.scene = variant.id, variant, scene
        self.folder = folder
        self.device, self.notes = torch_device(device)
        self.allow_download = allow_download and variant.may_be_fetched
        self._models: dict[str, DepthAnythingForDepthEstimation] = {}

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth in metres of `image` (H, W, 3) uint8 sRGB. Raises EngineNotReadyError if loading fails."""
        sky = seen_sky(image)
        source, note = self._source(self._kind([sky]))
        depth, only_sky = self._depth(source, image, sky)
        notes = [*self.notes, *note]
        notes += [self.variant.notice] if self.variant.notice else []
        if np.isinf(depth).any():
            notes.append(
                f"{np.isinf(depth).mean():.0%} of the picture was taken as sky: far, and looking like it."
            )
        if only_sky:
            notes.append("Nearly all of the picture looks like sky; it got a depth nevertheless.")
        if intrinsics is None:
            intrinsics, guess = seen_lens(image)
            notes.append(guess)
        label = f"{self.variant.label} ({Path(source).name})"
        return DepthEstimate(depth, intrinsics, True, label, None, tuple(notes))

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        """Depth of `frames` (N, H, W, 3), frame by frame with the same weights; the cameras are not used."""
        skies = [seen_sky(frame) for frame in frames]
        source, _ = self._source(self._kind(skies))
        depth = [self._depth(source, frame, sky)[0] for frame, sky in zip(frames, skies, strict=True)]
        return WindowDepth(np.stack(depth))

    def release(self) -> None:
        """Frees the device; the next estimate loads the model onto it again."""
        for model in self._models.values():
            model.to("cpu")

    def _kind(self, skies: Sequence[np.ndarray]) -> str:
        if self.scene != "auto":
            return self.scene
        above = np.mean([touching_upper_edge(sky).mean() for sky in skies])
        return "outdoor" if above > OUTDOOR_SKY else "indoor"

    def _source(self, kind: str) -> tuple[str, tuple[str, ...]]:
        """Location and kind of the weights for a kind of scene, or for the other kind if only those are present."""
        if self.folder is not None:
            return str(self.folder), ()
        other = "indoor" if kind == "outdoor" else "outdoor"
        taken = kind if self.allow_download or _present(self.variant, kind) else other
        weights, item = Weights(), self.variant.item(taken)
        if self.allow_download and not _present(self.variant, taken):
            # As every download: from the pinned revision, and checked.
            download([item], weights, choose_source())
        source = str(weights.path(item)) if weights.has(item) else self.variant.repository(taken)
        if taken != kind:
            return source, (f"The picture looks {kind} but only the {other} weights are on this machine.",)
        if self.scene != "auto":
            return source, (f"{self.variant.label} with its {taken} weights, as was chosen.",)
        shows = "sky" if kind == "outdoor" else "no sky"
        wrong = f"If that is wrong, choose the scene: {other}."
        return source, (f"{self.variant.label} with its {taken} weights: the picture shows {shows}. {wrong}",)

    def _depth(self, source: str, image: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, bool]:
        """z-depth (H, W) float32, inf for sky; and whether nearly all of it would be sky."""
        model = self._model(source)
        depth = _resized(self._predict(model, image), height_width(image))
        sky = _sky(depth, shown, float(model.config.max_depth), self.scene)
        only_sky = bool(sky.mean() > ALL_SKY)
        solid = np.maximum(depth, np.float32(NEAREST))
        return (solid if only_sky else np.where(sky, np.float32(np.inf), solid)), only_sky

    def _model(self, source: str) -> DepthAnythingForDepthEstimation:
        if source not in self._models:
            from transformers import AutoModelForDepthEstimation

            label = self.variant.label
            try:
                model = AutoModelForDepthEstimation.from_pretrained(
                    source, local_files_only=True, use_safetensors=True
                )
            except (OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise EngineNotReadyError(f"{label} cannot be loaded from {source}: {reason}") from error
            if getattr(model.config, "depth_estimation_type", None) != "metric":
                raise EngineNotReadyError(
                    f"The weights in {source} give relative depth; metric ones are needed."
                )
            self._models[source] = model.eval()
        return self._models[source].to(self.device)

    def _predict(self, model: DepthAnythingForDepthEstimation, image: np.ndarray) -> np.ndarray:
        import torch

        patch = model.config.patch_size or 14
        size = input_size(height_width(image), patch)
        pixels = torch.from_numpy(network_input(image, size)).to(self.device)
        with torch.inference_mode():
            return model(pixel_values=pixels).predicted_depth[0].float().cpu().numpy()


def input_size(source_hw: tuple[int, int], patch: int) -> tuple[int, int]:
    """(height, width) in whole patches: the shorter side near 518, same aspect, unless the image gets too large."""
    scale = min(SHORT_SIDE / min(source_hw), LONGEST_SIDE / max(source_hw))
    height, width = (max(patch, round(side * scale / patch) * patch) for side in source_hw)
    return height, width


def network_input(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """`image` (H, W, 3) uint8 sRGB as the network takes it, (1, 3, h, w) float32 for `size_hw` (h, w)."""
    resized = Image.fromarray(image).resize(size_hw[::-1], Image.Resampling.BICUBIC)
    colors = np.asarray(resized, np.float32) / 255
    return np.ascontiguousarray(((colors - MEAN) / DEVIATION).transpose(2, 0, 1)[None])


def _resized(depth: np.ndarray, target_hw: tuple[int, int]) -> np.ndarray:
    """Resized bilinearly in 1/z, with aligned corners."""
    inverse = Image.fromarray((1 / np.maximum(depth, 1e-2)).astype(np.float32))
    return 1 / np.asarray(inverse.resize(target_hw[::-1], Image.Resampling.BILINEAR))


def _sky(depth: np.ndarray, shown: np.ndarray, farthest: float, scene: Scene) -> np.ndarray:
    """Sky mask: far values that look like sky (`shown`), so that far scenery and reflections of sky stay solid.

    If nothing looks like sky, far values connected to the upper edge. `farthest` is the end of the model's range.
    Nothing is sky indoors, nor if none looks like it and the range is short.
    """
    if scene == "indoor":
        return np.zeros_like(shown)
    if shown.any():
        return shown & (depth > SEEN_SKY_FROM * farthest)
    return touching_upper_edge((depth > UNSEEN_SKY_FROM * farthest) & (farthest > INDOOR_RANGE))
