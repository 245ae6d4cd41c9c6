"""The transformer block, and the embeddings of timestep, text and image."""

from __future__ import annotations

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import PixArtAlphaTextProjection
from diffusers.models.transformers.transformer_wan import WanImageEmbedding
from torch import Tensor, nn
from torch.nn import functional

from lyra.engines.lyra2.attention import CrossAttention, SelfAttention
from lyra.engines.lyra2.tokens import TOKENS_PER_PIECE, waves


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 whatever the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(x.float(), self.weight.float(), bias)


class TimeEmbedder(nn.Module):
    """Timestep -> embedding, in float32."""

    def __init__(self, freq_dim: int, dim: int):
        super().__init__()
        self.freq_dim = freq_dim
        self.linear_1 = Float32Linear(freq_dim, dim)
        self.linear_2 = Float32Linear(dim, dim)

    def forward(self, timestep: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(self._sinusoid(timestep))))

    def _sinusoid(self, timestep: Tensor) -> Tensor:
        # Float64 as published: at t = 1000 float32 angles are off by 3e-5.
        exact = torch.float32 if timestep.device.type == "mps" else torch.float64
        half = self.freq_dim // 2
        exponents = torch.arange(half, dtype=exact, device=timestep.device) / half
        angles = timestep.to(exact).reshape(-1, 1) * 10000.0**-exponents
        return torch.cat([angles.cos(), angles.sin()], dim=1).float()


class ConditionEmbedder(nn.Module):
    """Embeddings of the timestep, and of text and image.

    Both duties go through `forward`, for the reason that `Lyra2TransformerBlock` gives.
    """

    def __init__(self, dim: int, freq_dim: int, text_dim: int, image_dim: int):
        super().__init__()
        self.time_embedder = TimeEmbedder(freq_dim, dim)
        self.time_proj = Float32Linear(dim, 6 * dim)
        self.text_embedder = PixArtAlphaTextProjection(text_dim, dim, act_fn="gelu_tanh")
        self.image_embedder = WanImageEmbedding(image_dim, dim)

    def forward(self, duty: str, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """`duty` "time": timestep () -> embedding (1, dim) and the blocks' modulation (1, 6, dim), both float32;
        "context": text (B, L, text_dim), image (1, 257, image_dim) -> the same of width dim.
        """
        if duty == "context":
            text, image = inputs
            return self.text_embedder(text), self.image_embedder(image)
        embedding = self.time_embedder(*inputs)
        return embedding, self.time_proj(functional.silu(embedding)).unflatten(1, (6, -1))


class CorrespondenceEmbedder(nn.Module):
    """Correspondence tokens -> a bias of queries and keys, through a narrow layer that is worth keeping."""

    def __init__(self, channels: int, octaves: int, squeeze: int, dim: int):
        super().__init__()
        self.octaves = octaves
        self.linear_1 = nn.Linear(2 * octaves * channels, squeeze, bias=False)
        self.linear_2 = nn.Linear(squeeze, dim, bias=False)

    def squeeze(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, channels) -> (B, N, squeeze), piece by piece: the waves in between are 80 times as wide."""
        pieces = tokens.split(TOKENS_PER_PIECE, dim=1)
        return torch.cat([self.linear_1(waves(piece, self.octaves)) for piece in pieces], dim=1)

    def forward(self, squeezed: Tensor) -> Tensor:
        return self.linear_2(squeezed)


class Lyra2TransformerBlock(nn.Module):
    """Self-attention with geometry in its queries and keys, cross-attention, feed-forward.

    A block has three duties and all of them go through `forward`, because the hooks by which diffusers moves
    weights to the device act around it: "correspondence" and "context" prepare, once per chunk, what does not
    depend on the timestep; "denoise" is the block itself.
    """

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        heads: int,
        eps: float,
        ray_channels: int,
        buffer_channels: int,
        octaves: int,
        squeeze: int,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.attn1 = SelfAttention(dim, heads, eps)
        self.norm2 = nn.LayerNorm(dim, eps)
        self.attn2 = CrossAttention(dim, heads, eps)
        self.norm3 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = FeedForward(dim, inner_dim=ffn_dim, activation_fn="gelu-approximate")
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)
        self.camera_embedder = nn.Linear(ray_channels, dim, bias=False)
        self.correspondence_embedder = CorrespondenceEmbedder(buffer_channels, octaves, squeeze, dim)

    def forward(self, duty: str, *inputs: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """`duty` "correspondence": tokens (B, N, channels) -> (B, N, squeeze);
        "context": text (B, L, dim), image (B, 257, dim) -> keys and values of cross-attention;
        "denoise": see `_denoise`.
        """
        if duty == "correspondence":
            return self.correspondence_embedder.squeeze(*inputs)
        if duty == "context":
            return self.attn2.keys_and_values(*inputs)
        return self._denoise(*inputs)

    def _denoise(
        self,
        hidden: Tensor,
        modulation: Tensor,
        rotary: tuple[Tensor, Tensor],
        cameras: Tensor,
        squeezed: Tensor,
        context: tuple[Tensor, ...],
    ) -> Tensor:
        """Hidden states (B, N, dim) -> the same; `modulation` (1, 6, dim) float32, `cameras` (1, N, ray channels),
        `squeezed` (1, N, squeeze). B may grow to the batch of `context`.
        """
        rows = (self.scale_shift_table.float() + modulation).unbind(1)
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = rows

        geometry = self.camera_embedder(cameras) + self.correspondence_embedder(squeezed)
        normed = modulate(self.norm1(hidden), shift, scale)
        attended = self.attn1(normed, normed + geometry, rotary)
        hidden = hidden + attended * gate.to(hidden.dtype)

        hidden = hidden + self.attn2(self.norm2(hidden), context)

        fed = self.ffn(modulate(self.norm3(hidden), ffn_shift, ffn_scale))
        return hidden + fed * ffn_gate.to(hidden.dtype)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift in float32, rounded once to the type of x."""
    return torch.addcmul(shift, x, 1 + scale).to(x.dtype)
