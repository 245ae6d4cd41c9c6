"""Writes a folder of goldens of other seed and sizes, with the project's own numbers in place of published ones.

It shows that the check takes everything from the folder, and how far results move between two runs or machines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from lyra.engines.lyra2 import names
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from tests.parity import golden_recipe as recipe
from tests.parity.__main__ import checks_of
from tests.parity.base import Folder
from tests.parity.encoders import vae_weights

CAMERA_STEP = 3


@dataclass(frozen=True)
class Sizes:
    """What the cases of a folder are; none of it is as in the published goldens."""

    seed: int = 31
    net_cases: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {"wide": (6, 14), "tall": (10, 4)}
    )
    timesteps: tuple[float, ...] = (812.5, 3)
    head_dim: int = 12
    network: Mapping[str, int] = field(
        default_factory=lambda: {
            "num_attention_heads": 3,
            "text_dim": 20,
            "freq_dim": 32,
            "ffn_dim": 40,
            "num_layers": 1,
            "buffer_squeeze": 8,
        }
    )
    geometry: tuple[int, int] = (38, 53)
    sources: int = 5
    targets: int = 3
    conditioning: tuple[int, int] = (32, 40)
    chunks: int = 2
    vae: Mapping = field(
        default_factory=lambda: {"base_dim": 4, "num_res_blocks": 1, "dim_mult": [1, 2, 2, 4]}
    )
    latents: tuple[int, int, int] = (4, 3, 5)
    samplers: tuple[tuple[int, str], ...] = ((5, "7"), (16, "2.5"))
    loop: tuple[int, int] = (32, 48)
    loop_frames: int = 81


def write(path: Path, sizes: Sizes) -> Folder:
    """A folder in the new directory `path` whose every golden is what the code gives now."""
    path.mkdir()
    meta = {
        "seed": sizes.seed,
        "framepack": recipe.FRAMEPACK,
        "net_cases": sizes.net_cases,
        "timesteps": sizes.timesteps,
        "geometry": dict(zip(("height", "width"), sizes.geometry, strict=True))
        | {"sources": sizes.sources, "targets": sizes.targets},
        "conditioning": dict(zip(("height", "width"), sizes.conditioning, strict=True))
        | {"chunks": sizes.chunks, "step": 80},
    }
    for name, content in {
        "meta": meta,
        "net_keys_tiny": network_shapes(sizes),
        "vae_keys_tiny": vae_shapes(sizes),
        "retrieval": {case: [] for case in ("single_t0_n2", "single_t2_n4", "multi_n3")},
    }.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    np.savez(path / "geometry_inputs.npz", **geometry_inputs(sizes))
    for name, arrays in _hints(sizes).items():
        np.savez(path / f"{name}.npz", **arrays)
    folder = Folder(path)
    for name, check in checks_of(folder).items():
        hints = folder.arrays(name)
        results = check.results(folder, hints)
        made = {key: np.asarray(results[key]).astype(hint.dtype) for key, hint in hints.items()}
        if name == "retrieval":
            content = {case: ids.tolist() for case, ids in made.items()}
            (path / "retrieval.json").write_text(json.dumps(content))
        else:
            np.savez(path / f"{name}.npz", **made)
    return folder


def network_shapes(sizes: Sizes) -> dict[str, list[int]]:
    with torch.device("meta"):
        network = Lyra2Transformer3DModel(attention_head_dim=sizes.head_dim, **sizes.network)
    return {names.to_published_key(key): list(value.shape) for key, value in network.state_dict().items()}


def vae_shapes(sizes: Sizes) -> dict[str, list[int]]:
    """Under Wan's own names, found from what becomes of the names that such a VAE may have."""
    with torch.device("meta"):
        vae = AutoencoderKLWan(**sizes.vae)
    here = vae.state_dict()
    kinds = ("residual.0.gamma", "residual.3.gamma", "time_conv.weight", "time_conv.bias")
    kinds += tuple(
        f"{module}.{kind}"
        for module in ("residual.2", "residual.6", "shortcut", "resample.1")
        for kind in ("weight", "bias")
    )
    lists = ("encoder.downsamples", "decoder.upsamples")
    possible = [f"{part}.{i}.{kind}" for part in lists for i in range(len(here)) for kind in kinds]
    tiny = Folder(Path(__file__).parents[1] / "goldens").json("vae_keys_tiny")
    possible += [key for key in tiny if not key.startswith(lists)]
    # The conversion moves values without a look at them: here each value is its own old name.
    renamed = vae_weights({key: key for key in possible}, sizes.vae["num_res_blocks"])
    return {renamed[key]: list(value.shape) for key, value in here.items()}


def geometry_inputs(sizes: Sizes) -> dict[str, np.ndarray]:
    height, width = sizes.geometry
    count = sizes.sources + sizes.targets
    w2c, k, *_ = recipe.conditioning_inputs(sizes.seed, height, width, 1, CAMERA_STEP * count)
    w2c, k = w2c[1::CAMERA_STEP], k[1::CAMERA_STEP]
    depth = [recipe.depth_map(sizes.seed, f"geo.depth{i}", height, width) for i in range(sizes.sources)]
    return {
        "depth": np.stack(depth),
        "w2c": w2c[: sizes.sources],
        "K": k[: sizes.sources],
        "target_w2c": w2c[sizes.sources :],
        "target_K": k[sizes.sources :],
        "image": recipe.uniform(sizes.seed, "geo.image", -1, 1, sizes.targets, 3, height, width),
    }


def _hints(sizes: Sizes) -> dict[str, dict[str, np.ndarray]]:
    """Arrays with the names and types of the goldens, and as much of their shapes as the checks read."""

    def blank(*shape: int, dtype=np.float32) -> np.ndarray:
        return np.zeros(shape, dtype)

    half = blank(0, dtype=np.float16)
    network = ("tokens_mean", "camera_tokens_mean", "buffer_tokens_mean", "buffer_validity")
    whole = {key: blank(0, dtype=np.int64) for key in ("gen_range", "gen_grid")}
    one_network = {
        **{f"out_t{timestep:g}": blank(0) for timestep in sizes.timesteps},
        **{key: blank(0) for key in network},
        **whole,
        "rope_angles": blank(0, sizes.head_dim // 2),
    }
    one_step = {key: half for key in ("latents", "cond", "plucker_c0", "buffer_sub")} | {
        key: blank(0) for key in ("plucker_mean", "buffer_mean", "mask_sum")
    }
    z = blank(1, 16, 2, 3, 5)
    return {
        "warp": {"image": blank(0), "mask": blank(sizes.targets), "depth": blank(0)},
        "reliable_depth_mask": {"mask": blank(0, dtype=bool)},
        "plucker": {"rays": blank(1, -(-sizes.sources // 2))},
        "cache_points": {"points": blank(0)},
        **{f"net_{case}": one_network for case in sizes.net_cases},
        **{f"cond_ar{step}": one_step for step in range(sizes.chunks)},
        "schedulers": {
            f"{key}_{steps}_{shift}": value
            for steps, shift in sizes.samplers
            for key, value in (("ts", blank(0)), ("sig", blank(0)), ("z", z))
        }
        | {"dmd_timesteps": blank(0), "dmd_sigmas": blank(0)},
        "vae": {"latents": blank(1, 16, *sizes.latents), "single": blank(0), "decoded": half},
        "loop": {
            f"{case}_{key}": value
            for case in ("unipc", "dmd")
            for key, value in (
                ("frames", blank(3, 0, *sizes.loop, dtype=np.float16)),
                ("history_latents", half),
                ("cached_ids", blank(0, dtype=np.int64)),
                ("frame_means", blank(sizes.loop_frames)),
            )
        },
    }
