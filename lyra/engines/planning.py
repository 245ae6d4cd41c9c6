"""Estimates of download, disk, device memory and time for an engine or depth model on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.engines.readiness import depth_model, network_config
from lyra.hub.catalog import CACHE_BYTES_PER_PIXEL, DECODING_BYTES_PER_PIXEL, FRAME_HW, item, needs
from lyra.hub.licences import LICENCES
from lyra.hub.machine import Machine, matmul_rate, this_machine
from lyra.hub.packages import missing_packages
from lyra.hub.units import bytes_text, seconds_text
from lyra.hub.weights import Weights

# Passes of the network per 80 frames: steps times branches of guidance.
PASSES = {"lyra2": 70, "lyra2-fast": 4}
# Share of the rate of a large matrix product that a pass of the network reaches with its attention and norms.
UTILISATION = 0.7
# Everything else of a chunk (text, VAE, depth, warps), in passes of the network; of the order of one.
OTHER_STAGES = 1.5
# The program with its libraries, frames and memory of a world.
PROGRAM_RAM = 6_000_000_000


@dataclass(frozen=True)
class DepthPlan:
    """Bytes of a depth model: still to be fetched, free on the disk of the weights, needed on the machine's device and
    in RAM while it works on frames of 832x480. `notes` are what stands in the way.
    """

    id: str
    machine: Machine
    download: int
    disk_free: int
    memory: int
    ram: int
    licences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What the user reads."""
        rows = [
            ("device", _device(self.machine)),
            ("download", bytes_text(self.download)),
            ("disk free", bytes_text(self.disk_free)),
            ("RAM", f"{bytes_text(self.ram)} of {_known(self.machine.ram, bytes_text)}"),
            ("memory", f"about {bytes_text(self.memory)} for frames of 832x480"),
            ("licences", _labels(self.licences)),
        ]
        return [f"{name:<12} {value}" for name, value in rows] + [f"note: {note}" for note in self.notes]


@dataclass(frozen=True)
class EnginePlan:
    """Bytes, and seconds per 80 frames of `frame_hw`.

    `download` is still to be fetched, `conversion` still to be written, `disk_free` what the disk of the weights
    has. `memory` is what the chosen `memory_mode` needs on the device; both are None where torch is missing.
    `seconds` is None where the speed of the device cannot be measured. `notes` are what stands in the way.
    """

    id: str
    machine: Machine
    depth: str
    frame_hw: tuple[int, int]
    download: int
    conversion: int
    disk_free: int
    ram: int
    memory: int | None
    memory_mode: str | None
    seconds: float | None
    licences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """What the user reads."""
        height, width = self.frame_hw
        conversion = "done"
        if self.conversion:
            conversion = (
                f"{bytes_text(self.conversion)} written once; the checkpoint can be deleted afterwards"
            )
        rows = [
            ("device", _device(self.machine)),
            ("download", bytes_text(self.download)),
            ("conversion", conversion),
            ("disk free", bytes_text(self.disk_free)),
            ("RAM", f"{bytes_text(self.ram)} of {_known(self.machine.ram, bytes_text)}"),
            ("memory mode", self.memory_mode or "unknown"),
            ("memory", _known(self.memory, bytes_text, "about ")),
            ("time", f"{_known(self.seconds, seconds_text, 'about ')} per 80 frames of {width}x{height}"),
            ("depth", self.depth),
            ("licences", _labels(self.licences)),
        ]  # fmt: skip
        return [f"{name:<12} {value}" for name, value in rows] + [f"note: {note}" for note in self.notes]


def _known(value: float | None, text: Callable[[float], str], before: str = "") -> str:
    return "unknown" if value is None else before + text(value)


def _device(machine: Machine) -> str:
    return f"{machine.name}, {_known(machine.memory, bytes_text)}"


def _labels(licences: Sequence[str]) -> str:
    return ", ".join(LICENCES[i].label for i in licences)


def plan_depth(
    depth: str, device: str | None = None, weights: Weights | None = None, machine: Machine | None = None
) -> DepthPlan:
    """The plan of a depth model, an id of DEPTH_MODELS, on `device` as in `plan`."""
    weights = weights or Weights()
    machine = machine or this_machine(device)
    wanted = needs(depth)
    kept = loaded_bytes(weights, *wanted.items)
    memory = kept + wanted.working
    download = sum(weights.missing_bytes(i) for i in wanted.items)
    disk_free = shutil.disk_usage(_existing(weights.root)).free
    # On the way to a GPU the weights go through RAM.
    ram = PROGRAM_RAM + (memory if machine.device == "cpu" else kept)
    notes = _obstacles(machine, weights.root, download, disk_free, ram, memory)
    return DepthPlan(depth, machine, download, disk_free, memory, ram, wanted.licences, notes)


def plan(
    engine_id: str,
    device: str | None = None,
    weights: Weights | None = None,
    frame_hw: tuple[int, int] = FRAME_HW,
    machine: Machine | None = None,
) -> EnginePlan:
    """The plan of "lyra2" or "lyra2-fast" on `device` ("cpu", "cuda", or None for a GPU where there is one).

    Measures the device for a fraction of a second. Raises InvalidInputError for another engine.
    """
    weights = weights or Weights()
    machine = machine or this_machine(device)
    wanted = needs(engine_id)
    depth, depth_missing = depth_model(weights, machine)
    config = network_config(weights)
    missing = dict.fromkeys((*weights.missing(engine_id), *depth_missing))
    download = sum(weights.missing_bytes(i) for i in missing)
    converted = weights.usable_conversion(engine_id)
    conversion = 0 if converted else config.bytes_as(wanted.conversions[0])
    disk_free = shutil.disk_usage(_existing(weights.root)).free
    memory, mode, in_ram = _placement(config, weights, depth, machine, frame_hw)
    rate = matmul_rate(machine.device)
    passes = PASSES[engine_id] + OTHER_STAGES
    return EnginePlan(
        id=engine_id,
        machine=machine,
        depth=depth,
        frame_hw=frame_hw,
        download=download,
        conversion=conversion,
        disk_free=disk_free,
        ram=in_ram,
        memory=memory,
        memory_mode=mode,
        seconds=rate and passes * config.pass_flops(*frame_hw) / (rate * UTILISATION),
        licences=tuple(dict.fromkeys((*wanted.licences, *needs(depth).licences))),
        notes=_obstacles(machine, weights.root, download + conversion, disk_free, in_ram, memory),
    )


def loaded_bytes(weights: Weights, *items: str) -> int:
    """What the weights of `items` take in memory as they are used."""
    return sum(round(item(i).loaded * weights.size(i)) for i in items)


def model_bytes(weights: Weights, depth: str, frame_hw: tuple[int, int]) -> tuple[int, int]:
    """What stays on the device beside the network when all models do, and the most that one of them needs at work.

    `depth` is the id of the depth model.
    """
    text, vae = (loaded_bytes(weights, i) for i in ("wan-text-encoder", "wan-vae"))
    pixels = frame_hw[0] * frame_hw[1]
    kept = vae + CACHE_BYTES_PER_PIXEL * pixels
    depth_kept = loaded_bytes(weights, *needs(depth).items)
    depth_working = needs(depth).working * pixels // (FRAME_HW[0] * FRAME_HW[1])
    others = kept + loaded_bytes(weights, "wan-image-encoder") + depth_kept
    return others, max(text, kept + DECODING_BYTES_PER_PIXEL * pixels, depth_kept + depth_working)


def _placement(
    config: NetworkConfig, weights: Weights, depth: str, machine: Machine, frame_hw: tuple[int, int]
) -> tuple[int | None, str | None, int]:
    """Memory on the device, the memory mode as text, and RAM."""
    others, stage = model_bytes(weights, depth, frame_hw)
    loading = PROGRAM_RAM + loaded_bytes(weights, "wan-text-encoder")
    # Memory modes are the engine's, which cannot be imported without torch.
    if missing_packages(["torch"]) or machine.memory is None:
        return None, None, loading
    from lyra.engines.lyra2.memory_modes import Footprint, Placement, choose_placement

    footprint = Footprint.of_network(
        config.parameters,
        config.num_layers,
        config.dim,
        config.ffn_dim,
        config.tokens(*frame_hw),
        others,
        stage,
    )
    if machine.device == "cpu":
        # The engine computes in float32 there, and everything lies in one memory anyway.
        needed = 2 * footprint.needed(Placement())
        return needed, "all models in RAM, in float32", PROGRAM_RAM + needed
    placement = choose_placement(footprint, machine.memory)
    needed = footprint.needed(placement)
    # What takes turns with other models on the GPU, or comes block by block, waits in RAM.
    waiting = 0 if placement.together else config.bytes_as("lyra2-bf16")
    if placement.mode == "offload":
        waiting = pinned_bytes(config)
    return needed, str(placement), max(loading, PROGRAM_RAM + waiting)


def pinned_bytes(config: NetworkConfig) -> int:
    """RAM of the network in bfloat16 where it waits to be brought to the GPU block by block.

    torch pins memory in powers of two unless PYTORCH_ALLOC_CONF says otherwise, which makes a half more of the
    published network; what is not in a block's large projections is counted plain.
    """
    square, wide = config.dim**2, config.dim * config.ffn_dim
    projections = config.num_layers * (10 * _power_of_two(2 * square) + 2 * _power_of_two(2 * wide))
    return projections + 2 * (config.parameters - config.block_matrices)


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _obstacles(
    machine: Machine, root: Path, writing: int, disk_free: int, ram: int, memory: int | None
) -> tuple[str, ...]:
    notes = []
    if writing > disk_free:
        notes.append(
            f"{root} has {bytes_text(disk_free)} free and {bytes_text(writing)} will be written; free some space, or "
            "choose another disk with LYRA_WEIGHTS."
        )
    if machine.ram is not None and ram > machine.ram:
        notes.append(f"{bytes_text(ram)} of RAM are needed and this machine has {bytes_text(machine.ram)}.")
    if machine.device == "cuda" and memory is not None and memory > (machine.memory or 0):
        notes.append(
            f"{machine.name} has {bytes_text(machine.memory or 0)}, and {bytes_text(memory)} are needed."
        )
    return tuple(notes)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists already."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
