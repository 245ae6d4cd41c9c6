"""Protocol of depth estimators: marked pairs, held-out procedural worlds, rendered images, and speed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyra.common.arrays_file import read_arrays
from lyra.common.errors import InvalidInputError
from lyra.common.shapes import height_width
from lyra.depth.base import DepthEstimator
from lyra.depth.metrics import absolute_relative, field_of_view, overlap, sampled_ordinal_error
from lyra.evaluation.depth_pairs import cropped_pairs, found_images, ordinal_errors
from lyra.media.images import fit, load_image
from lyra.synthetic.pictures import PICTURE

# (height, width) to which the limit in seconds applies, and the number of timed runs after a warm-up.
FRAME = (480, 832)
TIMINGS = 3


@dataclass(frozen=True)
class QualityLimits:
    """Upper limits of the metrics for the built-in depth."""

    pairs: float = 0.12
    synthetic_abs_rel: float = 0.12
    rendered_abs_rel: float = 0.18
    fov_degrees: float = 8.0
    seconds: float = 1.5


def evaluate_pairs(estimator: DepthEstimator, folder: Path) -> dict[str, float]:
    """Ordinal error on the marked images of `folder`, by file name and over all pairs as "pairs".

    Each is cropped to 832x480 or 480x832 first, like the image of a world; "pairs_cut" is the number of pairs dropped
    by the crop. Raises InvalidInputError if there are none.
    """
    wrong, cut = {}, 0
    for path, marked in found_images(folder).items():
        fitted = fit(load_image(path))
        pairs = cropped_pairs(marked.pairs, fitted.source_hw, height_width(fitted.image))
        cut += len(marked.pairs) - len(pairs)
        if len(pairs):
            wrong[path.name] = ordinal_errors(estimator.estimate(fitted.image).depth, pairs)
    if not wrong:
        raise InvalidInputError(f"All {cut} marked pairs in {folder} lie outside the crop; mark others.")
    whole = np.concatenate(list(wrong.values()))
    figures = {name: float(errors.mean()) for name, errors in wrong.items()}
    return figures | {"pairs": float(whole.mean()), "pairs_cut": float(cut)}


def evaluate_speed(
    estimator: DepthEstimator, size: tuple[int, int] = FRAME, device: str = "cpu"
) -> dict[str, float]:
    """Median time "seconds" for an image of `size` (height, width), after a warm-up."""
    from lyra.synthetic import HELD_OUT_SEED, generate

    image = generate(HELD_OUT_SEED, 1, *size, device=device).images[0]
    estimator.estimate(image)
    times = []
    for _ in range(TIMINGS):
        started = time.perf_counter()
        estimator.estimate(image)
        times.append(time.perf_counter() - started)
    return {"seconds": float(np.median(times))}


def evaluate_synthetic(
    estimator: DepthEstimator, count: int = 32, size: tuple[int, int] = (240, 416), device: str = "cpu"
) -> dict[str, float]:
    """Metrics, as in `_summary`, on `count` held-out worlds with images of `size` (height, width)."""
    from lyra.synthetic import HELD_OUT_SEED, generate

    samples = generate(HELD_OUT_SEED, count, *size, device=device)
    pictures = zip(samples.images, samples.depth, samples.intrinsics, strict=True)
    return _summary(estimator, pictures)


def rendered_files(folder: Path) -> list[Path]:
    """The .npz files of a folder. Raises InvalidInputError if there are none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InvalidInputError(f"{folder} holds no .npz of a picture with its depth; give another folder.")
    return files


def evaluate_files(estimator: DepthEstimator, folder: Path) -> dict[str, float]:
    """Metrics, as in `_summary`, on the images of a folder, such as `scripts.blender_scenes` renders.

    Each .npz holds `image` (H, W, 3) uint8, `depth` (H, W) z-depth with inf for sky, and `intrinsics` (3, 3).
    Raises InvalidInputError if there are none.
    """
    files = rendered_files(folder)

    def pictures() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for path in files:
            stored = read_arrays(path, PICTURE, advice="render it again with scripts.blender_scenes")
            yield stored["image"], stored["depth"], stored["intrinsics"]

    return _summary(estimator, pictures())


def _summary(
    estimator: DepthEstimator, pictures: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Metrics over pictures (image, depth, intrinsics), without those of nothing but sky.

    Means "abs_rel" after scale and shift, "ordinal" over random pairs and "sky_iou"; medians "abs_rel_median" and
    "fov", the error in degrees over the longer side; "pictures", their number.
    """
    rows = [_figures(estimator, *picture) for picture in pictures if np.isfinite(picture[1]).any()]
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("abs_rel", "ordinal", "sky_iou")}
    medians = {name: float(np.median([row[name] for row in rows])) for name in ("abs_rel", "fov")}
    return means | {
        "abs_rel_median": medians["abs_rel"],
        "fov": medians["fov"],
        "pictures": float(len(rows)),
    }


def _figures(
    estimator: DepthEstimator, image: np.ndarray, truth: np.ndarray, intrinsics: np.ndarray
) -> dict[str, float]:
    estimate = estimator.estimate(image)
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
    }


def evaluate_depth(
    estimator: DepthEstimator,
    images: Path | None = None,
    rendered: Path | None = None,
    count: int = 32,
    device: str = "cpu",
) -> dict[str, dict[str, float]]:
    """All metrics of an estimator: "synthetic" on `count` worlds, "speed"; "marked", "rendered" for given folders."""
    figures = {"synthetic": evaluate_synthetic(estimator, count, device=device)}
    figures["speed"] = evaluate_speed(estimator, device=device)
    figures |= {"marked": evaluate_pairs(estimator, images)} if images else {}
    return figures | ({"rendered": evaluate_files(estimator, rendered)} if rendered else {})


@dataclass(frozen=True)
class _Limited:
    """A metric with a limit: its keys in the results, and the CLI option that its measurement requires."""

    label: str
    part: str
    name: str
    limit: str
    option: str = ""


_LIMITED = (
    _Limited("absolute relative error on held-out worlds", "synthetic", "abs_rel", "synthetic_abs_rel"),
    _Limited("field of view error in degrees", "synthetic", "fov", "fov_degrees"),
    _Limited("seconds for a picture of 832x480", "speed", "seconds", "seconds"),
    _Limited("ordinal error on marked pairs", "marked", "pairs", "pairs", "--images DIR"),
    _Limited(
        "absolute relative error on rendered worlds",
        "rendered",
        "abs_rel",
        "rendered_abs_rel",
        "--rendered DIR",
    ),
)


def missed(figures: dict[str, dict[str, float]], limits: QualityLimits | None = None) -> list[str]:
    """A sentence for every measured metric above its limit; empty if all pass."""
    limits = limits or QualityLimits()
    found = [
        (figure.label, figures[figure.part][figure.name], getattr(limits, figure.limit))
        for figure in _LIMITED
        if figure.part in figures
    ]
    return [
        f"{label}: {value:.3f}, at most {limit:g} is allowed"
        for label, value, limit in found
        if not value <= limit
    ]


def not_measured(figures: dict[str, dict[str, float]]) -> list[str]:
    """A sentence for every metric with a limit that was not measured, with the option that measures it."""
    return [
        f"not measured: {figure.label}, give {figure.option}"
        for figure in _LIMITED
        if figure.part not in figures
    ]
