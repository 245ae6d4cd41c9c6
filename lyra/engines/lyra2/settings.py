"""Settings of the Lyra 2.0 engine: sampler, guidance, retrieval, depth, device memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from lyra.engines.lyra2.guidance import Guidance
from lyra.engines.lyra2.samplers import DistilledSampler, Sampler, UniPCSampler
from lyra.world.options import EngineOptions, MemoryMode, default_of

FAST_ENGINE = "lyra2-fast"


@dataclass(frozen=True)
class Lyra2Settings:
    """The published values are the defaults.

    `sampler`: "unipc" takes `steps` with `shift`, led by the text with `guidance`; "dmd" is the distilled model's four
    steps, which know neither. `styles` is the strength of the published style LoRAs. `retrieval_views`: how many of a
    chunk's cameras decide which frames are remembered to the network. `depth_alignment`: "memory" fits the depth of
    new frames to that of remembered ones, "cameras" takes it as the estimator scaled it (published). `memory_mode`:
    see `lyra.engines.lyra2.memory_modes`; None chooses by free memory. `compile`: the network's blocks go through
    torch.compile.
    """

    sampler: Literal["unipc", "dmd"] = "unipc"
    steps: int = default_of("lyra2", "steps")
    shift: float = 5.0
    guidance: float = default_of("lyra2", "guidance")
    styles: float = default_of("lyra2", "styles")
    retrieval_views: int = 1
    depth_alignment: Literal["memory", "cameras"] = "memory"
    memory_mode: MemoryMode | None = None
    compile: bool = False

    @classmethod
    def of(cls, engine_id: str, options: EngineOptions) -> Lyra2Settings:
        """Settings of "lyra2" or "lyra2-fast" as the user wants them; the options are those of that engine."""
        chosen = {name: value for name, value in asdict(options).items() if value is not None}
        return cls(sampler="dmd" if engine_id == FAST_ENGINE else "unipc", **chosen)

    def make_sampler(self) -> Sampler:
        return UniPCSampler(self.steps, self.shift) if self.sampler == "unipc" else DistilledSampler()

    def make_guidance(self) -> Guidance:
        return Guidance(self.guidance if self.sampler == "unipc" else 1.0)
