"""The available engines, and how to create one."""

from __future__ import annotations

from dataclasses import dataclass

import warp as wp

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.warp_start import driver_warning
from lyra.engines.base import Engine
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions

FREE_LICENSE = "Made by geometry from your own image; no model licence applies."


@dataclass(frozen=True)
class EngineInfo:
    """What a user reads about an engine. `reason` says why it is not ready and what to do, else empty."""

    id: str
    label: str
    ready: bool
    reason: str
    needs: str
    license: str
    default: bool = False


def available_engines(device: str | None = None) -> list[EngineInfo]:
    """All engines, the default one first, and whether they can run on `device` ("cpu", "cuda", None for the best)."""
    preview = EngineInfo(
        "preview", "Preview", True, "", "any computer; no weights, no GPU", FREE_LICENSE, default=True
    )
    return [
        preview,
        _lyra2_info("lyra2", "Lyra 2.0", "35 steps", device),
        _lyra2_info("lyra2-fast", "Lyra 2.0 Fast", "4 steps", device),
    ]


def _lyra2_info(engine_id: str, label: str, steps: str, device: str | None) -> EngineInfo:
    from lyra.engines.readiness import engine_state
    from lyra.hub.catalog import needs
    from lyra.hub.licences import LICENCES

    takes = (
        "a CUDA GPU from 16 GB (better 24 to 80), about 130 GB of disk and the Lyra 2.0 weights "
        f"({steps} per chunk)"
    )
    state = engine_state(engine_id, device)
    reason = "" if state.ready else f"Engine '{engine_id}' is not ready. {state.text}"
    # Of the depth model, too: its weights are in everything that is made.
    licences = dict.fromkeys((*needs(engine_id).licences, *needs(state.depth).licences))
    notices = " ".join(filter(None, (LICENCES[licence].notice for licence in licences)))
    return EngineInfo(engine_id, label, state.ready, reason, takes, notices)


def default_device() -> str:
    """ "cuda" where Warp finds a GPU, else "cpu"."""
    wp.init()
    return "cuda" if wp.is_cuda_available() else "cpu"


def require_device(device: str | None) -> None:
    """Raises InvalidInputError for "cuda" where there is no GPU to use; None lets the engine choose."""
    if device == "cuda" and default_device() != "cuda":
        said = driver_warning()
        raise InvalidInputError(
            "--device cuda: this machine has no CUDA GPU that Warp can use; leave --device out."
            + (f" ({said})" if said else "")
        )


def engine_info(engine_id: str, device: str | None = None) -> EngineInfo:
    """Raises InvalidInputError for an unknown engine, EngineNotReadyError for one that cannot run here."""
    engines = {info.id: info for info in available_engines(device)}
    if engine_id not in engines:
        raise InvalidInputError(f"Unknown engine {engine_id!r}; choose one of {', '.join(engines)}.")
    info = engines[engine_id]
    if not info.ready:
        raise EngineNotReadyError(info.reason)
    return info


def create_engine(
    engine_id: str, device: str | None = None, options: EngineOptions = DEFAULT_OPTIONS
) -> Engine:
    """A ready engine on `device` ("cpu" or "cuda"; by default the best there is).

    Raises InvalidInputError for an unknown engine or options it does not have, EngineNotReadyError for one that
    cannot run here.
    """
    engine_info(engine_id, device)
    options.checked_for(engine_id)
    device = device or default_device()
    if engine_id == "preview":
        from lyra.engines.preview import PreviewEngine

        return PreviewEngine(device)
    from lyra.engines.lyra2 import create_lyra2

    return create_lyra2(engine_id, device, options)
