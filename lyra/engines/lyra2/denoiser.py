"""The network as the sampler sees it: a velocity with guidance, everything constant of a chunk computed once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lyra.engines.lyra2.conditioning import Conditioning
from lyra.engines.lyra2.memory_modes import DeviceMemory


class Denoiser:
    """Velocities of one chunk.

    `text` and `negative` (1, L, channels) are the embeddings with and without the prompt, `negative` None where there
    is no guidance; `image` (1, 257, 1280) are the tokens of the newest frame. `tick` is called before every pass
    through the network; what it raises ends the sampling.
    """

    def __init__(
        self,
        memory: DeviceMemory,
        conditioning: Conditioning,
        text: torch.Tensor,
        negative: torch.Tensor | None,
        image: torch.Tensor,
        guidance: float,
        tick: Callable[[], None],
    ):
        self.memory, self.guidance, self.tick = memory, guidance, tick
        like = conditioning.history
        self._texts = [embedding.to(like) for embedding in (text, negative) if embedding is not None]
        self._image = image.to(like)
        self._contexts: list = []
        self._batched: bool | None = None
        self.prepared = memory.attempt(lambda: self._prepare(conditioning))

    def velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The velocity (1, 16, T, h, w) float32 at `latents` of that shape and a timestep in [0, 1000].

        Guided as published: v_negative + guidance (v_text - v_negative).
        """
        return self.memory.attempt(lambda: self._velocity(latents, timestep))

    def _prepare(self, conditioning: Conditioning):
        transformer = self.memory.use("transformer")
        return transformer.prepare(
            conditioning.history, conditioning.condition, conditioning.rays, conditioning.correspondence
        )

    def _velocity(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        transformer = self.memory.use("transformer")
        if self._batched is not self.memory.placement.batched:
            self._encode_contexts(transformer)
        branches = []
        for context in self._contexts:
            self.tick()
            branches.extend(transformer(latents, timestep, self.prepared, context).split(1))
        if len(branches) == 1:
            return branches[0]
        led, negative = branches
        return negative + self.guidance * (led - negative)

    def _encode_contexts(self, transformer) -> None:
        """Cross-attention's keys and values of the branches, together or one by one."""
        self._contexts = []
        batched = self.memory.placement.batched
        texts = [torch.cat(self._texts)] if batched else self._texts
        self._contexts = [transformer.encode_context(text, self._image) for text in texts]
        self._batched = batched
