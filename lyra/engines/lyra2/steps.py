"""The steps of a chunk: retrieve, condition, denoise, decode, estimate depth, remember.

Each takes what the steps before it gave. None changes the state of the world but `remember`, the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lyra.depth.align import DepthAligner
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.conditioning import Conditioner, Conditioning
from lyra.engines.lyra2.denoiser import Denoiser, Embeddings
from lyra.engines.lyra2.depth_loop import LoopDepth, estimate_window, window
from lyra.engines.lyra2.frames import to_uint8
from lyra.engines.lyra2.history import History, encoded_alone
from lyra.engines.lyra2.memory_modes import DeviceMemory
from lyra.engines.lyra2.retrieval import Retrieval
from lyra.engines.lyra2.samplers import OnStep
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.state import ChunkRecord, Lyra2State
from lyra.geometry.cameras import Trajectory


@dataclass(frozen=True)
class Decoded:
    """The frames of a chunk (1, 3, 80, H, W) as they were decoded, possibly beyond [-1, 1], their re-encoded `latents`
    (1, 16, 20, h, w), and the `history` that ends with them.
    """

    frames: torch.Tensor
    latents: torch.Tensor
    history: History


class ChunkSteps:
    """The steps, over the models of one engine. `path` is always the cameras of all frames up to the chunk's end."""

    def __init__(
        self, parts: Lyra2Components, settings: Lyra2Settings, models: DeviceMemory, device: torch.device
    ):
        self.parts, self.models, self.device = parts, models, device
        self.layout = parts.transformer.layout
        self.retrieval = Retrieval(len(self.layout.spatial_slots), settings.retrieval_views)
        self.conditioner = Conditioner(self.layout, device, parts.transformer.dtype)
        self.guidance = settings.make_guidance()
        self.sampler = settings.make_sampler()
        self.aligner = DepthAligner() if settings.depth_alignment == "memory" else None

    def embed_text(self, prompt: str) -> torch.Tensor:
        """The embedding (1, L, channels) of a prompt; the text encoder stays where it is."""
        return self.models.attempt(lambda: self.models.use("text").encode(prompt))

    def embed_image(self, history: History) -> torch.Tensor:
        """The tokens (1, 257, 1280) of the newest frame."""
        return self.models.attempt(lambda: self.models.use("image").encode(history.newest))

    def retrieve(self, state: Lyra2State, path: Trajectory) -> list[int]:
        """Ids of the remembered frames that the network is shown, best last."""
        known = state.history.frames
        return self.models.attempt(lambda: self.retrieval.frames(state.memory, path, known))

    def condition(self, state: Lyra2State, path: Trajectory, retrieved: list[int]) -> Conditioning:
        """History, warped newest frame, rays and correspondences."""
        return self.models.attempt(
            lambda: self.conditioner.build(
                state.history, state.memory, path, retrieved, self.models.use("vae")
            )
        )

    def denoiser(
        self, conditioning: Conditioning, embeddings: Embeddings, tick: Callable[[], None] = lambda: None
    ) -> Denoiser:
        """The guided network for this chunk; it does not hold on to the conditioning."""
        return Denoiser(self.models, conditioning, embeddings, self.guidance, tick)

    def denoise(
        self, denoiser: Denoiser, history: History, seed: int, on_step: OnStep = lambda *_: None
    ) -> torch.Tensor:
        """Clean latents (1, 16, 20, h, w) float32; their noise follows from the chunk's own `seed`."""
        channels, _, h, w = history.anchor.shape[1:]
        noise, layout = self.parts.noise, self.layout

        def fresh(step: int) -> torch.Tensor:
            # Published: noise is drawn for history slots too, and not used there.
            drawn = noise.fresh(seed, step, (layout.slots, channels, h, w))
            return drawn[layout.history_slots :].transpose(0, 1)[None].to(self.device)

        initial = noise.initial(seed, (1, channels, layout.generated, h, w)).to(self.device)
        return self.sampler.sample(denoiser.velocity, initial, fresh, on_step)

    def decode(self, history: History, sampled: torch.Tensor) -> Decoded:
        """The frames of sampled latents, encoded again: the network's history is what the VAE makes of its frames."""

        def advanced() -> Decoded:
            vae = self.models.use("vae")
            after, frames, latents = history.caches_on(self.device).advanced(vae, sampled)
            return Decoded(frames, latents, self.set_aside(after))

        return self.models.attempt(advanced)

    def estimate_depth(self, state: Lyra2State, path: Trajectory, decoded: Decoded) -> LoopDepth:
        """Depth of the frames that are going to be remembered, at the scale of those that are."""
        known = state.history.frames
        ids = [frame for frame in window(decoded.history.frames - 1) if frame not in state.memory]
        images = to_uint8(decoded.frames[:, :, [frame - known for frame in ids]], rounded=True)
        return self.models.attempt(
            lambda: estimate_window(
                self.models.use("depth"),
                self.aligner,
                images,
                ids,
                path,
                state.memory,
                state.depth_fit,
            )
        )

    def remember(
        self, state: Lyra2State, path: Trajectory, sampled: torch.Tensor, decoded: Decoded, depth: LoopDepth
    ) -> ChunkRecord:
        """Makes the chunk part of the world; returns what of it must be kept for `restore`."""
        known = state.history.frames
        chosen = {frame: decoded.frames[:, :, frame - known] for frame in depth.ids}
        stills = self.models.attempt(lambda: encoded_alone(self.models.use("vae"), chosen))
        record = ChunkRecord(sampled, depth.ids, depth.depth, stills, depth.fit)
        state.commit_chunk(record, path, decoded.history)
        return record

    def set_aside(self, history: History) -> History:
        """The history with its caches where they are not in the network's way."""
        return history if self.models.placement.together else history.caches_on("cpu")

    def preview(self, clean: torch.Tensor) -> np.ndarray:
        """The middle frame (H, W, 3) uint8 of a chunk whose clean latents (1, 16, 20, h, w) are estimated."""
        middle = clean.shape[2] // 2
        frames, _ = self.parts.vae.decode(clean[:, :, middle : middle + 1])
        return to_uint8(frames)[0]
