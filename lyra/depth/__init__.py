"""Depth estimators: file, MoGe and Depth Anything (joined with ONNX Runtime, or larger), built-in network, layout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.depth import depth_anything_3
from lyra.depth.base import DepthEstimate, DepthEstimator, WindowDepth, WindowDepthEstimator
from lyra.depth.blend import BlendedDepth, join_depth
from lyra.depth.checks import sanitise
from lyra.depth.choice import ChosenModel, choose_model
from lyra.depth.depth_anything import VARIANTS, DepthAnything, Scene
from lyra.depth.depth_anything_3 import DepthAnything3
from lyra.depth.device import estimate_with_room
from lyra.depth.file import DepthFile
from lyra.depth.frames import FrameByFrame
from lyra.depth.layout_prior import LayoutPrior
from lyra.depth.learned import LearnedDepth
from lyra.depth.onnx_choice import ONNX_NEEDS, OnnxDepth, onnx_estimator
from lyra.depth.picture import picture_notes
from lyra.depth.relative import RelativeDepthFile
from lyra.hub.machine import Machine

CHOICES = ("auto", *ONNX_NEEDS, "builtin", "layout", *VARIANTS, depth_anything_3.ID)
SCENES = ("auto", "outdoor", "indoor")
# What a depth file holds: z-depth in metres, or inverse depth up to scale and offset, near is bright.
Values = Literal["metres", "inverse"]
VALUES = ("metres", "inverse")
ONLY_VERSION_2 = "only Depth Anything V2 has weights of its own for outdoor and indoor"

__all__ = [
    "CHOICES",
    "SCENES",
    "VALUES",
    "BlendedDepth",
    "DepthAnything",
    "DepthAnything3",
    "DepthEstimate",
    "DepthEstimator",
    "DepthFile",
    "FrameByFrame",
    "LayoutPrior",
    "LearnedDepth",
    "RelativeDepthFile",
    "Scene",
    "Values",
    "WindowDepth",
    "WindowDepthEstimator",
    "create_estimator",
    "create_window_estimator",
    "estimate_with_room",
    "join_depth",
    "picture_notes",
    "sanitise",
]


def create_estimator(
    choice: str = "auto",
    depth_file: str | Path | None = None,
    allow_download: bool = False,
    device: str | None = None,
    *,
    source_hw: tuple[int, int] | None = None,
    weights: str | Path | None = None,
    scene: Scene = "auto",
    blend: bool = False,
    values: Values = "metres",
) -> DepthEstimator:
    """The estimator for a choice; a depth file goes before every choice, or with `blend` together with it.

    "auto" takes the first that is on the machine: MoGe-2 and Depth Anything V2 joined, "joined"; MoGe-2 alone; the
    metric Depth Anything V2 Small; the relative one. Without any it fetches the first if it may, else it takes the
    network that is shipped, "builtin", and says why. `source_hw`
    is the (height, width) of the picture as it was given, so that a depth file of that size can be cropped like it.
    `device` is "cpu", "cuda" or None for the best there is; a model for which PyTorch sees no GPU runs on the CPU and
    says so. `weights` is a local folder of the chosen model's weights. `scene` says which weights of Depth Anything V2
    to take, "outdoor" or "indoor"; "auto" looks for sky. With `blend` the depth file may leave pixels unknown, which
    the choice fills in; with `values` "inverse" it is a relative map, which the choice gives its scale.
    Raises InvalidInputError for an unknown choice or unusable file, EngineNotReadyError when a model was asked for and
    cannot run.
    """
    _check_choice(choice, scene)
    _check_file_options(depth_file, blend, values)
    if depth_file is not None and values == "metres" and not blend:
        return DepthFile(depth_file, source_hw)
    chosen = choose_model("picture", choice, allow_download=allow_download, folder=weights, scene=scene)
    estimator = _model(chosen, allow_download, device, weights, scene)
    if depth_file is None:
        return estimator
    if values == "inverse":
        return RelativeDepthFile(depth_file, estimator, source_hw)
    return BlendedDepth(DepthFile(depth_file, source_hw, blend=True), estimator)


def create_window_estimator(
    choice: str = "auto",
    device: str | None = None,
    *,
    weights: str | Path | None = None,
    scene: Scene = "auto",
    machine: Machine | None = None,
) -> WindowDepthEstimator:
    """The estimator of windows of frames with known cameras; nothing is downloaded.

    "auto" takes the first of Depth Anything 3, V2 Large and V2 Small that can run here and, where `machine` is given,
    has room on it; `device` as for `create_estimator`. Raises InvalidInputError for an unknown choice,
    EngineNotReadyError when the chosen model, or with "auto" none of them, can run.
    """
    _check_choice(choice, scene)
    chosen = choose_model("frames", choice, folder=weights, scene=scene, machine=machine)
    if chosen.obstacle:
        raise EngineNotReadyError(f"No depth model for generated frames can run here. {chosen.obstacle}")
    model = _model(chosen, False, device, weights, scene)
    return model if hasattr(model, "estimate_window") else FrameByFrame(model)


def _check_choice(choice: str, scene: str) -> None:
    if choice not in CHOICES:
        raise InvalidInputError(f"Unknown depth estimator {choice!r}; choose one of {', '.join(CHOICES)}.")
    if scene not in SCENES:
        raise InvalidInputError(f"Unknown kind of scene {scene!r}; choose one of {', '.join(SCENES)}.")


def _check_file_options(depth_file: str | Path | None, blend: bool, values: str) -> None:
    if values not in VALUES:
        raise InvalidInputError(
            f"Unknown kind of depth values {values!r}; choose one of {', '.join(VALUES)}."
        )
    if blend and depth_file is None:
        raise InvalidInputError("Blending needs a depth file; give one, or leave blending off.")
    if values == "inverse" and depth_file is None:
        raise InvalidInputError("Inverse depth values need a depth file; give one.")
    if blend and values == "inverse":
        raise InvalidInputError(
            "A depth file with inverse values gets its scale from the estimate, so it cannot be blended with it; leave "
            "blending off, or give depth in metres."
        )


def _model(
    chosen: ChosenModel, allow_download: bool, device: str | None, weights: str | Path | None, scene: Scene
) -> LearnedDepth | LayoutPrior | DepthAnything | DepthAnything3 | OnnxDepth:
    unused = () if scene == "auto" else (f"The scene ({scene}) was not used: {ONLY_VERSION_2}.",)
    remarks = unused if chosen.obstacle is None else (chosen.obstacle, *unused)
    if chosen.model in ONNX_NEEDS:
        return onnx_estimator(chosen.model, weights, device, remarks, allow_download)
    if chosen.model == "builtin":
        return LearnedDepth(remarks)
    if chosen.model == "layout":
        return LayoutPrior(unused)
    if chosen.model == depth_anything_3.ID:
        return DepthAnything3(weights, device, unused)
    return DepthAnything(weights, allow_download, device, variant=VARIANTS[chosen.model], scene=scene)
