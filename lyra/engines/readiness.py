"""Readiness of an engine: whether it can run here, and if not, the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lyra.depth.choice import choose_model
from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.hub.catalog import CHECKPOINT, ENGINES, item, needs
from lyra.hub.licences import AcceptedLicences
from lyra.hub.machine import Machine, this_machine
from lyra.hub.packages import missing_packages
from lyra.hub.units import bytes_text
from lyra.hub.weights import Weights

Status = Literal[
    "ready", "needs_packages", "needs_gpu", "needs_licence", "needs_download", "needs_conversion"
]

# With the network brought to the GPU block by block; grows with the network.
LEAST_GPU_BYTES_PER_WEIGHT = 16e9 / 17.03e9
# Networks of more weights than this take days on a CPU.
LARGEST_FOR_CPU = 1e9


@dataclass(frozen=True)
class Readiness:
    """`status`, and `text`: one line for the user that says what is so and what to do next.

    `download_bytes` and `missing` are what is still to be fetched (0 and empty when all is there, whatever the
    status); `licences` are ids still to be accepted; `depth` is the depth model that goes with the engine.
    """

    id: str
    status: Status
    text: str
    download_bytes: int
    missing: tuple[str, ...]
    licences: tuple[str, ...]
    depth: str

    @property
    def ready(self) -> bool:
        return self.status == "ready"


def network_config(weights: Weights) -> NetworkConfig:
    """Of the converted network, else of the checkpoint, else the published one."""
    conversions = ("lyra2-bf16", "lyra2-fp8")
    for file in (weights.conversion(c) / CONFIG for c in conversions if weights.has(c)):
        return NetworkConfig.read(file)
    place = weights.place(item(CHECKPOINT))
    return NetworkConfig.beside(place) if place.is_dir() else NetworkConfig()


def depth_model(weights: Weights, machine: Machine | None = None) -> tuple[str, tuple[str, ...]]:
    """The depth model that an engine takes on `machine`, and the items that it lacks."""
    chosen = choose_model("frames", weights=weights, machine=machine or this_machine())
    return chosen.model, () if chosen.obstacle is None else weights.missing(chosen.model)


def wanted_items(name: str, weights: Weights, depth: str | None = None) -> tuple[str, ...]:
    """Items of an engine with its depth model, or of a depth model or add-on by itself, that are missing.

    `depth` is the user's choice of the depth model, by default the one that the engine takes.
    """
    missing = weights.missing(name)
    if name in ENGINES:
        missing += weights.missing(depth) if depth else depth_model(weights)[1]
    return tuple(dict.fromkeys(missing))


def engine_state(
    engine_id: str,
    device: str | None = None,
    weights: Weights | None = None,
    licences: AcceptedLicences | None = None,
    machine: Machine | None = None,
) -> Readiness:
    """The state of "lyra2" or "lyra2-fast" on `device` ("cpu", "cuda", or None for a GPU where there is one).

    Quick: sizes of files are looked at, nothing is read or imported. Raises InvalidInputError for another engine or a
    damaged settings file.
    """
    weights, licences = weights or Weights(), licences or AcceptedLicences()
    machine = machine or this_machine(device)
    wanted = needs(engine_id)
    depth, depth_missing = depth_model(weights, machine)
    missing = tuple(dict.fromkeys((*weights.missing(engine_id), *depth_missing)))
    size = sum(weights.missing_bytes(i) for i in missing)
    unaccepted = licences.missing((*wanted.licences, *needs(depth).licences))
    packages = missing_packages(dict.fromkeys((*wanted.packages, *needs(depth).packages)))
    config = network_config(weights)

    def state(status: Status, text: str) -> Readiness:
        return Readiness(
            engine_id, status, text, size, missing, tuple(entry.id for entry in unaccepted), depth
        )

    obstacle = _gpu_obstacle(config, machine, device)
    if obstacle:
        return state("needs_gpu", obstacle)
    if packages:
        return state(
            "needs_packages",
            f"Needs {', '.join(packages)}, not installed here; install with: pip install 'lyra-worlds[{wanted.extra}]'",
        )
    if unaccepted:
        names = " ".join(entry.id for entry in unaccepted)
        return state(
            "needs_licence",
            f"Licence not accepted: {'; '.join(entry.label for entry in unaccepted)}. Read and accept it with: "
            f"lyra models licence {names} --accept",
        )
    if missing:
        return state(
            "needs_download", f"Needs download of {bytes_text(size)}: lyra models download {engine_id}"
        )
    if wanted.conversions and weights.usable_conversion(engine_id) is None:
        written = config.bytes_as(wanted.conversions[0])
        return state(
            "needs_conversion",
            f"Downloaded; the network must be converted once ({bytes_text(written)}): lyra models convert",
        )
    return state("ready", f"Ready on {machine.name}.")


def _gpu_obstacle(config: NetworkConfig, machine: Machine, device: str | None) -> str:
    """Why this machine cannot run the network, or ""; a CPU that was asked for is never refused."""
    least = LEAST_GPU_BYTES_PER_WEIGHT * config.parameters
    need = f"Needs a CUDA GPU with at least {bytes_text(least)}"
    if machine.device == "cuda":
        if (machine.memory or 0) >= least:
            return ""
        others = " To use another one of its GPUs, set CUDA_VISIBLE_DEVICES to its number."
        return f"{need}; {machine.name} has {bytes_text(machine.memory or 0)}.{others if machine.gpus > 1 else ''}"
    if device == "cuda" or (device is None and config.parameters > LARGEST_FOR_CPU):
        return f"{need}; this machine has none. Use the engine 'preview', or run the backend on a machine with one."
    return ""
