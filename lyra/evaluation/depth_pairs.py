"""Marked pairs of points, near and far, on images that are not bundled but identified by SHA-256."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import one_line, place
from lyra.geometry.cameras import cover_transform

MARKED = Path(__file__).with_name("depth_pairs.json")
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
# Radius of the median around a marked point, as a share of the longer side: marks are imprecise.
REACH = 0.006


@dataclass(frozen=True)
class MarkedImage:
    """`sha256` of the file, a description, and `pairs` (P, 4): x, y of the near and the far point, in [0, 1]."""

    sha256: str
    about: str
    pairs: np.ndarray


def marked_images(path: Path = MARKED) -> list[MarkedImage]:
    """The marked images listed in a file. Raises InvalidInputError if the file is malformed."""
    try:
        listed = read_object(path)["images"]
        images = [MarkedImage(m["sha256"], m["about"], np.array(m["pairs"], np.float64)) for m in listed]
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            one_line(
                f"{place(path)} is no file of marked pairs ({one_line(error, 80)}); see {MARKED.name} for one."
            )
        ) from error
    for image in images:
        if (
            image.pairs.ndim != 2
            or image.pairs.shape[1] != 4
            or not ((image.pairs >= 0) & (image.pairs <= 1)).all()
        ):
            raise InvalidInputError(
                f"The pairs of {image.about!r} in {path} are not (P, 4) numbers in [0, 1]; mark them again."
            )
    return images


def found_images(folder: Path, marked: list[MarkedImage] | None = None) -> dict[Path, MarkedImage]:
    """The files of `folder` that are marked. Raises InvalidInputError if there are none."""
    by_hash = {image.sha256: image for image in (marked_images() if marked is None else marked)}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    found = {path: by_hash[digest] for path, digest in hashes.items() if digest in by_hash}
    if not found:
        raise InvalidInputError(
            f"None of the {len(files)} pictures in {folder} is a marked one; give the folder of those in {MARKED.name}."
        )
    return found


def cropped_pairs(pairs: np.ndarray, source_hw: tuple[int, int], target_hw: tuple[int, int]) -> np.ndarray:
    """Pairs (P, 4) on a whole image as pairs (Q, 4) on its centre crop (media.images.fit); sizes (height, width).

    Pairs with a point outside the crop are dropped.
    """
    scale, *offsets = cover_transform(source_hw, target_hw)
    points = pairs.reshape(-1, 2, 2) * np.array(source_hw[::-1]) * scale - offsets
    shares = (points / target_hw[::-1]).reshape(-1, 4)
    # Marks exactly on the edge are kept despite rounding.
    kept = ((shares >= -1e-9) & (shares <= 1 + 1e-9)).all(1)
    return shares[kept].clip(0, 1)


def ordinal_errors(depth: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which pairs (P, 4) have the wrong order in z-depth (H, W), inf for sky: (P,) bool; ties are wrong."""
    near, far = _depth_at(depth, pairs[:, :2]), _depth_at(depth, pairs[:, 2:])
    return ~(near < far)


def _depth_at(depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Median depth about points (P, 2) given as shares of width and height."""
    height, width = depth.shape
    reach = max(1, round(REACH * max(height, width)))
    steps = np.arange(-reach, reach + 1)
    x = np.clip((points[:, :1] * width).astype(int) + steps, 0, width - 1)
    y = np.clip((points[:, 1:] * height).astype(int) + steps, 0, height - 1)
    return np.median(depth[y[:, :, None], x[:, None, :]].reshape(len(points), -1), 1)
