"""Checks of the network: whole passes, and the tokens that go into them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from lyra.engines.lyra2 import names, tokens
from lyra.engines.lyra2.rope import rotary_angles
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from tests.parity import golden_recipe as recipe
from tests.parity.base import Check, Folder

TOLERANCE = 2e-4
ANGLE_STRIDE = 7
TEXT_TOKENS = 8
# Weights do not say how many heads they are for. The angles of a network case do; a folder without one has so many.
HEADS = 2
BUFFER_OCTAVES = 2


def tiny_network(folder: Folder, head_dim: int) -> Lyra2Transformer3DModel:
    """The folder's network with the recipe's weights, which come under the names of the published checkpoint."""
    shapes = folder.json("net_keys_tiny")
    network = Lyra2Transformer3DModel(**network_config(shapes, folder.meta["framepack"], head_dim)).eval()
    weights = {
        names.to_module_key(key): torch.from_numpy(recipe.parameter(folder.seed, key, shape))
        for key, shape in shapes.items()
        if not names.is_ignorable(key)
    }
    network.load_state_dict(weights)
    return network


def network_config(shapes: dict[str, list[int]], framepack: str, head_dim: int) -> dict:
    """What the shapes of published weights say about the network; they do not say how wide a head is."""
    dim, in_features = shapes["patch_embedding.weight"]
    squeeze, wave_features = shapes["blocks.0.buffer_encoder.0.weight"]
    area = tokens.BASE_PATCH**2
    return {
        "num_attention_heads": dim // head_dim,
        "attention_head_dim": head_dim,
        "in_channels": in_features // area,
        "out_channels": shapes["head.head.weight"][0] // area,
        "text_dim": shapes["text_embedding.0.weight"][1],
        "image_dim": shapes["img_emb.proj.0.weight"][0],
        "freq_dim": shapes["time_embedding.0.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
        "num_layers": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")),
        "framepack": framepack,
        "ray_channels": shapes["blocks.0.cam_encoder.weight"][1] // area,
        "buffer_channels": wave_features // (2 * BUFFER_OCTAVES * area),
        "buffer_octaves": BUFFER_OCTAVES,
        "buffer_squeeze": squeeze,
    }


def head_dim(folder: Folder) -> int:
    """How wide a head of the folder's network is: a head has an angle per pair of its channels."""
    cases = [case for case in folder.net_cases if (folder.path / f"net_{case}.npz").is_file()]
    if cases:
        return 2 * folder.arrays(f"net_{cases[0]}")["rope_angles"].shape[1]
    return folder.json("net_keys_tiny")["patch_embedding.weight"][0] // HEADS


def text_inputs(folder: Folder, name: str, *shape: int) -> np.ndarray:
    """The recipe's text embeddings (*shape, 8, text_dim), as wide as the folder's network reads them."""
    width = folder.json("net_keys_tiny")["text_embedding.0.weight"][1]
    return recipe.normal(folder.seed, name, *shape, TEXT_TOKENS, width)


@torch.inference_mode()
def network_results(folder: Folder, golden: Mapping[str, np.ndarray], case: str) -> dict:
    """Velocities and, on the way there, tokens, cameras, correspondences and angles."""
    width = 2 * golden["rope_angles"].shape[1]
    network = tiny_network(folder, width)
    inputs = recipe.net_inputs(folder.seed, case, folder.net_cases[case])
    inputs["text"] = text_inputs(folder, f"net.{case}.text", 1)
    x, mask, cond, rays, buffer, text, image = (torch.from_numpy(value) for value in inputs.values())
    slots = network.layout.history_slots
    history, latents, condition = x[:, :, :slots], x[:, :, slots:], torch.cat([mask, cond], dim=1)

    prepared = network.prepare(history, condition, rays, buffer)
    context = network.encode_context(text, image)
    content = [prepared.history, network.generated_tokens(latents, prepared.condition)]
    rows, columns = (size // tokens.BASE_PATCH for size in x.shape[-2:])
    angles = rotary_angles(network.layout, rows, columns, width)
    means, validity = correspondence_summary(network, buffer)
    return {
        **{
            key: network(latents, torch.tensor(float(key.removeprefix("out_t"))), prepared, context)
            for key in golden
            if key.startswith("out_t")
        },
        "tokens_mean": torch.cat(content, 1).mean(-1),
        "camera_tokens_mean": prepared.cameras.mean(-1),
        "buffer_tokens_mean": means,
        "buffer_validity": validity,
        "rope_angles": angles[::ANGLE_STRIDE],
        "gen_range": (prepared.history.shape[1], len(angles)),
        "gen_grid": (network.layout.generated, rows, columns),
    }


def correspondence_summary(
    network: Lyra2Transformer3DModel, buffer: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and validity (1, N) of the correspondence tokens; temporal slots have none: -1 and 0."""
    groups = (*network.layout.groups, network.layout.generated_group)
    counts = network.layout.token_counts(*(size // tokens.BASE_PATCH for size in buffer.shape[-2:]))
    known = [group.kind == "s" for group in groups]
    means = [
        tokens.correspondence_tokens(buffer, group).mean(-1) if has else -torch.ones(1, count)
        for group, count, has in zip(groups, counts, known, strict=True)
    ]
    validity = [torch.full((1, count), float(has)) for count, has in zip(counts, known, strict=True)]
    return torch.cat(means, 1), torch.cat(validity, 1)


def checks(folder: Folder) -> list[Check]:
    """One for every case that the folder names."""
    return [Check(f"net_{case}", partial(network_results, case=case), TOLERANCE) for case in folder.net_cases]
