"""Whether an engine can run here, and if not, what is next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.hub.catalog import CHECKPOINT, DEPTH_MODELS, ENGINES, item, needs
from lyra.hub.licences import AcceptedLicences
from lyra.hub.machine import PLANNED_SHARE, Machine, this_machine
from lyra.hub.packages import missing_packages
from lyra.hub.units import bytes_text
from lyra.hub.weights import Weights

Status = Literal[
    "ready", "needs_packages", "needs_gpu", "needs_licence", "needs_download", "needs_conversion"
]

DEFAULT_DEPTH = "depth-anything-v2"
# With the network brought to the GPU block by block; grows with the network.
LEAST_GPU_BYTES_PER_WEIGHT = 16e9 / 17.03e9
# Networks of more weights than this take days on a CPU.
LARGEST_FOR_CPU = 1e9


@dataclass(frozen=True)
class EngineState:
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


def has_room(depth: str, machine: Machine) -> bool:
    """Whether the GPU's memory is large enough for a depth model at work; a CPU is never too small.

    Of what the GPU has, not of what is free: another model gives other depth, so that a world could not be resumed.
    """
    memory = max(item(i).memory for i in needs(depth).items)
    return machine.device != "cuda" or memory <= PLANNED_SHARE * machine.memory


def depth_model(weights: Weights, machine: Machine | None = None) -> str:
    """The best depth model that is whole, has its package and has room on `machine`, else the one to fetch."""
    machine = machine or this_machine()
    usable = (
        n.id
        for n in DEPTH_MODELS.values()
        if not weights.missing(n.id) and not missing_packages(n.packages) and has_room(n.id, machine)
    )
    return next(usable, DEFAULT_DEPTH)


def wanted_items(name: str, weights: Weights, depth: str | None = None) -> tuple[str, ...]:
    """Items of an engine with its depth model, or of a depth model or add-on by itself, that are missing."""
    missing = weights.missing(name)
    if name in ENGINES:
        missing += weights.missing(depth or depth_model(weights))
    return tuple(dict.fromkeys(missing))


def engine_state(
    engine_id: str,
    device: str | None = None,
    weights: Weights | None = None,
    licences: AcceptedLicences | None = None,
    machine: Machine | None = None,
) -> EngineState:
    """The state of "lyra2" or "lyra2-fast" on `device` ("cpu", "cuda", or None for a GPU where there is one).

    Quick: sizes of files are looked at, nothing is read or imported. Raises InvalidInputError for another engine or a
    damaged settings file.
    """
    weights, licences = weights or Weights(), licences or AcceptedLicences()
    machine = machine or this_machine(device)
    wanted = needs(engine_id)
    depth = depth_model(weights, machine)
    missing = wanted_items(engine_id, weights, depth)
    size = sum(weights.missing_bytes(i) for i in missing)
    unaccepted = licences.missing((*wanted.licences, *needs(depth).licences))
    packages = missing_packages(dict.fromkeys((*wanted.packages, *needs(depth).packages)))
    config = network_config(weights)

    def state(status: Status, text: str) -> EngineState:
        return EngineState(
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
        if machine.memory >= least:
            return ""
        others = " To use another one of its GPUs, set CUDA_VISIBLE_DEVICES to its number."
        return f"{need}; {machine.name} has {bytes_text(machine.memory)}.{others if machine.gpus > 1 else ''}"
    if device == "cuda" or (device is None and config.parameters > LARGEST_FOR_CPU):
        return f"{need}; this machine has none. Use the engine 'preview', or run the backend on a machine with one."
    return ""
