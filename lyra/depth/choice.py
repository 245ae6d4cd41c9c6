"""Choice of the depth model, for pictures and for windows of generated frames, by what can run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lyra.depth import depth_anything, depth_anything_3, joined, onnx_depth_anything, onnx_moge
from lyra.depth.depth_anything import VARIANTS, Scene
from lyra.depth.onnx_choice import onnx_requirement
from lyra.hub.catalog import DEPTH_MODELS, item, needs
from lyra.hub.machine import PLANNED_SHARE, Machine
from lyra.hub.units import bytes_text
from lyra.hub.weights import Weights

Purpose = Literal["picture", "frames"]
EDGES = "Finer edges come with: lyra models download depth"


def missing_requirement(
    model: str,
    *,
    allow_download: bool = False,
    folder: str | Path | None = None,
    scene: Scene = "auto",
    weights: Weights | None = None,
) -> str | None:
    """Why a model of DEPTH_MODELS cannot run here and what to do about it, or None.

    `folder` holds its weights; by default `weights` and the cache of transformers are searched.
    """
    if model == depth_anything_3.ID:
        return depth_anything_3.missing_requirement(folder, weights)
    return depth_anything.missing_requirement(allow_download, folder, VARIANTS[model], scene, weights)


@dataclass(frozen=True)
class ChosenModel:
    """The depth model to use: `model` is one of the choices of `lyra.depth` and not "auto".

    `obstacle` says why the model that is preferred for pictures, or every model for generated frames, cannot run here
    and what to do about it; None where nothing is in the way.
    """

    model: str
    obstacle: str | None = None


def choose_model(
    purpose: Purpose,
    choice: str = "auto",
    *,
    allow_download: bool = False,
    folder: str | Path | None = None,
    scene: Scene = "auto",
    weights: Weights | None = None,
    machine: Machine | None = None,
) -> ChosenModel:
    """Which depth model is used for a picture, or for windows of generated frames; all that ask for one ask here.

    "auto" takes, for a picture, the first that can run here of MoGe-2 with Depth Anything V2, MoGe-2 alone, the metric
    Depth Anything V2 Small and the relative one; without any the first, if that may be downloaded, otherwise the
    built-in network. A `folder` for a picture is one of the metric Depth Anything V2 Small, or nothing is. For
    frames, the first of DEPTH_MODELS that can run here and, given `machine`, fits into its memory, otherwise the last.
    Any other `choice` stands. The further arguments are those of `missing_requirement`.
    """
    if choice != "auto":
        return ChosenModel(choice)
    if purpose == "picture":
        return _for_picture(allow_download, folder, scene, weights)
    obstacle = None
    for model in DEPTH_MODELS:
        obstacle = missing_requirement(model, folder=folder, scene=scene, weights=weights)
        if obstacle is None and machine is not None:
            obstacle = _lack_of_memory(model, machine)
        if obstacle is None:
            break
    return ChosenModel(model, obstacle)


def _for_picture(
    allow_download: bool, folder: str | Path | None, scene: Scene, weights: Weights | None
) -> ChosenModel:
    small = depth_anything.SMALL.id
    obstacle = missing_requirement(small, folder=folder, scene=scene, weights=weights)
    if folder is not None:
        return ChosenModel("builtin", obstacle) if obstacle else ChosenModel(small)
    better = onnx_requirement(joined.ID)
    if better is None:
        return ChosenModel(joined.ID)
    if onnx_requirement(onnx_moge.ID) is None:
        return ChosenModel(joined.ID) if allow_download else ChosenModel(onnx_moge.ID, EDGES)
    if obstacle is None:
        return ChosenModel(small)
    if allow_download:
        return ChosenModel(joined.ID)
    if onnx_requirement(onnx_depth_anything.ID) is None:
        return ChosenModel(onnx_depth_anything.ID, better)
    return ChosenModel("builtin", better)


def _lack_of_memory(model: str, machine: Machine) -> str | None:
    """Why a model does not fit into the GPU's memory, or None; on a CPU it always fits.

    Depends on total, not on free memory: a different choice on resuming would give different depth.
    """
    wanted, there = max(item(i).memory for i in needs(model).items), machine.memory or 0
    if machine.device != "cuda" or wanted <= PLANNED_SHARE * there:
        return None
    return (
        f"{needs(model).label} takes {bytes_text(wanted)} of device memory, and {machine.name} has "
        f"{bytes_text(there)}; use a larger GPU, or the CPU (--device cpu)."
    )
