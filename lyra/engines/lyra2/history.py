"""History of a world: latents of all frames, the newest frame, and the live caches of the VAE.

Published in Lyra 2.0. A session starts as if the picture had been filmed for as long as the temporal slots reach.
Every sampled chunk is decoded with the live cache and encoded again with the live cache: the re-encoded latents,
not the sampled ones, are the history of the next chunk. The network was trained on that round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from lyra.engines.lyra2.framepack import FramePackLayout
from lyra.engines.lyra2.latents import FRAMES_PER_LATENT
from lyra.engines.lyra2.vae import DECODER_REACH, ENCODER_REACH


class Vae(Protocol):
    """What the engine needs of a VAE; `lyra.engines.lyra2.vae.StreamingVae` is the product's.

    Videos are (1, 3, F, H, W) in [-1, 1], latents (1, 16, k, H/8, W/8) normalised. Caches are values: they can be
    kept and used again. `dtype` is the type that frames are decoded in.
    """

    @property
    def dtype(self) -> torch.dtype: ...

    def encode(self, video: torch.Tensor, cache: Any = None) -> tuple[torch.Tensor, Any]:
        """1 + 4k frames to 1 + k latents; with a cache, 4k frames to k latents."""
        ...

    def decode(self, latents: torch.Tensor, cache: Any = None) -> tuple[torch.Tensor, Any]:
        """1 + k latents to 1 + 4k frames, not clamped; with a cache, k latents to 4k frames."""
        ...


@dataclass(frozen=True)
class History:
    """The past of a walkthrough up to frame `frames - 1`.

    `anchor` (1, 16, 1, h, w) is the latent of frame 0; `recent` (1, 16, r, h, w) are the newest latents, oldest
    first; `newest` (1, 3, H, W) is the newest frame as it was decoded, possibly beyond [-1, 1]. `stills` holds the
    latent (1, 16, 1, h, w) of each remembered frame encoded on its own, on the CPU.
    """

    anchor: torch.Tensor
    recent: torch.Tensor
    newest: torch.Tensor
    frames: int
    stills: Mapping[int, torch.Tensor]
    encoder_cache: Any = field(repr=False)
    decoder_cache: Any = field(repr=False)

    @classmethod
    def begin(cls, vae: Vae, image: torch.Tensor, layout: FramePackLayout) -> History:
        """The past of a world that is one `image` (1, 3, H, W)."""
        filmed = image[:, :, None].expand(-1, -1, 1 + FRAMES_PER_LATENT * (layout.history_slots - 1), -1, -1)
        latents, encoder_cache = vae.encode(filmed)
        # Only for the state that it leaves: the frames would be the picture again.
        _, decoder_cache = vae.decode(latents)
        anchor = latents[:, :, :1]
        recent = latents[:, :, -(len(layout.temporal_slots) - 1) :]
        # The VAE is causal, so the first latent of a video is the latent of its first frame alone.
        return cls(anchor, recent, image, 1, {0: anchor.cpu()}, encoder_cache, decoder_cache)

    def advanced(self, vae: Vae, sampled: torch.Tensor) -> tuple[History, torch.Tensor, torch.Tensor]:
        """The past after sampled latents (1, 16, k, h, w), their frames (1, 3, 4k, H, W) and re-encoded latents."""
        frames, decoder_cache = vae.decode(sampled, self.decoder_cache)
        latents, encoder_cache = vae.encode(frames, self.encoder_cache)
        after = replace(
            self.continued(frames, latents), encoder_cache=encoder_cache, decoder_cache=decoder_cache
        )
        return after, frames, latents

    def continued(self, frames: torch.Tensor, latents: torch.Tensor) -> History:
        """With more frames (1, 3, 4k, H, W) and their latents, the caches left as they are."""
        recent = torch.cat([self.recent, latents.to(self.recent)], 2)[:, :, -self.recent.shape[2] :]
        # A copy: a view would keep all the frames of the chunk on the device, 190 MB at 832x480.
        newest = frames[:, :, -1].clone()
        return replace(self, recent=recent, newest=newest, frames=self.frames + frames.shape[2])

    def replayed(self, vae: Vae, chunks: Sequence[torch.Tensor]) -> History:
        """The past after `chunks` of sampled latents (1, 16, k, h, w) that were made before, bit for bit.

        The VAE's caches reach back so far only: of a long past the last few chunks are decoded and encoded again.
        """
        if not chunks:
            return self
        per_chunk = chunks[0].shape[2]
        encoded = -(-(self.recent.shape[2] + ENCODER_REACH) // per_chunk)
        decoded = encoded + -(-DECODER_REACH // per_chunk)
        past = replace(
            self, frames=self.frames + FRAMES_PER_LATENT * per_chunk * max(len(chunks) - encoded, 0)
        )
        decoder_cache = self.decoder_cache
        for sampled in chunks[-decoded:-encoded]:
            _, decoder_cache = vae.decode(sampled, decoder_cache)
        past = replace(past, decoder_cache=decoder_cache)
        for sampled in chunks[-encoded:]:
            past, _, _ = past.advanced(vae, sampled)
        return past

    def caches_on(self, device: torch.device | str) -> History:
        """With the VAE's caches on `device`; at 832x480 they take 2 GB."""
        return replace(
            self,
            encoder_cache=self.encoder_cache.to(device),
            decoder_cache=self.decoder_cache.to(device),
        )

    def remembering(self, stills: Mapping[int, torch.Tensor]) -> History:
        """With more frames that can be shown as stills."""
        return replace(self, stills={**self.stills, **{i: latent.cpu() for i, latent in stills.items()}})

    def slot_latents(self, layout: FramePackLayout, retrieved: Sequence[int]) -> torch.Tensor:
        """Latents (1, 16, history slots, h, w); `retrieved` fills the spatial slots, see `padded_retrieval`."""
        latents = self.anchor.new_empty(
            (*self.anchor.shape[:2], layout.history_slots, *self.anchor.shape[3:])
        )
        latents[:, :, list(layout.temporal_slots)] = torch.cat([self.anchor, self.recent], 2)
        for slot, frame in zip(layout.spatial_slots, retrieved, strict=True):
            latents[:, :, slot : slot + 1] = self.stills[frame].to(latents)
        return latents

    def slot_frames(self, layout: FramePackLayout, retrieved: Sequence[int]) -> list[int]:
        """The frame whose camera stands for each history slot: the last one of a latent's frames."""
        frames = [0] * layout.history_slots
        newest, recent = self.frames - 1, layout.temporal_slots[1:]
        for age, slot in enumerate(reversed(recent)):
            frames[slot] = max(0, newest - FRAMES_PER_LATENT * age)
        for slot, frame in zip(layout.spatial_slots, retrieved, strict=True):
            frames[slot] = frame
        return frames


def encoded_alone(vae: Vae, frames: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
    """The latent (1, 16, 1, h, w) of each frame (1, 3, H, W) as a video of its own."""
    return {number: vae.encode(frame[:, :, None])[0].cpu() for number, frame in frames.items()}


def padded_retrieval(retrieved: Sequence[int], slots: int) -> list[int]:
    """Retrieved frames, best last, for all spatial slots: frame 0 stands where fewer were found."""
    return [0] * (slots - len(retrieved)) + list(retrieved)
