"""What a new world is made from: files of a multipart request, stored and looked at before a job is accepted."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from starlette.datastructures import UploadFile

from backend.errors import TooLargeError
from backend.schemas import WorldSettings
from backend.validation import require_engine
from lyra.errors import InvalidInputError, LyraError
from lyra.files import disk_full_explained
from lyra.geometry.cameras import Trajectory


def store_upload(upload: UploadFile, folder: Path, limit: int) -> Path:
    """Copies an upload into `folder` under a harmless form of its own name."""
    if upload.size > limit:
        raise TooLargeError(
            f"{upload.filename} has {upload.size / 1e6:.1f} MB; at most {limit / 1e6:.0f} MB are accepted. "
            "Save it smaller."
        )
    target = folder / plain_name(upload.filename)
    with disk_full_explained(target):
        folder.mkdir(exist_ok=True)
        with target.open("wb") as handle:
            shutil.copyfileobj(upload.file, handle, 1 << 20)
    return target


def plain_name(filename: str | None) -> str:
    """The last part of a path of any system, with letters, digits, dots and dashes only."""
    # Some clients send names percent-encoded, as in a URL.
    last = re.split(r"[\\/]", unquote(filename or ""))[-1]
    stem, dot, suffix = re.sub(r"[^\w.-]+", "_", last).strip("._").rpartition(".")
    stem, suffix = (stem, suffix) if dot else (suffix, "")
    # File systems count bytes, some of them no more than 143.
    stem, suffix = (
        text.encode()[:most].decode(errors="ignore") for text, most in ((stem[:60], 120), (suffix, 8))
    )
    return f"{stem or 'image'}{dot}{suffix}"


def check_world_inputs(
    folder: Path, image: Path, depth: Path | None, settings: WorldSettings, device: str | None
) -> tuple[int, int]:
    """Reads image and depth just as the job will; returns the world's (height, width).

    Raises what the job would fail with; messages name the files as the user knows them, not where they are kept.
    """
    try:
        return _check(image, depth, settings, device)
    except LyraError as error:
        plain = re.sub(rf"{re.escape(str(folder))}[\\/](image|depth)[\\/]", "", str(error))
        raise type(error)(plain) from error


def _check(image: Path, depth: Path | None, settings: WorldSettings, device: str | None) -> tuple[int, int]:
    # Imported here: the service's port answers before these are loaded.
    from lyra.depth import create_estimator
    from lyra.depth.stored import SUFFIXES
    from lyra.images import fit, load_image

    require_engine(settings.engine, device)
    size = None if settings.size is None else (settings.size[1], settings.size[0])
    fitted = fit(load_image(image), size=size)
    height, width = fitted.image.shape[:2]
    if settings.intrinsics is not None:
        Trajectory.checked(np.eye(4)[None], [settings.intrinsics], *fitted.source_hw)
    if depth is not None and depth.suffix.lower() not in SUFFIXES:
        raise InvalidInputError(f"{depth} is no depth file; give one of {', '.join(SUFFIXES)}.")
    estimator = create_estimator(
        settings.depth,
        depth,
        settings.allow_download,
        # The worker chooses its device; PyTorch is not loaded for that here.
        "cpu",
        source_hw=fitted.source_hw,
        scene=settings.depth_scene,
        blend=settings.depth_blend,
        values=settings.depth_values,
    )
    if depth is not None:
        estimator.check_size((height, width))
    return height, width
