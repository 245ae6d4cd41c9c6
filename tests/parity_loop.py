"""Checks of the conditioning and the whole loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from lyra.engines.lyra2.conditioning import Cameras, Conditioner, Conditioning
from lyra.engines.lyra2.framepack import FramePackLayout
from lyra.engines.lyra2.history import LATENT_FRAMES, History, encoded_alone
from lyra.memory import GeometryCache, MemorySettings
from tests import golden_recipe
from tests.parity_base import Deviation, Folder, largest_deviation

CACHED_FRAME_STRIDE = 8
SMOOTHING, GAIN = 5, 3
# The goldens hold every 64th ray channel and every 37th channel of the correspondence buffer, as float16.
RAY_STRIDE, BUFFER_STRIDE = 64, 37
CONDITIONING_TOLERANCE = 2e-3


class StandInVae:
    """The recipe's stand-in: every fourth frame averaged over 8x8 pixels, three colours mixed to 16 channels."""

    def __init__(self, mix: torch.Tensor):
        self.mix = mix

    def encode(self, video, cache=None):
        kept = video[:, :, 0 if cache is None else LATENT_FRAMES - 1 :: LATENT_FRAMES]
        pooled = avg_pool2d(kept[0].transpose(0, 1), 8)
        return torch.einsum("oc,tchw->othw", self.mix, pooled)[None], "live"

    def decode(self, latents, cache=None):
        """Only its state is asked for."""
        return latents, "live"


def smooth_noise(raw: np.ndarray) -> torch.Tensor:
    """The recipe's picture of raw noise (..., H, W): 5x5 averages, zero padded, times 3."""
    return GAIN * avg_pool2d(torch.from_numpy(raw).flatten(0, -4), SMOOTHING, 1, SMOOTHING // 2).view(
        raw.shape
    )


def conditioning_of_step(folder: Folder, step: int) -> Conditioning:
    """The conditioning of one autoregressive step, whose past is that of the recipe."""
    case, seed = folder.meta["conditioning"], folder.meta["seed"]
    height, width, frames_per_step = case["height"], case["width"], case["step"]
    w2c, k, raw, mix = golden_recipe.conditioning_inputs(seed, height, width, case["chunks"], frames_per_step)
    video = smooth_noise(raw)
    layout = FramePackLayout.parse(folder.meta["framepack"])
    vae = StandInVae(torch.from_numpy(mix))
    known = 1 + step * frames_per_step
    history = History.begin(vae, video[:, :, 0], layout)
    if known > 1:
        history = history.continued(video[:, :, 1:known], vae.encode(video[:, :, 1:known], "live")[0])
    memory = GeometryCache(height, width, MemorySettings.published())
    remembered = range(0, known, CACHED_FRAME_STRIDE)
    for frame in remembered:
        depth = golden_recipe.depth_map(seed, f"cond.depth{frame}", height, width)
        memory.add(frame, depth, w2c[frame], k[frame])
    history = history.remembering(encoded_alone(vae, {i: video[:, :, i] for i in remembered}))
    cameras = Cameras(w2c.astype(np.float64), k.astype(np.float64))
    end = known + frames_per_step
    return Conditioner(layout).build(
        history, memory, Cameras(cameras.w2c[:end], cameras.intrinsics[:end]), vae
    )


def check_conditioning(folder: Folder, step: int) -> Deviation:
    golden, ours = folder.arrays(f"cond_ar{step}"), conditioning_of_step(folder, step)
    mask, latents = ours.condition[:, :4], ours.condition[:, 4:]
    compared = [
        (ours.history, golden["latents"]),
        (latents, golden["cond"]),
        (ours.rays.mean((3, 4)), golden["plucker_mean"]),
        (ours.rays[:, ::RAY_STRIDE], golden["plucker_c0"]),
        (ours.correspondence.mean((3, 4)), golden["buffer_mean"]),
        (ours.correspondence[:, ::BUFFER_STRIDE], golden["buffer_sub"]),
        (mask.sum(), golden["mask_sum"]),
    ]
    return Deviation(max(largest_deviation(*pair) for pair in compared), CONDITIONING_TOLERANCE)


def _check_of_step(step: int) -> Callable[[Folder], Deviation]:
    return lambda folder: check_conditioning(folder, step)


CHECKS: dict[str, Callable[[Folder], Deviation]] = {
    f"cond_ar{step}": _check_of_step(step) for step in range(3)
}
