"""A miniature of the network with random weights, and inputs for it."""

from __future__ import annotations

import torch

from lyra.engines.lyra2.transformer import Context, Lyra2Transformer3DModel, PreparedChunk

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 36,
    "out_channels": 16,
    "text_dim": 24,
    "image_dim": 20,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
    "ray_channels": 12,
    "buffer_channels": 20,
    "buffer_squeeze": 8,
}
GRID = (8, 12)


def tiny_network(seed: int = 0, **changes) -> Lyra2Transformer3DModel:
    torch.manual_seed(seed)
    return Lyra2Transformer3DModel(**TINY | changes).eval().requires_grad_(False)


def prepare_inputs(grid: tuple[int, int] = GRID, seed: int = 1) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)

    def normal(channels: int, slots: int) -> torch.Tensor:
        return torch.randn(1, channels, slots, *grid, generator=noise)

    return {
        "history": normal(16, 25),
        "condition": normal(20, 45),
        "rays": normal(TINY["ray_channels"], 45),
        "correspondence": normal(TINY["buffer_channels"], 45).clamp(-1, 1),
    }


def context_inputs(batch: int = 1, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    text = torch.randn(batch, 512, TINY["text_dim"], generator=noise)
    return text, torch.randn(1, 257, TINY["image_dim"], generator=noise)


def latents(grid: tuple[int, int] = GRID) -> torch.Tensor:
    return torch.randn(1, 16, 20, *grid, generator=torch.Generator().manual_seed(3))


def prepared(network: Lyra2Transformer3DModel, batch: int = 1) -> tuple[PreparedChunk, Context]:
    return network.prepare(**prepare_inputs()), network.encode_context(*context_inputs(batch))


def velocity(network: Lyra2Transformer3DModel, batch: int = 1, timestep: float = 700.5) -> torch.Tensor:
    """One pass over everything, from inputs to the velocity."""
    return network(latents(), torch.tensor(timestep), *prepared(network, batch))
