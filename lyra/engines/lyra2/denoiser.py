"""The network as the sampler calls it: velocity prediction, with a chunk's constant inputs computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from lyra.engines.lyra2.conditioning import Conditioning
from lyra.engines.lyra2.guidance import Guidance
from lyra.engines.lyra2.memory_modes import DeviceMemory


@dataclass(frozen=True)
class Embeddings:
    """What cross-attention sees: `text` and `negative` (1, L, channels), with and without the prompt, and the tokens
    `image` (1, 257, 1280) of the newest frame. `negative` is None where guidance is not active.
    """

    text: torch.Tensor
    negative: torch.Tensor | None
    image: torch.Tensor


class Denoiser:
    """Guided velocities of one chunk.

    `tick` is called before every pass through the network; what it raises ends the sampling.
    """

    def __init__(
        self,
        models: DeviceMemory,
        conditioning: Conditioning,
        embeddings: Embeddings,
        guidance: Guidance,
        tick: Callable[[], None],
    ):
        self.models, self.guidance, self.tick = models, guidance, tick
        like = conditioning.history
        texts = (embeddings.text, embeddings.negative)
        self._texts = [embedding.to(like) for embedding in texts if embedding is not None]
        self._image = embeddings.image.to(like)
        self._contexts: list = []
        self._batched: bool | None = None
        self.prepared = models.attempt(lambda: self._prepare(conditioning))

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The velocity (1, 16, T, h, w) float32 at `latents` of that shape and a timestep in [0, 1000]."""
        return self.models.attempt(lambda: self.guidance.combined(self._branches(latents, timestep)))

    def _prepare(self, conditioning: Conditioning):
        transformer = self.models.use("transformer")
        return transformer.prepare(
            conditioning.history, conditioning.condition, conditioning.rays, conditioning.correspondence
        )

    def _branches(self, latents: torch.Tensor, timestep: torch.Tensor) -> list[torch.Tensor]:
        """The velocity for each text, in one pass through the network or one after the other."""
        transformer = self.models.use("transformer")
        if self._batched is not self.models.placement.batched:
            self._encode_contexts(transformer)
        velocities = []
        for context in self._contexts:
            self.tick()
            velocities.extend(transformer(latents, timestep, self.prepared, context).split(1))
        return velocities

    def _encode_contexts(self, transformer) -> None:
        """Cross-attention's keys and values of the branches, together or one by one."""
        self._contexts = []
        batched = self.models.placement.batched
        texts = [torch.cat(self._texts)] if batched else self._texts
        self._contexts = [transformer.encode_context(text, self._image) for text in texts]
        self._batched = batched
