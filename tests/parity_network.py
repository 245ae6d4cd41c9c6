"""Checks of the network: whole passes, and the tokens that go into them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from lyra.engines.lyra2 import names, tokens
from lyra.engines.lyra2.rope import rotary_angles
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from tests import golden_recipe as recipe
from tests.parity_base import Deviation, Folder, largest_deviation

TOLERANCE = 2e-4
ANGLE_STRIDE = 7


def tiny_network(folder: Folder, head_dim: int) -> Lyra2Transformer3DModel:
    """The folder's network with the recipe's weights, which come under the names of the published checkpoint."""
    shapes = json.loads((folder.path / "net_keys_tiny.json").read_text())
    network = Lyra2Transformer3DModel(**network_config(shapes, folder.meta["framepack"], head_dim)).eval()
    weights = {
        names.to_module_key(key): torch.from_numpy(recipe.parameter(folder.meta["seed"], key, shape))
        for key, shape in shapes.items()
        if not names.is_ignorable(key)
    }
    network.load_state_dict(weights)
    return network


def network_config(shapes: dict[str, list[int]], framepack: str, head_dim: int) -> dict:
    """What the shapes of published weights say about the network; they do not say how wide a head is."""
    dim, in_features = shapes["patch_embedding.weight"]
    squeeze, wave_features = shapes["blocks.0.buffer_encoder.0.weight"]
    area, octaves = tokens.BASE_PATCH**2, 2
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
        "buffer_channels": wave_features // (2 * octaves * area),
        "buffer_octaves": octaves,
        "buffer_squeeze": squeeze,
    }


@torch.inference_mode()
def check_network(folder: Folder, case: str) -> Deviation:
    """Velocities and, on the way there, tokens, cameras, correspondences and angles."""
    golden = folder.arrays(f"net_{case}")
    head_dim = 2 * golden["rope_angles"].shape[1]
    network = tiny_network(folder, head_dim)
    inputs = recipe.net_inputs(folder.meta["seed"], case, folder.meta["net_cases"][case])
    x, mask, cond, rays, buffer, text, image = (torch.from_numpy(value) for value in inputs.values())
    slots = network.layout.history_slots
    history, latents, condition = x[:, :, :slots], x[:, :, slots:], torch.cat([mask, cond], dim=1)

    prepared = network.prepare(history, condition, rays, buffer)
    context = network.encode_context(text, image)
    deviations = [
        largest_deviation(network(latents, torch.tensor(float(key[5:])), prepared, context), golden[key])
        for key in golden
        if key.startswith("out_t")
    ]

    content = [prepared.history, network.generated_tokens(latents, prepared.condition)]
    deviations.append(largest_deviation(torch.cat(content, 1).mean(-1), golden["tokens_mean"]))
    deviations.append(largest_deviation(prepared.cameras.mean(-1), golden["camera_tokens_mean"]))
    means, validity = correspondence_summary(network, buffer)
    deviations.append(largest_deviation(means, golden["buffer_tokens_mean"]))
    deviations.append(largest_deviation(validity, golden["buffer_validity"]))
    rows, columns = (size // tokens.BASE_PATCH for size in x.shape[-2:])
    angles = rotary_angles(network.layout, rows, columns, head_dim)
    deviations.append(largest_deviation(angles[::ANGLE_STRIDE], golden["rope_angles"]))
    span = (prepared.history.shape[1], len(angles))
    if (*golden["gen_range"],) != span or (*golden["gen_grid"],) != (network.layout.generated, rows, columns):
        deviations.append(np.inf)
    return Deviation(max(deviations), TOLERANCE)


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


# Golden file -> its check. `check_network` serves every case of a folder's "net_cases".
CHECKS: dict[str, Callable[[Folder], Deviation]] = {
    f"net_{case}": partial(check_network, case=case) for case in recipe.NET_CASES
}
