"""The parts of the Lyra 2.0 engine, each behind an interface, and how the product's are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lyra.depth.base import WindowDepthEstimator
from lyra.engines.lyra2.encoders import ImageEncoder, TextEncoder
from lyra.engines.lyra2.history import Vae
from lyra.engines.lyra2.memory_modes import Footprint, Placement
from lyra.engines.lyra2.noise import NoiseSource


@dataclass(frozen=True)
class Lyra2Components:
    """Everything that makes numbers; any part can be another one with the same interface.

    `transformer` is a `Lyra2Transformer3DModel`. `placement` says where the models lie at first, `footprint` what they
    need, so that the engine knows where to go when memory runs out.
    """

    transformer: Any
    vae: Vae
    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    depth: WindowDepthEstimator
    noise: NoiseSource
    placement: Placement = field(default_factory=Placement)
    footprint: Footprint | None = None
