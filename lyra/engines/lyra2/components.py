"""Components of the Lyra 2.0 engine as protocols, and how they are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lyra.depth import create_window_estimator
from lyra.depth.base import WindowDepthEstimator
from lyra.engines.lyra2.allocation import give_back
from lyra.engines.lyra2.clip import ClipImageEncoder
from lyra.engines.lyra2.encoders import ImageEncoder, TextEncoder
from lyra.engines.lyra2.history import Vae
from lyra.engines.lyra2.memory_modes import Footprint, Placement, choose_placement, load_with_room
from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.engines.lyra2.noise import NoiseSource, SeededNoise
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.text import Umt5TextEncoder
from lyra.engines.lyra2.vae import load_vae
from lyra.engines.lyra2.weights import load_transformer
from lyra.engines.planning import model_bytes
from lyra.hub import Weights
from lyra.hub.catalog import FRAME_HW, needs
from lyra.hub.machine import this_machine

DISTILLATION_STRENGTH = 1.0


@dataclass(frozen=True)
class Lyra2Components:
    """Everything that makes numbers; any part can be another one with the same interface.

    `transformer` is a `Lyra2Transformer3DModel`. `placement` says where the models lie at first, `footprint` what they
    need, so that the engine knows where to go when memory runs out; `notes` what the user should know of the loading.
    """

    transformer: Any
    vae: Vae
    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    depth: WindowDepthEstimator
    noise: NoiseSource
    placement: Placement = field(default_factory=Placement)
    footprint: Footprint | None = None
    notes: tuple[str, ...] = ()


def load_components(
    settings: Lyra2Settings, device: torch.device, weights: Weights | None = None
) -> Lyra2Components:
    """The published parts from the weights folder: in bfloat16 on a GPU, in float32 on a CPU.

    Encoders load themselves when they are first used. Raises EngineNotReadyError that names the command to run where
    something is missing, and where memory runs out in the last of the modes; InvalidInputError for damaged files.
    """
    weights = weights or Weights()
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    distilled = settings.sampler == "dmd"
    vae_folder = weights.path("wan-vae")
    text_folder, image_folder = weights.path("wan-text-encoder"), weights.path("wan-image-encoder")
    weights.path("wan-tokenizer")
    negative = weights.path("lyra2-negative-prompt")
    loras = {weights.path("lyra2-distillation"): DISTILLATION_STRENGTH} if distilled else {}
    if settings.styles:
        loras |= {weights.path(item): settings.styles for item in needs("lyra2-styles").items}
    depth = create_window_estimator(device=device.type, machine=this_machine(device.type))
    footprint = footprint_of(weights, network_folder(weights, None, bool(loras)), depth.id, FRAME_HW)
    placement = Placement(settings.memory_mode or "resident")
    if cuda:
        # An engine that failed or was stopped was closed while its error still held on to the network.
        give_back(device)
        placement = choose_placement(footprint, torch.cuda.mem_get_info(device)[0], settings.memory_mode)

    def load(place: Placement) -> tuple[Any, Vae]:
        network = load_transformer(
            network_folder(weights, place.mode, bool(loras)),
            dtype,
            "cpu" if place.mode == "offload" else device,
            loras,
            float8=place.mode == "fp8",
        )
        return network, load_vae(vae_folder, dtype, device)

    (transformer, vae), placement, notes = load_with_room(load, placement, footprint, device)
    if settings.compile:
        transformer.compile_repeated_blocks()
    return Lyra2Components(
        transformer=transformer,
        vae=vae,
        text_encoder=Umt5TextEncoder(text_folder.parent, negative, dtype, device, resident=True),
        image_encoder=ClipImageEncoder(image_folder.parent, torch.float16 if cuda else torch.float32, device),
        depth=depth,
        noise=SeededNoise(),
        placement=placement,
        footprint=footprint,
        notes=notes,
    )


def network_folder(weights: Weights, mode: str | None, merges: bool) -> Path:
    """The converted network that a memory mode starts from; one that LoRA files are merged into is in bfloat16.

    Raises EngineNotReadyError when there is none.
    """
    if not merges and (mode == "fp8" or not weights.has("lyra2-bf16")) and weights.has("lyra2-fp8"):
        return weights.path("lyra2-fp8")
    return weights.path("lyra2-bf16")


def footprint_of(weights: Weights, network: Path, depth: str, frame_hw: tuple[int, int]) -> Footprint:
    """What the published parts need for frames of `frame_hw`, with the depth model `depth` (an id)."""
    config = NetworkConfig.read(network / CONFIG)
    others, stage = model_bytes(weights, depth, frame_hw)
    return Footprint.of_network(
        config.parameters,
        config.num_layers,
        config.dim,
        config.ffn_dim,
        config.tokens(*frame_hw),
        others=others,
        stage=stage,
    )
