"""The causal VAE as a stream: a few frames at a time, with explicit caches.

diffusers' `AutoencoderKLWan` keeps the features that its causal convolutions need from earlier frames inside a call,
and its decode clamps. Here the caches go in and come out, so that a session can be continued, copied and given up at
any frame, and frames come out as the decoder made them: the model was trained on re-encoded, unclamped frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2.latents import FRAMES_PER_LATENT, LATENT_CHANNELS, PIXELS_PER_LATENT
from lyra.engines.lyra2.pretrained import load_pretrained

# Two sessions that took the same last so many pieces (a latent, or its four frames) have equal caches, bit for bit,
# whatever came before: every causal convolution looks back two frames at the rate of its level, and no further.
ENCODER_REACH = 28
DECODER_REACH = 38


@dataclass(frozen=True)
class FeatureCache:
    """What the causal convolutions remember; neither the tuple nor its tensors are ever changed.

    `features` has an entry per convolution: its last one or two input frames, None before the first frame, or
    "Rep" in the decoder after one latent, as diffusers marks an upsampling that starts with its next input.
    """

    features: tuple[torch.Tensor | str | None, ...]

    def to(self, device: torch.device | str) -> Self:
        """The same cache on another device, for a session that is set aside."""
        return type(self)(tuple(f.to(device) if isinstance(f, torch.Tensor) else f for f in self.features))

    @property
    def bytes(self) -> int:
        return sum(f.nbytes for f in self.features if isinstance(f, torch.Tensor))


class EncoderCache(FeatureCache):
    """Where an encoding stands."""


class DecoderCache(FeatureCache):
    """Where a decoding stands."""


class StreamingVae:
    """Encodes and decodes piece by piece: one frame, then four at a time; one latent at a time.

    Latents are normalised by the model's own mean and standard deviation, held in the type of its weights. The mean
    of the posterior is used, so the same input always gives the same output. Memory depends on the frame size, not on
    the number of frames; results can leave the device piece by piece. Normalisation as in the published Lyra 2.0.
    """

    def __init__(self, vae: AutoencoderKLWan):
        self.vae = vae
        # Published: mean and reciprocal deviation are rounded to the weights' type, each on its own.
        self._mean = torch.tensor(vae.config.latents_mean).to(vae.dtype)
        self._scale = 1 / torch.tensor(vae.config.latents_std).to(vae.dtype)

    @torch.no_grad()
    def encode(
        self,
        video: torch.Tensor,
        cache: EncoderCache | None = None,
        output_device: torch.device | str | None = None,
    ) -> tuple[torch.Tensor, EncoderCache]:
        """Latents (1, 16, k, H/8, W/8) of `video` (1, 3, T, H, W) in [-1, 1], and the cache to go on from.

        Without a cache T is 1 + 4(k-1) and the first frame has a latent of its own; after a cache T is 4k. `video` may
        lie on any device and have any float type; latents have the VAE's type and come on `output_device` (by default
        the VAE's). Raises ValueError for another number of frames.
        """
        frames = video.shape[2]
        first = 1 if cache is None else FRAMES_PER_LATENT
        if frames < first or (frames - first) % FRAMES_PER_LATENT:
            expected = "1 + 4k frames" if cache is None else "4k frames after those in the cache"
            raise ValueError(f"video has {frames} frames; give {expected}")
        features = self._features(cache, "encoder")
        rest = [FRAMES_PER_LATENT] * ((frames - first) // FRAMES_PER_LATENT)
        latents = [
            self._encode_piece(piece, features).to(output_device)
            for piece in video.split([first, *rest], dim=2)
        ]
        return torch.cat(latents, dim=2), EncoderCache(tuple(features))

    @torch.no_grad()
    def decode(
        self,
        latents: torch.Tensor,
        cache: DecoderCache | None = None,
        output_device: torch.device | str | None = None,
    ) -> tuple[torch.Tensor, DecoderCache]:
        """Frames (1, 3, T, H, W), not clamped, of normalised `latents` (1, 16, k, H/8, W/8), and the next cache.

        T is 1 + 4(k-1) without a cache, for the first latent is one frame, and 4k after one. Frames have the VAE's type
        and come on `output_device` (by default the VAE's). Raises ValueError when there are no latents.
        """
        if not latents.shape[2]:
            raise ValueError("there are no latents to decode")
        features = self._features(cache, "decoder")
        frames = [
            self._decode_piece(piece, features, first=cache is None and i == 0).to(output_device)
            for i, piece in enumerate(latents.split(1, dim=2))
        ]
        return torch.cat(frames, dim=2), DecoderCache(tuple(features))

    @property
    def dtype(self) -> torch.dtype:
        return self.vae.dtype

    @property
    def device(self) -> torch.device:
        return self.vae.device

    def to(self, device: torch.device | str) -> Self:
        """Moves the weights; caches move by their own `to`."""
        self.vae.to(device)
        return self

    def _features(self, cache: FeatureCache | None, part: str) -> list[torch.Tensor | str | None]:
        """A list that the convolutions of `part` may replace the entries of."""
        if cache is None:
            return [None] * sum(isinstance(m, WanCausalConv3d) for m in getattr(self.vae, part).modules())
        return list(cache.features)

    def _encode_piece(self, frames: torch.Tensor, features: list) -> torch.Tensor:
        frames = frames.to(self.device, self.dtype)
        moments = self.vae.quant_conv(self.vae.encoder(frames, feat_cache=features, feat_idx=[0]))
        mean = moments[:, : self.vae.config.z_dim]
        return (mean - _per_channel(self._mean, mean)) * _per_channel(self._scale, mean)

    def _decode_piece(self, latents: torch.Tensor, features: list, first: bool) -> torch.Tensor:
        # Published: in float32 with the constants' rounded values, then to the weights' type.
        latents = latents.to(self.device, torch.float32)
        latents = latents / _per_channel(self._scale, latents) + _per_channel(self._mean, latents)
        latents = self.vae.post_quant_conv(latents.to(self.dtype))
        return self.vae.decoder(latents, feat_cache=features, feat_idx=[0], first_chunk=first)


def load_vae(folder: Path, dtype: torch.dtype, device: torch.device | str) -> StreamingVae:
    """The VAE in `folder` (diffusers' layout). Raises InvalidInputError for any but Wan 2.1's kind of VAE."""
    vae = load_pretrained(AutoencoderKLWan, folder, dtype, device)
    config = vae.config
    kind = (config.z_dim, config.scale_factor_temporal, config.scale_factor_spatial, config.patch_size)
    if config.is_residual or kind != (LATENT_CHANNELS, FRAMES_PER_LATENT, PIXELS_PER_LATENT, None):
        raise InvalidInputError(
            f"The VAE in {folder} has {config.z_dim} latent channels and compresses "
            f"{config.scale_factor_temporal}x{config.scale_factor_spatial}x{config.scale_factor_spatial}; "
            "Lyra 2.0 needs that of Wan 2.1, with 16 channels and 4x8x8."
        )
    return StreamingVae(vae)


def _per_channel(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`values` (C,) shaped to scale or shift `like` (1, C, T, h, w), in its type."""
    return values.to(like).view(1, -1, 1, 1, 1)
