"""The process that looks at uploads for the service: one request a line on stdin, one answer a line on stdout.

    in    {"kind": "measure", "folder", "image"}                image and depth: paths below the folder
          {"kind": "check", "folder", "image", "depth", "settings"}    settings: WorldSettings as JSON; depth may miss
    out   {"height", "width"}                                   of the picture, or of the world that would be made of it
          {"error": name of a class of lyra.common.errors, "detail"}

Foreign pictures are decoded here and not in the service: what they cost in memory or time ends with this process.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from backend.worker.main import own_pipes
from lyra.common import errors
from lyra.common.errors import InvalidInputError, LyraError
from lyra.geometry.cameras import Trajectory

# A picture of 100 megapixels takes 2 GB at most, its depth a little more.
MEMORY_BYTES = 4 << 30


def answer(request: dict) -> dict:
    """What is said about one request."""
    image, depth = Path(request["image"]), Path(request["depth"]) if "depth" in request else None
    try:
        # Left again at once: Windows removes no folder that a process stands in.
        with contextlib.chdir(request["folder"]):
            if request["kind"] == "measure":
                height, width = _measured(image)
            else:
                height, width = _checked(image, depth, request["settings"])
    except LyraError as error:
        known = next(kind for kind in type(error).__mro__ if vars(errors).get(kind.__name__) is kind)
        return {"error": known.__name__, "detail": str(error)}
    except MemoryError:
        said = f"{image} takes more than {MEMORY_BYTES / 1e9:.1f} GB of memory; save it smaller, or as 8-bit PNG."
        return {"error": InvalidInputError.__name__, "detail": said}
    return {"height": height, "width": width}


def _measured(image: Path) -> tuple[int, int]:
    # Imported here, as below: this process is ready before these are loaded.
    from lyra.media.images import measure

    return measure(image)


def _checked(image: Path, depth: Path | None, settings: Mapping[str, Any]) -> tuple[int, int]:
    """Reads image and depth just as the job will; returns the world's (height, width). Raises what the job would."""
    from lyra.depth import BlendedDepth, DepthFile, RelativeDepthFile, create_estimator
    from lyra.depth.stored import SUFFIXES
    from lyra.media.images import fit, load_image

    size = None if settings["size"] is None else (settings["size"][1], settings["size"][0])
    fitted = fit(load_image(image), size=size)
    height, width = fitted.image.shape[:2]
    _check_lens(image, fitted.source_hw, settings)
    if depth is not None and depth.suffix.lower() not in SUFFIXES:
        raise InvalidInputError(f"{depth} is no depth file; give one of {', '.join(SUFFIXES)}.")
    estimator = create_estimator(
        settings["depth"],
        depth,
        settings["allow_download"],
        # The worker chooses its device; PyTorch is not loaded for that here.
        "cpu",
        source_hw=fitted.source_hw,
        scene=settings["depth_scene"],
        blend=settings["depth_blend"],
        values=settings["depth_values"],
    )
    if isinstance(estimator, DepthFile | RelativeDepthFile | BlendedDepth):
        estimator.check_size((height, width))
    return height, width


def _check_lens(image: Path, source_hw: tuple[int, int], settings: Mapping[str, Any]) -> None:
    """Raises InvalidInputError for a lens that is not this picture's."""
    if settings["intrinsics"] is None:
        if settings["intrinsics_size"] is not None:
            raise InvalidInputError(
                "The settings have intrinsics_size and no intrinsics; send both, or neither for an estimated lens."
            )
        return
    height, width = source_hw
    given = settings["intrinsics_size"]
    if given is not None and tuple(given) != (width, height):
        raise InvalidInputError(
            f"The intrinsics are of a picture of {given[0]}x{given[1]}, and {image} has {width}x{height}; send that "
            "picture, or the intrinsics of this one."
        )
    Trajectory.checked(np.eye(4)[None], [settings["intrinsics"]], height, width)


def _bound_memory() -> None:
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if most == resource.RLIM_INFINITY or most > MEMORY_BYTES:
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, most))


def serve(incoming: TextIO, outgoing: TextIO) -> None:
    """Answers requests until there are no more."""
    for line in incoming:
        print(json.dumps(answer(json.loads(line))), file=outgoing, flush=True)


if __name__ == "__main__":
    _bound_memory()
    serve(*own_pipes())
    sys.exit(0)
