"""Depth Anything V2 Small, metric, through transformers. The only module here that needs torch.

Weights: depth-anything/Depth-Anything-V2-Metric-{Outdoor,Indoor}-Small-hf, Apache-2.0, about 100 MB each.
Paper: Yang et al. 2024, "Depth Anything V2". The metric heads are trained on z-depth (Virtual KITTI, Hypersim).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from lyra.depth.base import DepthEstimate
from lyra.depth.checks import assumed_intrinsics
from lyra.depth.layout import sky_mask
from lyra.errors import EngineNotReadyError

REPOSITORIES = {
    "outdoor": "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf",
    "indoor": "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf",
}
LABEL = "Depth Anything V2 Small"
# Preprocessing of the published weights: the shorter side near 518, ImageNet's mean and deviation.
SHORT_SIDE = 518
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# The outdoor model puts the sky near the end of its range.
SKY_SHARE_OF_RANGE = 0.75
OUTDOOR_SKY = 0.02


def obstacle(allow_download: bool, folder: str | Path | None = None) -> str | None:
    """Why Depth Anything V2 cannot run here and what to do about it, or None when it can."""
    missing = [
        name for name in ("torch", "transformers", "safetensors") if importlib.util.find_spec(name) is None
    ]
    if missing:
        return (
            f"{LABEL} needs {', '.join(missing)}, not installed here; "
            "install the extra with: pip install 'lyra-worlds[depth]'."
        )
    if folder is not None:
        lacking = [
            name for name in ("config.json", "model.safetensors") if not (Path(folder) / name).is_file()
        ]
        return (
            f"The folder {folder} lacks {' and '.join(lacking)} of {LABEL}; give another."
            if lacking
            else None
        )
    if allow_download or any(_cached(repository) for repository in REPOSITORIES.values()):
        return None
    return f"The weights of {LABEL} (Apache-2.0, about 100 MB) are not on this machine; allow their download to use it."


def _cached(repository: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return all(
        isinstance(try_to_load_from_cache(repository, f), str) for f in ("config.json", "model.safetensors")
    )


class DepthAnything:
    """Metric depth by Depth Anything V2 Small; outdoor or indoor weights by whether the picture has a sky."""

    id = "depth-anything-v2"

    def __init__(self, folder: str | Path | None = None, allow_download: bool = False, device: str = "cpu"):
        """`folder` holds weights in transformers' layout; otherwise they come from the Hugging Face cache.

        Raises EngineNotReadyError when a package or the weights are missing.
        """
        reason = obstacle(allow_download, folder)
        if reason:
            raise EngineNotReadyError(f"{reason} Or choose the built-in depth.")
        self.folder, self.allow_download, self.device = folder, allow_download, device
        self._models: dict[str, object] = {}

    def estimate(self, image: np.ndarray, intrinsics: np.ndarray | None = None) -> DepthEstimate:
        """z-depth in metres of `image` (H, W, 3) uint8 sRGB. Raises EngineNotReadyError when loading fails."""
        notes = []
        seen_sky = sky_mask(image)
        source, note = self._source("outdoor" if seen_sky.mean() > OUTDOOR_SKY else "indoor")
        notes += [note] if note else []
        model = self._model(source)
        depth = _resized(self._predict(model, image), image.shape[:2])
        farthest = float(model.config.max_depth)
        sky = _sky(depth, seen_sky, farthest)
        if sky.any():
            depth = np.where(sky, np.float32(np.inf), depth)
            notes.append(
                f"{sky.mean():.0%} of the picture was taken as sky: far, and joined to the upper edge."
            )
        if intrinsics is None:
            intrinsics, note = assumed_intrinsics(*image.shape[:2])
            notes.append(note)
        label = f"{LABEL} ({Path(source).name})"
        return DepthEstimate(np.maximum(depth, 0.01), intrinsics, True, label, None, tuple(notes))

    def _source(self, kind: str) -> tuple[str, str | None]:
        """Where the weights for a kind of scene are; the other kind's with a remark when only those are here."""
        if self.folder is not None:
            return str(self.folder), None
        other = "indoor" if kind == "outdoor" else "outdoor"
        if self.allow_download or _cached(REPOSITORIES[kind]):
            return REPOSITORIES[kind], None
        return REPOSITORIES[
            other
        ], f"The picture looks {kind} but only the {other} weights are on this machine."

    def _model(self, source: str):
        if source not in self._models:
            from transformers import AutoModelForDepthEstimation

            try:
                model = AutoModelForDepthEstimation.from_pretrained(
                    source, local_files_only=not self.allow_download, use_safetensors=True
                )
            except (OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
                raise EngineNotReadyError(f"{LABEL} cannot be loaded from {source}: {reason}") from error
            if getattr(model.config, "depth_estimation_type", None) != "metric":
                raise EngineNotReadyError(
                    f"The weights in {source} give relative depth; metric ones are needed."
                )
            self._models[source] = model.eval().to(self.device)
        return self._models[source]

    def _predict(self, model, image: np.ndarray) -> np.ndarray:
        import torch

        patch = model.config.patch_size or 14
        size = _input_size(image.shape[:2], patch)
        resized = (
            np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC), np.float32) / 255
        )
        pixels = torch.from_numpy(((resized - MEAN) / DEVIATION).transpose(2, 0, 1)[None]).to(self.device)
        with torch.inference_mode():
            return model(pixel_values=pixels).predicted_depth[0].float().cpu().numpy()


def _input_size(source_hw: tuple[int, int], patch: int) -> tuple[int, int]:
    """(height, width) in whole patches: the shorter side near 518, the aspect kept."""
    scale = SHORT_SIDE / min(source_hw)
    height, width = (max(patch, round(side * scale / patch) * patch) for side in source_hw)
    return height, width


def _resized(depth: np.ndarray, target_hw: tuple[int, int]) -> np.ndarray:
    """Bilinear in 1/z, with matching corners of the outer pixels."""
    inverse = Image.fromarray((1 / np.maximum(depth, 1e-2)).astype(np.float32))
    return 1 / np.asarray(inverse.resize(target_hw[::-1], Image.Resampling.BILINEAR))


def _sky(depth: np.ndarray, seen_sky: np.ndarray, farthest: float) -> np.ndarray:
    """Sky as far values joined to the upper edge, or far-ish values where the picture itself looks like sky."""
    far = (depth > SKY_SHARE_OF_RANGE * farthest) | (seen_sky & (depth > 0.4 * farthest))
    regions, _ = ndimage.label(far)
    return far & np.isin(regions, np.setdiff1d(regions[0], [0]))
