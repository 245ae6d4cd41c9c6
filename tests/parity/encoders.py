"""Checks of the VAE and the samplers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from torch.nn.functional import avg_pool2d

from lyra.engines.lyra2.latents import FRAMES_PER_LATENT, PIXELS_PER_LATENT
from lyra.engines.lyra2.samplers import DistilledSampler, Sampler, UniPCSampler
from lyra.engines.lyra2.vae import StreamingVae
from tests.parity.base import Check, Folder
from tests.parity.golden_recipe import normal, parameter

# So many of the latents are encoded, and later decoded, in a second call that goes on from the first one's cache.
RESUMED_LATENTS = 2
SHOWN_PIXELS = 2

Shapes = Mapping[str, list[int]]


def tiny_vae(folder: Folder) -> AutoencoderKLWan:
    """The VAE of `vae_keys_tiny.json`: the published architecture with few channels, weights from the seed."""
    shapes = folder.json("vae_keys_tiny")
    config = vae_config(shapes)
    weights = {
        key: torch.from_numpy(parameter(folder.seed, f"vae.{key}", shape)).float()
        for key, shape in shapes.items()
    }
    vae = AutoencoderKLWan(**config)
    vae.load_state_dict(vae_weights(weights, config["num_res_blocks"]))
    return vae.eval().requires_grad_(False)


def vae_config(shapes: Shapes) -> dict:
    """What the shapes of Wan's own weights say about the VAE.

    The encoder is a flat list: the residual blocks of a level, then the resampling after it, over time too where it
    has a convolution in time.
    """
    base = shapes["encoder.conv1.weight"][0]
    place = re.compile(r"encoder\.downsamples\.(\d+)\.(residual\.6|resample\.1|time_conv)\.weight")
    parts = {(int(m[1]), m[2]): shapes[m[0]] for m in map(place.fullmatch, shapes) if m}
    ends = sorted(i for i, part in parts if part == "resample.1")
    blocks = ends[0]
    firsts = range(0, (len(ends) + 1) * (blocks + 1), blocks + 1)
    return {
        "base_dim": base,
        "decoder_base_dim": shapes["decoder.head.0.gamma"][0],
        "z_dim": shapes["conv2.weight"][0],
        "num_res_blocks": blocks,
        "dim_mult": [parts[first, "residual.6"][0] // base for first in firsts],
        "temperal_downsample": [(end, "time_conv") in parts for end in ends],
    }


def vae_weights(weights: Mapping[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    """Wan's own weights under diffusers' names.

    diffusers' conversion knows the decoder's list for two residual blocks and the published widths; it leaves alone
    what has the new names already.
    """
    inner = {"residual.0": "norm1", "residual.2": "conv1", "residual.3": "norm2", "residual.6": "conv2"}

    def renamed(match: re.Match) -> str:
        level, place = divmod(int(match[1]), blocks + 2)
        if place > blocks:
            return f"decoder.up_blocks.{level}.upsamplers.0.{match[2]}"
        module, _, kind = match[2].rpartition(".")
        return f"decoder.up_blocks.{level}.resnets.{place}.{inner.get(module, 'conv_shortcut')}.{kind}"

    upsamples = re.compile(r"decoder\.upsamples\.(\d+)\.(.+)")
    return convert_wan_vae_to_diffusers({upsamples.sub(renamed, key): w for key, w in weights.items()})


def vae_results(folder: Folder, golden: Mapping[str, np.ndarray]) -> dict:
    """Latents in two calls, the second from the first one's cache; those of the first frame alone; frames likewise."""
    count, *size = golden["latents"].shape[2:]
    height, width = (PIXELS_PER_LATENT * side for side in size)
    first = 1 + FRAMES_PER_LATENT * (count - RESUMED_LATENTS - 1)
    frames = first + FRAMES_PER_LATENT * RESUMED_LATENTS
    raw = torch.from_numpy(normal(folder.seed, "vae.video", 1, 3, frames, height, width))
    video = 2 * avg_pool2d(raw[0], 5, stride=1, padding=2)[None]
    vae = StreamingVae(tiny_vae(folder))
    begin, cache = vae.encode(video[:, :, :first])
    latents = torch.cat([begin, vae.encode(video[:, :, first:], cache)[0]], dim=2)
    single, _ = vae.encode(video[:, :, :1])
    begin, cache = vae.decode(latents[:, :, :-RESUMED_LATENTS])
    decoded = torch.cat([begin, vae.decode(latents[:, :, -RESUMED_LATENTS:], cache)[0]], dim=2)
    return {
        "latents": latents,
        "single": single,
        "decoded": decoded[..., ::SHOWN_PIXELS, ::SHOWN_PIXELS],
    }


def sampler_results(folder: Folder, golden: Mapping[str, np.ndarray]) -> dict:
    """Timesteps, sigmas and end points of every case in the file; "z_35_5" has 35 steps and shift 5."""
    distilled = DistilledSampler()
    results = {"dmd_timesteps": distilled.timesteps, "dmd_sigmas": distilled.sigmas[:-1]}
    for key, expected in golden.items():
        if case := re.fullmatch(r"(ts|sig|z)_(\d+)_([\d.]+)", key):
            sampler = UniPCSampler(int(case[2]), float(case[3]))
            if case[1] == "z":
                results[key] = _integrated(folder.seed, sampler, expected.shape)
            else:
                results[key] = sampler.timesteps if case[1] == "ts" else sampler.sigmas
    return results


def _integrated(seed: int, sampler: Sampler, shape: tuple[int, ...]) -> torch.Tensor:
    z, a = (torch.from_numpy(normal(seed, f"sched.{name}", *shape)) for name in "zA")

    def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return 0.7 * torch.tanh(latents) + a * timestep / 1000 - 0.3 * latents

    return sampler.sample(velocity, z, torch.zeros, lambda *_: None)


def checks(folder: Folder) -> list[Check]:
    return [
        Check("vae", vae_results, 1e-5, {"decoded": 1e-3}),
        Check("schedulers", sampler_results, 1e-4),
    ]
