"""The Lyra 2.0 engine: 80 frames at a time from a text, the past, and what is remembered of the place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.depth.align import DepthAligner
from lyra.engines.lyra2.allocation import out_of_memory
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.conditioning import Cameras, Conditioner, Conditioning
from lyra.engines.lyra2.denoiser import Denoiser
from lyra.engines.lyra2.depth_loop import depth_between, estimate_window, window
from lyra.engines.lyra2.history import History, encoded_alone
from lyra.engines.lyra2.memory_modes import DeviceMemory
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.state import ChunkRecord, Lyra2State
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.memory import GeometryCache, MemorySettings
from lyra.world.chunks import ChunkFrames

STAGE = "frames"
PREVIEW_SECONDS = 1.0
# What a chunk takes besides its passes through the network, in passes: conditioning, VAE, depth.
BEFORE, DECODING, DEPTH = 2.0, 2.0, 2.0


@dataclass(frozen=True)
class MadeChunk:
    """A chunk that is not part of the world yet.

    `frames` (1, 3, 80, H, W) as they were decoded, possibly beyond [-1, 1]; `sampled` and, re-encoded from the frames,
    `latents` (1, 16, 20, h, w). It was made from the frames `remembered`, of which `retrieved` were shown to the
    network, best last. `history` and `cameras` include it.
    """

    frames: torch.Tensor
    sampled: torch.Tensor
    latents: torch.Tensor
    remembered: tuple[int, ...]
    retrieved: tuple[int, ...]
    history: History
    cameras: Cameras


class Lyra2Engine:
    """Frames by diffusion, equal to the published model's; see `lyra.engines.base.Engine`.

    What users call (`seed`, `extend`, `restore`) are thin layers over `start`, `make_chunk` and `take_in`, which speak
    floats.
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
        self.layout = components.transformer.layout
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
        self.conditioner = Conditioner(
            self.layout, self.device, components.transformer.dtype, self.settings.retrieval_views
        )
        self.sampler = self.settings.make_sampler()
        self.shows_previews = True
        self.aligner = DepthAligner() if self.settings.depth_alignment == "memory" else None

    def start(
        self, image: torch.Tensor, depth: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray
    ) -> Lyra2State:
        """A world that is one `image` (1, 3, H, W) in [-1, 1] with `depth` (H, W), `w2c` and `intrinsics`."""
        history = self.models.attempt(
            lambda: History.begin(self.models.use("vae"), image.to(self.device), self.layout)
        )
        memory = GeometryCache(*depth.shape, MemorySettings.published(), device=self.device.type)
        memory.add(0, depth, w2c, intrinsics)
        cameras = Cameras(np.asarray(w2c, np.float64)[None], np.asarray(intrinsics, np.float64)[None])
        return Lyra2State(self._set_aside(history), memory, cameras)

    @torch.no_grad()
    def make_chunk(
        self,
        state: Lyra2State,
        w2c: np.ndarray,
        intrinsics: np.ndarray,
        prompt: str,
        seed: int,
        progress: Progress = SILENT,
    ) -> MadeChunk:
        """The frames of the cameras `w2c` (80, 4, 4), `intrinsics` (80, 3, 3) that follow `state`.

        The state stays as it is until `take_in`. `seed` is the chunk's own; published: that of the world plus the
        chunk's number.
        """
        cameras = state.cameras.followed_by(w2c, intrinsics)
        watch = _Watch(progress, self.sampler.passes, self._preview)
        text = self._embed(prompt)
        negative = self.parts.text_encoder.negative() if self.settings.guided else None
        watch.tick()
        newest = state.history.newest
        tokens = self.models.attempt(lambda: self.models.use("image").encode(newest))
        watch.tick()
        conditioning = self.models.attempt(lambda: self._condition(state, cameras))
        watch.tick()
        retrieved = conditioning.retrieved
        denoiser = Denoiser(
            self.models, conditioning, text, negative, tokens, self.settings.guidance, watch.tick
        )
        del conditioning
        sampled = self._sample(denoiser, state, seed, watch)
        del denoiser
        history, frames, latents = self.models.attempt(lambda: self._advance(state.history, sampled))
        remembered = tuple(state.memory.frame_ids)
        return MadeChunk(frames, sampled, latents, remembered, retrieved, history, cameras)

    def take_in(self, state: Lyra2State, made: MadeChunk) -> tuple[ChunkRecord, tuple[str, ...]]:
        """Makes a chunk part of the world: estimates depth and remembers frames. Returns its record and notes."""
        known = state.history.frames
        ids = [frame for frame in window(made.history.frames - 1) if frame not in state.memory]
        chosen = made.frames[:, :, [frame - known for frame in ids]]
        images = to_uint8(chosen, rounded=True)
        loop = self.models.attempt(
            lambda: estimate_window(
                self.models.use("depth"),
                self.aligner,
                images,
                ids,
                made.cameras,
                state.memory,
                state.depth_fit,
            )
        )
        stills = self.models.attempt(
            lambda: encoded_alone(self.models.use("vae"), dict(zip(ids, chosen.unbind(2), strict=True)))
        )
        record = ChunkRecord(made.sampled, loop.ids, loop.depth, stills, loop.fit)
        _remember(state, made.history, made.cameras, record)
        return record, loop.notes

    def announce(self, prompts: Sequence[str]) -> None:
        """Reads the texts of chunks to come while the text encoder is loaded once."""
        for prompt in dict.fromkeys(prompts):
            self._read(prompt)
        self.models.release("text")

    def close(self) -> None:
        """Gives the memory of all models back; the engine cannot be used any more."""
        # First: memory can be given back once nothing here holds on to the models.
        del self.parts, self.conditioner
        self.models.close()

    def seed(self, view: View) -> Lyra2State:
        """The state of a world that knows only its first frame."""
        image = torch.tensor(view.image).permute(2, 0, 1)[None]
        # Published: the picture, too, has the type that frames are decoded in.
        image = (image.float() / 255 * 2 - 1).to(self.parts.vae.dtype)
        return self.start(image, view.depth, np.eye(4), view.intrinsics)

    def extend(
        self, state: Lyra2State, trajectory: Trajectory, prompt: str, seed: int, progress: Progress
    ) -> ChunkFrames:
        """See `lyra.engines.base.Engine`. `seed` is the chunk's own."""
        share = 1 - DEPTH / (BEFORE + self.sampler.passes + DECODING + DEPTH)
        newest = state.history.frames - 1
        before = state.memory[newest].depth
        made = self.make_chunk(
            state, trajectory.w2c, trajectory.intrinsics, prompt, seed, progress.part(0, share)
        )
        frames = to_uint8(made.frames)
        progress.update(STAGE, share, frames[-1])
        record, notes = self.take_in(state, made)
        progress.update(STAGE, (1 + share) / 2, frames[-1])
        known = {newest: before, **dict(zip(record.remembered, record.depth, strict=True))}
        new = range(newest + 1, newest + 1 + len(trajectory))
        depth = self.models.attempt(lambda: depth_between(known, new, made.cameras, self.device.type))
        return ChunkFrames(frames, depth, record.arrays(), (*self.models.taken_notes(), *notes))

    def restore(self, world) -> Lyra2State:
        """The state after the whole chunks of `world`, equal in every bit to that of an uninterrupted run."""
        state = self.seed(world.seed_view())
        sampled: list[torch.Tensor] = []
        for chunk in world.chunks:
            arrays = chunk.load_state()
            if not arrays:
                raise InvalidInputError(
                    f"{chunk.folder} has no state.npz, without which no chunk can follow it; restore it from a copy, "
                    f"or revert the world to {chunk.index - 1} chunks."
                )
            trajectory = chunk.load_trajectory()
            cameras = state.cameras.followed_by(trajectory.w2c, trajectory.intrinsics)
            known = range(len(state.cameras), len(cameras))
            size = (world.height, world.width)
            record = ChunkRecord.of(arrays, self.parts.vae.dtype, chunk.folder / "state.npz", known, size)
            _remember(state, state.history, cameras, record)
            sampled.append(record.sampled)
        state.history = self._set_aside(
            self.models.attempt(
                lambda: state.history.caches_on(self.device).replayed(self.models.use("vae"), sampled)
            )
        )
        return state

    def _embed(self, prompt: str) -> torch.Tensor:
        text = self._read(prompt)
        # 11 GB that the rest of the chunk has no use for; embeddings stay.
        self.models.release("text")
        return text

    def _read(self, prompt: str) -> torch.Tensor:
        return self.models.attempt(lambda: self.models.use("text").encode(prompt))

    def _condition(self, state: Lyra2State, cameras: Cameras) -> Conditioning:
        return self.conditioner.build(state.history, state.memory, cameras, self.models.use("vae"))

    def _sample(self, denoiser: Denoiser, state: Lyra2State, seed: int, watch: _Watch) -> torch.Tensor:
        channels, _, h, w = state.history.anchor.shape[1:]
        noise, layout = self.parts.noise, self.layout

        def fresh(step: int) -> torch.Tensor:
            # Published: noise is drawn for history slots too, and not used there.
            drawn = noise.fresh(seed, step, (layout.slots, channels, h, w))
            return drawn[layout.history_slots :].transpose(0, 1)[None].to(self.device)

        initial = noise.initial(seed, (1, channels, layout.generated, h, w)).to(self.device)
        return self.sampler.sample(denoiser.velocity, initial, fresh, watch.step)

    def _advance(self, history: History, sampled: torch.Tensor) -> tuple[History, torch.Tensor, torch.Tensor]:
        vae = self.models.use("vae")
        after, frames, latents = history.caches_on(self.device).advanced(vae, sampled)
        return self._set_aside(after), frames, latents

    def _set_aside(self, history: History) -> History:
        """The history with its caches where they are not in the network's way."""
        return history if self.models.placement.together else history.caches_on("cpu")

    def _preview(self, clean: torch.Tensor) -> np.ndarray | None:
        """The middle of a chunk as its clean latents (1, 16, 20, h, w) are estimated, (H, W, 3) uint8.

        None once memory did not suffice for it: the network needs what there is.
        """
        if not self.shows_previews:
            return None
        middle = clean.shape[2] // 2
        try:
            frames, _ = self.parts.vae.decode(clean[:, :, middle : middle + 1])
        except RuntimeError as error:
            if out_of_memory(error) is None:
                raise
            self.shows_previews = False
            self.models.notes.append(
                f"The memory of {self.device} has no room for previews beside the network."
            )
            return None
        return to_uint8(frames)[0]


class _Watch:
    """Tells the user how far a chunk is, with a preview now and then, and stops it when asked to."""

    def __init__(self, progress: Progress, passes: int, preview: Callable[[torch.Tensor], np.ndarray | None]):
        self.progress, self.preview = progress, preview
        self.total = BEFORE + passes + DECODING
        self.done = 0.0
        self.shown = time.monotonic()

    def tick(self) -> None:
        self.progress.update(STAGE, self.done / self.total)

    def step(self, done: int, passes: int, clean: torch.Tensor) -> None:
        """After each step of the sampler."""
        self.done = BEFORE + done
        frame = None
        if time.monotonic() - self.shown >= PREVIEW_SECONDS:
            frame = self.preview(clean)
            self.shown = time.monotonic()
        self.progress.update(STAGE, self.done / self.total, frame)


def _remember(state: Lyra2State, history: History, cameras: Cameras, record: ChunkRecord) -> None:
    """Brings `state` up to date with one more chunk."""
    for frame, depth in zip(record.remembered, record.depth, strict=True):
        state.memory.add(frame, depth, cameras.w2c[frame], cameras.intrinsics[frame])
    state.history = history.remembering(record.stills)
    state.cameras = cameras
    state.depth_fit = record.depth_fit


def to_uint8(frames: torch.Tensor, rounded: bool = False) -> np.ndarray:
    """Frames (1, 3, F, H, W) in [-1, 1] as (F, H, W, 3) uint8.

    As published: clamped and cut off for what people see, `rounded` for the depth estimator.
    """
    values = (frames[0].float() * 0.5 + 0.5).clamp(0, 1) * 255 + (0.5 if rounded else 0.0)
    return values.to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
