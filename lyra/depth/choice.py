"""Choice of depth models: which can run here, and which estimates windows of generated frames."""

from __future__ import annotations

from pathlib import Path

from lyra.depth import depth_anything, depth_anything_3
from lyra.depth.depth_anything import VARIANTS, Scene
from lyra.hub.catalog import DEPTH_MODELS, item, needs
from lyra.hub.machine import PLANNED_SHARE, Machine
from lyra.hub.weights import Weights


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


def has_room(model: str, machine: Machine) -> bool:
    """Whether the GPU's memory is large enough for a model; always True on a CPU.

    Depends on total, not on free memory: a different choice on resuming would give different depth.
    """
    memory = max(item(i).memory for i in needs(model).items)
    return machine.device != "cuda" or memory <= PLANNED_SHARE * (machine.memory or 0)


def window_model(
    weights: Weights | None = None,
    machine: Machine | None = None,
    *,
    folder: str | Path | None = None,
    scene: Scene = "auto",
) -> str | None:
    """The first of DEPTH_MODELS that can run here and, given `machine`, fits into its memory; None if none does."""
    for model in DEPTH_MODELS:
        if missing_requirement(model, folder=folder, scene=scene, weights=weights) is None and (
            machine is None or has_room(model, machine)
        ):
            return model
    return None
