"""The Lyra 2.0 network as a diffusers model: 14 billion parameters by default.

It predicts the flow velocity of 20 latents from them, 25 history latents, the rays of all cameras, correspondences
with retrieved frames, a text and an image. What does not depend on the timestep is prepared once per chunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2 import tokens
from lyra.engines.lyra2.blocks import ConditionEmbedder, Float32Linear, Lyra2TransformerBlock
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout
from lyra.engines.lyra2.rope import rotary_angles, rotary_tables

TEXT_TOKENS = 512
# Longest side of the base token grid that the published positions cover.
LARGEST_GRID = 128


@dataclass(frozen=True)
class PreparedChunk:
    """What the tokens of one chunk carry at every timestep; `dtype` is that of the network's computation."""

    history: Tensor
    """(1, history tokens, dim)"""
    condition: Tensor
    """(1, 20, generated slots, h, w): mask and condition latents beside the sampled ones"""
    cameras: Tensor
    """(1, tokens, 4 * ray channels)"""
    squeezed: tuple[Tensor, ...]
    """of every block (1, tokens, squeeze); zero where a token has no correspondences"""
    rotary: tuple[Tensor, Tensor]
    """cosines and signed sines (tokens, 1, head_dim) float32"""


@dataclass(frozen=True)
class Context:
    """Per block: keys and values of the text (B, 512, heads, head_dim) and of the image (B, 257, ...)."""

    blocks: tuple[tuple[Tensor, Tensor, Tensor, Tensor], ...]


class Lyra2Transformer3DModel(ModelMixin, ConfigMixin, PeftAdapterMixin, AttentionMixin):
    """Wan 2.1 I2V-14B with FramePack history, camera rays and correspondences.

    Weights may be of any floating type; time embedding, modulation, norms, rotary embedding and head are computed in
    float32 from them. Batch is 1; guidance branches are the batch of the context.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules = ["Lyra2TransformerBlock"]
    _repeated_blocks = ["Lyra2TransformerBlock"]
    # "names.stored_in_float8" says the same of the keys.
    _skip_layerwise_casting_patterns = [
        "patch_embedding",
        "condition_embedder",
        "norm",
        "_embedder",
        "proj_out",
    ]
    # Used outside `forward` of the model too, so each comes to the device when it is called itself. None may lie in
    # another: diffusers' prefetching along a stream refuses that.
    _group_offload_block_modules = ["patch_embedding", "condition_embedder", "proj_out"]

    @register_to_config
    def __init__(
        self,
        num_attention_heads: int = 40,
        attention_head_dim: int = 128,
        in_channels: int = 36,
        out_channels: int = 16,
        text_dim: int = 4096,
        image_dim: int = 1280,
        freq_dim: int = 256,
        ffn_dim: int = 13824,
        num_layers: int = 40,
        eps: float = 1e-6,
        framepack: str = PUBLISHED_LAYOUT,
        ray_channels: int = 384,
        buffer_channels: int = 1280,
        buffer_octaves: int = 2,
        buffer_squeeze: int = 256,
    ):
        super().__init__()
        dim = num_attention_heads * attention_head_dim
        self.layout = FramePackLayout.parse(framepack)
        area = tokens.BASE_PATCH**2

        self.patch_embedding = nn.Linear(area * in_channels, dim)
        self.clean_patch_embeddings = nn.ModuleList(
            nn.Linear(in_channels * torch.Size(tokens.group_patch(group)).numel(), dim)
            for group in self.layout.groups
        )
        self.condition_embedder = ConditionEmbedder(dim, freq_dim, text_dim, image_dim)
        self.blocks = nn.ModuleList(
            Lyra2TransformerBlock(
                dim,
                ffn_dim,
                num_attention_heads,
                eps,
                area * ray_channels,
                area * buffer_channels,
                buffer_octaves,
                buffer_squeeze,
            )
            for _ in range(num_layers)
        )
        self.norm_out = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.proj_out = Float32Linear(dim, area * out_channels)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        self.gradient_checkpointing = False
        self.casts_layers = False

    def prepare(
        self, history: Tensor, condition: Tensor, rays: Tensor, correspondence: Tensor
    ) -> PreparedChunk:
        """Tokens, geometry and positions of a chunk, on the inputs' device.

        `history` (1, 16, history slots, h, w) clean latents; `condition` (1, 20, slots, h, w) four mask channels and
        16 latents; `rays` (1, 384, slots, h, w); `correspondence` (1, 1280, slots, h, w), of which temporal slots are
        not read. h and w are even, at most 256. Raises InvalidInputError for other shapes.
        """
        self._check(history, condition, rays, correspondence)
        history, condition, rays, correspondence = (
            x.to(self.dtype) for x in (history, condition, rays, correspondence)
        )
        rows, columns = (size // tokens.BASE_PATCH for size in history.shape[-2:])
        angles = rotary_angles(self.layout, rows, columns, self.config.attention_head_dim).to(history.device)
        return PreparedChunk(
            history=self.history_tokens(history, condition),
            condition=condition[:, :, self.layout.history_slots :],
            cameras=tokens.camera_tokens(rays, self.layout),
            squeezed=self._squeezed(correspondence),
            rotary=rotary_tables(angles),
        )

    def history_tokens(self, history: Tensor, condition: Tensor) -> Tensor:
        """Content tokens (1, N, dim) of the history slots."""
        latents = torch.cat([history, condition[:, :, : self.layout.history_slots]], dim=1)
        embedded = [
            embed(tokens.patchify(latents[:, :, group.start : group.slots.stop], tokens.group_patch(group)))
            for group, embed in zip(self.layout.groups, self.clean_patch_embeddings, strict=True)
        ]
        return torch.cat(embedded, dim=1)

    def generated_tokens(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Content tokens (1, N, dim) of the generated slots; `condition` is that of these slots."""
        x = torch.cat([latents.to(condition.dtype), condition], dim=1)
        return self.patch_embedding(tokens.patchify(x, (1, tokens.BASE_PATCH, tokens.BASE_PATCH)))

    def encode_context(self, text: Tensor, image: Tensor) -> Context:
        """Keys and values for `text` (B, 512, 4096) of B guidance branches and `image` (1, 257, 1280)."""
        text, image = self.condition_embedder("context", text.to(self.dtype), image.to(self.dtype))
        both = torch.cat([image.expand(text.shape[0], -1, -1), text], dim=1)
        # Wan 2.1 counts the text from the end. For a text of other than 512 tokens, which only the miniature networks
        # of tests have, that puts image tokens among the text, with a negative start even; the goldens hold that.
        start = both.shape[1] - TEXT_TOKENS
        image, text = both[:, :start], both[:, start:]
        return Context(tuple(block("context", text, image) for block in self.blocks))

    def enable_layerwise_casting(self, *args, **kwargs) -> None:
        """As in diffusers; a second call changes nothing, because a network loaded in float8 casts already."""
        if not self.casts_layers:
            super().enable_layerwise_casting(*args, **kwargs)
            self.casts_layers = True

    def forward(self, latents: Tensor, timestep: Tensor, prepared: PreparedChunk, context: Context) -> Tensor:
        """The flow velocity (B, 16, 20, h, w) float32 of `latents` (1, 16, 20, h, w) at `timestep` (), 0 to 1000.

        B is the batch of `context`; the network reads the latents in its own type.
        """
        embedding, modulation = self.condition_embedder("time", timestep)
        hidden = torch.cat([prepared.history, self.generated_tokens(latents, prepared.condition)], dim=1)
        checkpoint = torch.is_grad_enabled() and self.gradient_checkpointing
        for block, squeezed, keys_and_values in zip(
            self.blocks, prepared.squeezed, context.blocks, strict=True
        ):
            inputs = (
                "denoise",
                hidden,
                modulation,
                prepared.rotary,
                prepared.cameras,
                squeezed,
                keys_and_values,
            )
            hidden = self._gradient_checkpointing_func(block, *inputs) if checkpoint else block(*inputs)

        # Published: the head computes in float32 from a norm that is rounded like those of the blocks.
        generated = self.norm_out(hidden[:, prepared.history.shape[1] :])
        shift, scale = (self.scale_shift_table.float() + embedding[:, None]).chunk(2, dim=1)
        velocity = self.proj_out(torch.addcmul(shift, generated, 1 + scale))
        frames, height, width = latents.shape[2:]
        return tokens.unpatchify(velocity, (frames, height // tokens.BASE_PATCH, width // tokens.BASE_PATCH))

    def _squeezed(self, correspondence: Tensor) -> tuple[Tensor, ...]:
        """The narrow form of the correspondences of every token, per block; zero in temporal slots."""
        rows, columns = (size // tokens.BASE_PATCH for size in correspondence.shape[-2:])
        groups = (*self.layout.groups, self.layout.generated_group)
        known = [tokens.correspondence_tokens(correspondence, group) for group in groups if group.kind == "s"]
        known = torch.cat(known, dim=1)
        counts = torch.tensor(self.layout.token_counts(rows, columns))
        has_some = torch.tensor([group.kind == "s" for group in groups]).repeat_interleave(counts)
        places = has_some.nonzero()[:, 0].to(known.device)

        def spread(squeezed: Tensor) -> Tensor:
            return squeezed.new_zeros(1, len(has_some), squeezed.shape[2]).index_copy(1, places, squeezed)

        return tuple(spread(block("correspondence", known)) for block in self.blocks)

    def _check(self, history: Tensor, condition: Tensor, rays: Tensor, correspondence: Tensor) -> None:
        config, slots = self.config, self.layout.slots
        height, width = history.shape[-2:]
        if height % 2 or width % 2 or max(height, width) > 2 * LARGEST_GRID:
            raise InvalidInputError(
                f"Latents of {width} x {height} do not fit the network: both sides must be even and at most "
                f"{2 * LARGEST_GRID}. Choose an image size in multiples of 16 pixels."
            )
        wanted = {
            "history": (history, config.out_channels, self.layout.history_slots),
            "condition": (condition, config.in_channels - config.out_channels, slots),
            "rays": (rays, config.ray_channels, slots),
            "correspondence": (correspondence, config.buffer_channels, slots),
        }
        for name, (tensor, channels, count) in wanted.items():
            if tensor.shape != (1, channels, count, height, width):
                raise InvalidInputError(
                    f"{name} has the shape {tuple(tensor.shape)}; this network needs "
                    f"{(1, channels, count, height, width)} (batch, channels, slots, rows, columns)."
                )
