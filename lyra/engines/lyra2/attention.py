"""Attention layers: self-attention with rotary embedding, cross-attention to text and image.

Both go through diffusers' dispatch, so `set_attention_backend` of the model chooses the kernel.
"""

from __future__ import annotations

import torch
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn
from torch.nn import functional

from lyra.engines.lyra2.rope import rotate


class AttentionKernel:
    """Softmax attention (batch, tokens, heads, head_dim) without a mask, by the backend that diffusers has set."""

    _attention_backend = None
    _parallel_config = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return dispatch_attention_fn(query, key, value, backend=self._attention_backend).type_as(query)


class RMSNorm(nn.Module):
    """Root mean square norm over all channels, before they are split into heads.

    The norm is taken in float32 and rounded to the type of x before the weight multiplies it, as published;
    torch's own module rounds once, after the weight.
    """

    def __init__(self, dim: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], None, self.eps) * self.weight


class _Attention(nn.Module, AttentionModuleMixin):
    _default_processor_cls = AttentionKernel
    _available_processors = (AttentionKernel,)
    _supports_qkv_fusion = False

    def __init__(self, dim: int, heads: int, eps: float):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)
        self.set_processor(AttentionKernel())

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))


class SelfAttention(_Attention):
    """Attention of all tokens to all tokens, history included."""

    def forward(self, hidden: Tensor, placed: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        """`placed` is `hidden` plus the geometry of the tokens: it makes queries and keys, `hidden` the values."""
        query = rotate(self._split(self.norm_q(self.to_q(placed))), *rotary)
        key = rotate(self._split(self.norm_k(self.to_k(placed))), *rotary)
        value = self._split(self.to_v(hidden))
        return self.to_out[0](self.processor(query, key, value).flatten(2))


class CrossAttention(_Attention):
    """Attention to the text and, with a softmax of its own, to the image; the two are added."""

    def __init__(self, dim: int, heads: int, eps: float):
        super().__init__(dim, heads, eps)
        self.add_k_proj = nn.Linear(dim, dim)
        self.add_v_proj = nn.Linear(dim, dim)
        self.norm_added_k = RMSNorm(dim, eps)

    def keys_and_values(self, text: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Key and value of the text, then of the image, each (B, tokens, heads, head_dim)."""
        projections = (
            self.norm_k(self.to_k(text)),
            self.to_v(text),
            self.norm_added_k(self.add_k_proj(image)),
            self.add_v_proj(image),
        )
        return tuple(self._split(x) for x in projections)

    def forward(self, hidden: Tensor, context: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """`context` is what `keys_and_values` gave. Its batch may be larger than that of `hidden`: guidance branches
        share their tokens until they meet the text."""
        text_key, text_value, image_key, image_value = context
        query = self._split(self.norm_q(self.to_q(hidden)))
        # Not every attention kernel takes a batch of stride 0.
        query = query.expand(text_key.shape[0], -1, -1, -1).contiguous()
        attended = self.processor(query, text_key, text_value) + self.processor(query, image_key, image_value)
        return self.to_out[0](attended.flatten(2))
