"""The Lyra 2.0 engine: generates 80 frames at a time from text, history and geometry memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.common.shapes import height_width
from lyra.engines.lyra2.allocation import out_of_memory
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.denoiser import Embeddings
from lyra.engines.lyra2.depth_loop import depth_between
from lyra.engines.lyra2.frames import to_uint8
from lyra.engines.lyra2.history import History
from lyra.engines.lyra2.memory_modes import DeviceMemory
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.state import ChunkRecord, Lyra2State
from lyra.engines.lyra2.steps import ChunkSteps, Decoded
from lyra.engines.lyra2.watch import STAGE, ChunkWatch, generated_share
from lyra.geometry.camera import Camera
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.memory import GeometryCache, MemorySettings
from lyra.world.chunks import Chunk, ChunkFrames


@dataclass(frozen=True)
class Generated:
    """A chunk that is not part of the world yet: `sampled` and decoded latents of the frames that end `path`.

    `retrieved` are the remembered frames that the network was shown, best last.
    """

    path: Trajectory
    retrieved: tuple[int, ...]
    sampled: torch.Tensor
    decoded: Decoded


class Lyra2Engine:
    """Frames by diffusion, equal to the published model's; see `lyra.engines.base.Engine`.

    A chunk is made in the steps of `ChunkSteps`: `generate` takes those until there are frames, `commit` the rest.
    """

    def __init__(
        self,
        components: Lyra2Components,
        settings: Lyra2Settings | None = None,
        engine_id: str = "lyra2",
        device: torch.device | str = "cpu",
    ):
        self.id, self.parts = engine_id, components
        self.settings = settings or Lyra2Settings()
        self.device = torch.device(device)
        self.models = DeviceMemory(
            {
                "transformer": components.transformer,
                "vae": components.vae,
                "text": components.text_encoder,
                "image": components.image_encoder,
                "depth": components.depth,
            },
            self.device,
            components.placement,
            components.footprint,
        )
        self.models.notes.extend(components.notes)
        self.steps = ChunkSteps(components, self.settings, self.models, self.device)
        self.shows_previews = True

    def begin(self, view: View) -> Lyra2State:
        """The state of a world that is one frame."""
        image = torch.tensor(view.image).permute(2, 0, 1)[None]
        # Published: the picture, too, has the type that frames are decoded in.
        image = (image.float() / 255 * 2 - 1).to(self.parts.vae.dtype)
        return self.begin_with(image, view.depth, view.camera)

    def begin_with(self, image: torch.Tensor, depth: np.ndarray, camera: Camera) -> Lyra2State:
        """As `begin`, of an `image` (1, 3, H, W) in [-1, 1] and its `depth` (H, W)."""
        history = self.models.attempt(
            lambda: History.begin(self.models.use("vae"), image.to(self.device), self.steps.layout)
        )
        memory = GeometryCache(*height_width(depth), MemorySettings.published(), device=self.device.type)
        memory.add(0, depth, camera.w2c, camera.intrinsics)
        path = Trajectory(camera.w2c[None], camera.intrinsics[None], camera.height, camera.width)
        return Lyra2State(self.steps.set_aside(history), memory, path)

    def extend(
        self, state: Lyra2State, cameras: Trajectory, prompt: str, seed: int, progress: Progress
    ) -> ChunkFrames:
        """See `lyra.engines.base.Engine`. `seed` is the chunk's own."""
        share = generated_share(self.steps.sampler.passes)
        newest = state.history.frames - 1
        before = state.memory[newest].depth
        made = self.generate(state, cameras, prompt, seed, progress.part(0, share))
        frames = to_uint8(made.decoded.frames)
        progress.update(STAGE, share, frames[-1])
        record, notes = self.commit(state, made)
        progress.update(STAGE, (1 + share) / 2, frames[-1])
        known = {newest: before, **dict(zip(record.remembered, record.depth, strict=True))}
        new = range(newest + 1, newest + 1 + len(cameras))
        depth = self.models.attempt(lambda: depth_between(known, new, made.path, self.device.type))
        return ChunkFrames(frames, depth, record.arrays(), (*self.models.taken_notes(), *notes))

    @torch.no_grad()
    def generate(
        self, state: Lyra2State, cameras: Trajectory, prompt: str, seed: int, progress: Progress = SILENT
    ) -> Generated:
        """Retrieve, condition, denoise, decode: the frames of `cameras`, which follow `state`; it stays as it is.

        `seed` is the chunk's own; published: that of the world plus the chunk's number.
        """
        steps = self.steps
        path = Trajectory.joined([state.path, cameras])
        watch = ChunkWatch(progress, steps.sampler.passes, self._preview)
        embeddings = self._embed(state, prompt, watch)
        retrieved = steps.retrieve(state, path)
        conditioning = steps.condition(state, path, retrieved)
        watch.tick()
        denoiser = steps.denoiser(conditioning, embeddings, watch.tick)
        # Hundreds of megabytes on the device, of which the network keeps what it needs.
        del conditioning
        sampled = steps.denoise(denoiser, state.history, seed, watch.step)
        del denoiser
        return Generated(path, tuple(retrieved), sampled, steps.decode(state.history, sampled))

    def commit(self, state: Lyra2State, made: Generated) -> tuple[ChunkRecord, tuple[str, ...]]:
        """Estimate depth, remember: makes a chunk part of `state`. Returns its record and notes for the user."""
        depth = self.steps.estimate_depth(state, made.path, made.decoded)
        record = self.steps.remember(state, made.path, made.sampled, made.decoded, depth)
        return record, depth.notes

    def announce(self, prompts: Sequence[str]) -> None:
        """Embeds the prompts of chunks to come while the text encoder is loaded once."""
        for prompt in dict.fromkeys(prompts):
            self.steps.embed_text(prompt)
        self.models.release("text")

    def close(self) -> None:
        """Gives the memory of all models back; the engine cannot be used any more."""
        # First: memory can be given back once nothing here holds on to the models.
        del self.parts, self.steps
        self.models.close()

    def restore(self, view: View, chunks: Sequence[Chunk]) -> Lyra2State:
        """The state after a line of whole chunks, equal in every bit to that of an uninterrupted run."""
        state = self.begin(view)
        sampled: list[torch.Tensor] = []
        for chunk in chunks:
            arrays = chunk.load_state()
            if not arrays:
                raise InvalidInputError(
                    f"{chunk.folder} has no state.npz, without which no chunk can follow it; restore it from a copy, "
                    f"or revert the world to {chunk.index - 1} chunks."
                )
            path = Trajectory.joined([state.path, chunk.load_trajectory()])
            known = range(len(state.path), len(path))
            size = (view.height, view.width)
            record = ChunkRecord.of(arrays, self.parts.vae.dtype, chunk.folder / "state.npz", known, size)
            state.commit_chunk(record, path, state.history)
            sampled.append(record.sampled)
        state.history = self.steps.set_aside(
            self.models.attempt(
                lambda: state.history.caches_on(self.device).replayed(self.models.use("vae"), sampled)
            )
        )
        return state

    def _embed(self, state: Lyra2State, prompt: str, watch: ChunkWatch) -> Embeddings:
        text = self.steps.embed_text(prompt)
        # 11 GB that the rest of the chunk has no use for; embeddings stay.
        self.models.release("text")
        negative = self.parts.text_encoder.negative() if self.steps.guidance.active else None
        watch.tick()
        image = self.steps.embed_image(state.history)
        watch.tick()
        return Embeddings(text, negative, image)

    def _preview(self, clean: torch.Tensor) -> np.ndarray | None:
        """A picture of estimated latents; None once memory did not suffice for it: the network needs what there is."""
        if not self.shows_previews:
            return None
        try:
            return self.steps.preview(clean)
        except RuntimeError as error:
            if out_of_memory(error) is None:
                raise
            self.shows_previews = False
            self.models.notes.append(
                f"The memory of {self.device} has no room for previews beside the network."
            )
            return None
