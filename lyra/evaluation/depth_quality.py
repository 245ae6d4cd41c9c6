"""How good a depth estimator is: on marked pictures, and on worlds of the generator that no run was trained on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.depth.base import DepthEstimator
from lyra.errors import InvalidInputError
from lyra.evaluation.depth_metrics import absolute_relative, field_of_view, overlap, sampled_ordinal_error
from lyra.evaluation.depth_pairs import found_images, ordinal_errors

# Training begins far below and never comes here.
HELD_OUT_SEED = 2_000_000_000
FRAME = (480, 832)


@dataclass(frozen=True)
class Limits:
    """The highest figures with which the built-in depth is good enough."""

    pairs: float = 0.12
    synthetic_abs_rel: float = 0.12
    rendered_abs_rel: float = 0.18
    fov_degrees: float = 8.0
    seconds: float = 1.5


def evaluate_pairs(estimator: DepthEstimator, folder: Path) -> dict[str, float]:
    """Ordinal error on the marked pictures of `folder`, for each of them (by file name) and for all pairs as "pairs".

    Each is brought to 832x480 or 480x832 first, as a world would be. Raises InvalidInputError when none is there.
    """
    wrong = {}
    for path, marked in found_images(folder).items():
        with Image.open(path) as opened:
            size = FRAME if opened.width >= opened.height else FRAME[::-1]
            image = np.asarray(opened.convert("RGB").resize(size[::-1], Image.Resampling.LANCZOS))
        wrong[path.name] = ordinal_errors(estimator.estimate(image).depth, marked.pairs)
    whole = np.concatenate(list(wrong.values()))
    return {name: float(errors.mean()) for name, errors in wrong.items()} | {"pairs": float(whole.mean())}


def evaluate_synthetic(
    estimator: DepthEstimator, count: int = 32, size: tuple[int, int] = (240, 416), device: str = "cpu"
) -> dict[str, float]:
    """Figures on `count` held-out worlds, pictures of `size` (height, width), as `_summary` names them."""
    from lyra.training.synthetic import generate

    samples = generate(HELD_OUT_SEED, count, *size, device=device)
    pictures = zip(samples.images, samples.depth, samples.intrinsics, strict=True)
    return _summary(estimator, pictures)


def evaluate_files(estimator: DepthEstimator, folder: Path) -> dict[str, float]:
    """Figures on the pictures of a folder, such as `scripts.blender_scenes` renders, as `_summary` names them.

    Each .npz holds `image` (H, W, 3) uint8, `depth` (H, W) z-depth with inf for sky, and `intrinsics` (3, 3).
    Raises InvalidInputError when there is none.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InvalidInputError(f"{folder} holds no .npz of a picture with its depth; give another folder.")

    def pictures() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for path in files:
            with np.load(path, allow_pickle=False) as stored:
                yield stored["image"], stored["depth"], stored["intrinsics"]

    return _summary(estimator, pictures())


def _summary(
    estimator: DepthEstimator, pictures: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Means over pictures (image, depth, intrinsics) that are not all sky, unless said otherwise.

    "abs_rel" after scale and shift, "ordinal" over random pairs, "sky_iou", "fov" the median error in degrees over the
    longer side, "seconds" the median time of one picture, "pictures" their number.
    """
    rows = [_figures(estimator, *picture) for picture in pictures if np.isfinite(picture[1]).any()]
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("abs_rel", "ordinal", "sky_iou")}
    medians = {name: float(np.median([row[name] for row in rows])) for name in ("fov", "seconds")}
    return means | medians | {"pictures": float(len(rows))}


def _figures(
    estimator: DepthEstimator, image: np.ndarray, truth: np.ndarray, intrinsics: np.ndarray
) -> dict[str, float]:
    started = time.perf_counter()
    estimate = estimator.estimate(image)
    seconds = time.perf_counter() - started
    longer = max(image.shape[:2])
    return {
        "abs_rel": absolute_relative(1 / estimate.depth, truth),
        "ordinal": sampled_ordinal_error(1 / estimate.depth, truth),
        "sky_iou": overlap(np.isinf(estimate.depth), np.isinf(truth)),
        "fov": float(
            np.abs(
                field_of_view(estimate.intrinsics[0, 0] / longer) - field_of_view(intrinsics[0, 0] / longer)
            )
        ),
        "seconds": seconds,
    }


def evaluate_depth(
    estimator: DepthEstimator,
    images: Path | None = None,
    rendered: Path | None = None,
    count: int = 32,
    device: str = "cpu",
) -> dict[str, dict[str, float]]:
    """All figures of an estimator: "synthetic" on `count` worlds; "marked" and "rendered" for the folders given."""
    figures = {"synthetic": evaluate_synthetic(estimator, count, device=device)}
    figures |= {"marked": evaluate_pairs(estimator, images)} if images else {}
    return figures | ({"rendered": evaluate_files(estimator, rendered)} if rendered else {})


def missed(figures: dict[str, dict[str, float]], limits: Limits | None = None) -> list[str]:
    """What is above its limit, a sentence each; empty when all is well."""
    limits = limits or Limits()
    synthetic = figures["synthetic"]
    table = [
        ("absolute relative error on held-out worlds", synthetic["abs_rel"], limits.synthetic_abs_rel),
        ("field of view error in degrees", synthetic["fov"], limits.fov_degrees),
        ("seconds for a picture", synthetic["seconds"], limits.seconds),
    ]
    if "marked" in figures:
        table.append(("ordinal error on marked pairs", figures["marked"]["pairs"], limits.pairs))
    if "rendered" in figures:
        error = figures["rendered"]["abs_rel"]
        table.append(("absolute relative error on rendered worlds", error, limits.rendered_abs_rel))
    return [
        f"{name}: {value:.3f}, at most {limit:g} is wanted" for name, value, limit in table if value > limit
    ]
