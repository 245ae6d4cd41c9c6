"""Who says how far everything is: a given file, Depth Anything V2, or a plain layout prior."""

from __future__ import annotations

from pathlib import Path

from lyra.depth import depth_anything
from lyra.depth.base import DepthEstimate, DepthEstimator
from lyra.depth.builtin import BuiltinDepth
from lyra.depth.checks import sanitise
from lyra.depth.depth_anything import DepthAnything
from lyra.depth.file import DepthFile
from lyra.errors import InvalidInputError

CHOICES = ("auto", "builtin", "depth-anything-v2")

__all__ = [
    "CHOICES",
    "BuiltinDepth",
    "DepthAnything",
    "DepthEstimate",
    "DepthEstimator",
    "DepthFile",
    "create_estimator",
    "sanitise",
]


def create_estimator(
    choice: str = "auto",
    depth_file: str | Path | None = None,
    allow_download: bool = False,
    device: str = "cpu",
    *,
    source_hw: tuple[int, int] | None = None,
    weights: str | Path | None = None,
) -> DepthEstimator:
    """The estimator for a choice; a depth file goes before every choice.

    "auto" takes Depth Anything V2 when it is installed and its weights are on the machine (or may be downloaded),
    otherwise the built-in prior, and says why. `source_hw` is the (height, width) of the picture as it was given,
    so that a depth file of that size can be cropped like it. `weights` is a local folder of Depth Anything weights.
    Raises InvalidInputError for an unknown choice or unusable file, EngineNotReadyError when Depth Anything was
    asked for and cannot run.
    """
    if choice not in CHOICES:
        raise InvalidInputError(
            f"There is no depth estimator {choice!r}; choose one of {', '.join(CHOICES)}."
        )
    if depth_file is not None:
        return DepthFile(depth_file, source_hw)
    if choice == "builtin":
        return BuiltinDepth()
    obstacle = depth_anything.obstacle(allow_download, weights)
    if choice == "auto" and obstacle:
        return BuiltinDepth(notes=(obstacle,))
    return DepthAnything(weights, allow_download, device)
