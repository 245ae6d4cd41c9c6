"""Checks of the VAE and the samplers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

from lyra.engines.lyra2.samplers import DistilledSampler, Sampler, UniPCSampler
from lyra.engines.lyra2.vae import StreamingVae
from tests.golden_recipe import normal, parameter, vae_video
from tests.parity_base import Deviation, Folder, largest_deviation

VAE_TOLERANCE = 1e-5
DECODED_TOLERANCE = 1e-3
SCHEDULE_TOLERANCE = 1e-4


def tiny_vae(folder: Folder) -> AutoencoderKLWan:
    """The VAE of `vae_keys_tiny.json`: the published architecture with few channels, weights from the seed."""
    shapes = json.loads((folder.path / "vae_keys_tiny.json").read_text())
    seed = folder.meta["seed"]
    weights = {
        key: torch.from_numpy(parameter(seed, f"vae.{key}", shape)).float() for key, shape in shapes.items()
    }
    vae = AutoencoderKLWan(
        base_dim=shapes["encoder.conv1.weight"][0],
        decoder_base_dim=shapes["decoder.head.0.gamma"][0],
        z_dim=shapes["conv2.weight"][0],
    )
    vae.load_state_dict(convert_wan_vae_to_diffusers(weights))
    return vae.eval().requires_grad_(False)


def golden_video(folder: Folder) -> torch.Tensor:
    """The video (1, 3, 17, H, W) of vae.npz."""
    height, width = (8 * side for side in folder.arrays("vae")["latents"].shape[-2:])
    raw = torch.from_numpy(vae_video(folder.meta["seed"], height, width))
    return 2 * torch.nn.functional.avg_pool2d(raw[0], 5, stride=1, padding=2)[None]


def check_vae(folder: Folder) -> Deviation:
    """9 frames encoded, 8 resumed; the first one alone; 3 latents decoded, 2 resumed. In units of each tolerance."""
    golden, video, vae = folder.arrays("vae"), golden_video(folder), StreamingVae(tiny_vae(folder))
    first, cache = vae.encode(video[:, :, :9])
    latents = torch.cat([first, vae.encode(video[:, :, 9:], cache)[0]], dim=2)
    single, _ = vae.encode(video[:, :, :1])
    begin, cache = vae.decode(latents[:, :, :3])
    decoded = torch.cat([begin, vae.decode(latents[:, :, 3:], cache)[0]], dim=2)[..., ::2, ::2]
    encoded_off = max(
        largest_deviation(latents, golden["latents"]), largest_deviation(single, golden["single"])
    )
    decoded_off = _deviation_beyond_half_precision(decoded, golden["decoded"])
    return Deviation(max(encoded_off, decoded_off * VAE_TOLERANCE / DECODED_TOLERANCE), VAE_TOLERANCE)


def _deviation_beyond_half_precision(result: torch.Tensor, golden: np.ndarray) -> float:
    """Largest deviation from a golden stored as float16, without what its rounding alone explains."""
    exact = golden.astype(np.float64)
    if largest_deviation(result, exact) == np.inf:
        return np.inf
    rounding = np.spacing(np.abs(golden)).astype(np.float64) / 2
    return float(np.maximum(np.abs(result.double().numpy() - exact) - rounding, 0).max())


def check_schedulers(folder: Folder) -> Deviation:
    """Timesteps, sigmas and end points of every case in the file; "z_35_5" has 35 steps and shift 5."""
    golden = folder.arrays("schedulers")
    largest = 0.0
    for key, expected in golden.items():
        if case := re.fullmatch(r"z_(\d+)_([\d.]+)", key):
            steps, shift = case.groups()
            sampler = UniPCSampler(int(steps), float(shift))
            results = {
                f"ts_{steps}_{shift}": sampler.timesteps,
                f"sig_{steps}_{shift}": sampler.sigmas,
                key: _integrated(folder.meta["seed"], sampler, expected.shape),
            }
            largest = max(largest, *(largest_deviation(results[name], golden[name]) for name in results))
    distilled = DistilledSampler()
    timesteps = largest_deviation(distilled.timesteps, golden["dmd_timesteps"])
    sigmas = largest_deviation(distilled.sigmas[:-1], golden["dmd_sigmas"])
    return Deviation(max(largest, timesteps, sigmas), SCHEDULE_TOLERANCE)


def _integrated(seed: int, sampler: Sampler, shape: tuple[int, ...]) -> torch.Tensor:
    z, a = (torch.from_numpy(normal(seed, f"sched.{name}", *shape)) for name in "zA")

    def velocity(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return 0.7 * torch.tanh(latents) + a * timestep / 1000 - 0.3 * latents

    return sampler.sample(velocity, z, torch.zeros, lambda *_: None)


CHECKS: dict[str, Callable[[Folder], Deviation]] = {"vae": check_vae, "schedulers": check_schedulers}
