"""Checks of the conditioning and the whole loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from lyra.depth.base import WindowDepth
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.conditioning import MASK_CHANNELS, Conditioner, Conditioning
from lyra.engines.lyra2.engine import Lyra2Engine
from lyra.engines.lyra2.framepack import FramePackLayout
from lyra.engines.lyra2.history import History, encoded_alone
from lyra.engines.lyra2.latents import FRAMES_PER_LATENT
from lyra.engines.lyra2.noise import SeededNoise
from lyra.engines.lyra2.retrieval import Retrieval
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.vae import StreamingVae
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.memory import GeometryCache, MemorySettings
from tests.parity import golden_recipe
from tests.parity.base import Check, Folder
from tests.parity.encoders import tiny_vae
from tests.parity.network import head_dim, text_inputs, tiny_network

CACHED_FRAME_STRIDE = 8
SMOOTHING, GAIN = 5, 3
# The goldens hold every 64th ray channel and every 37th channel of the correspondence buffer.
RAY_STRIDE, BUFFER_STRIDE = 64, 37


class StandInVae:
    """The recipe's stand-in: every fourth frame averaged over 8x8 pixels, three colours mixed to 16 channels."""

    def __init__(self, mix: torch.Tensor):
        self.mix = mix

    def encode(self, video, cache=None):
        kept = video[:, :, 0 if cache is None else FRAMES_PER_LATENT - 1 :: FRAMES_PER_LATENT]
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
    case, seed = folder.meta["conditioning"], folder.seed
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
    end = known + frames_per_step
    path = Trajectory(w2c[:end].astype(np.float64), k[:end].astype(np.float64), height, width)
    retrieved = Retrieval(len(layout.spatial_slots)).frames(memory, path, known)
    return Conditioner(layout).build(history, memory, path, retrieved, vae)


def conditioning_results(folder: Folder, golden: Mapping[str, np.ndarray], step: int) -> dict:
    ours = conditioning_of_step(folder, step)
    mask, latents = ours.condition[:, :MASK_CHANNELS], ours.condition[:, MASK_CHANNELS:]
    return {
        "latents": ours.history,
        "cond": latents,
        "plucker_mean": ours.rays.mean((3, 4)),
        "plucker_c0": ours.rays[:, ::RAY_STRIDE],
        "buffer_mean": ours.correspondence.mean((3, 4)),
        "buffer_sub": ours.correspondence[:, ::BUFFER_STRIDE],
        "mask_sum": mask.sum(),
    }


class LoopText:
    """The recipe's text of each chunk; the prompt is the chunk's number."""

    def __init__(self, text: np.ndarray, negative: np.ndarray):
        self.text, self.empty = torch.from_numpy(text), torch.from_numpy(negative)

    def encode(self, prompt: str) -> torch.Tensor:
        return self.text[:, int(prompt)]

    def negative(self) -> torch.Tensor:
        return self.empty


class LoopClip:
    """The recipe's image tokens: base + 0.3 times the mean of the frame."""

    def __init__(self, base: np.ndarray):
        self.base = torch.from_numpy(base)

    def encode(self, frame: torch.Tensor) -> torch.Tensor:
        return self.base + 0.3 * frame.mean()


class LoopDepth:
    """The recipe's depth of a frame, which is known by its camera."""

    id = "recipe"

    def __init__(self, seed: int, w2c: np.ndarray):
        self.seed, self.w2c = seed, w2c

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        numbers = [int(np.abs(self.w2c - pose).max((1, 2)).argmin()) for pose in w2c]
        height, width = frames.shape[1:3]
        depth = [golden_recipe.depth_map(self.seed, f"loop.depth{i}", height, width) for i in numbers]
        return WindowDepth(np.stack(depth), scaled_by_cameras=True)


class GlobalNoise(SeededNoise):
    """Noise as the published code draws it again: from torch's global generator, in the memory of its latents.

    Those are (channels, slots, h, w) turned around, and torch draws other numbers into turned tensors.
    """

    def fresh(self, seed: int, step: int, shape: tuple[int, ...]) -> torch.Tensor:
        slots, channels, h, w = shape
        return torch.randn_like(torch.empty(channels, slots, h, w).transpose(0, 1))


LOOP_SETTINGS = {
    "unipc": Lyra2Settings("unipc", steps=4, shift=5.0, guidance=5.0, depth_alignment="cameras"),
    "dmd": Lyra2Settings("dmd", depth_alignment="cameras"),
}
LOOP_SEED, GLOBAL_SEED, FRAME_STEP = 1, 7, 10


def run_loop(folder: Folder, case: str, frames: int, height: int, width: int) -> dict[str, np.ndarray]:
    """Chunks by the engine class, its parts swapped for the recipe's; arrays as in loop.npz."""
    seed, chunk = folder.seed, CHUNK_FRAMES
    inputs = golden_recipe.loop_inputs(seed, height, width, frames)
    inputs["text"] = text_inputs(folder, "loop.text", 1, frames // chunk)
    inputs["negative"] = text_inputs(folder, "loop.negative", 1)
    parts = Lyra2Components(
        transformer=tiny_network(folder, head_dim(folder)),
        vae=StreamingVae(tiny_vae(folder)),
        text_encoder=LoopText(inputs["text"], inputs["negative"]),
        image_encoder=LoopClip(inputs["clip"]),
        depth=LoopDepth(seed, inputs["w2c"]),
        noise=GlobalNoise(),
    )
    engine = Lyra2Engine(parts, LOOP_SETTINGS[case])
    torch.manual_seed(GLOBAL_SEED)
    image = smooth_noise(inputs["image"])
    w2c, intrinsics = inputs["w2c"], inputs["intrinsics"]
    first_depth = golden_recipe.depth_map(seed, "loop.depth0", height, width)
    path = Trajectory(w2c.astype(np.float64), intrinsics.astype(np.float64), height, width)
    state = engine.begin_with(image, first_depth, path[0])
    views, latents, made = [image[0, :, None]], [], None
    for n, start in enumerate(range(1, frames, chunk)):
        # The published run leaves out what follows the last chunk.
        if made is not None:
            engine.commit(state, made)
        made = engine.generate(state, path[start : start + chunk], str(n), LOOP_SEED + n)
        views.append(made.decoded.frames[0])
        latents.append(made.decoded.latents[0])
    video = torch.cat(views, 1)
    return {
        f"{case}_frames": video[:, ::FRAME_STEP].numpy(),
        f"{case}_frame_means": video.mean((0, 2, 3)).numpy(),
        f"{case}_history_latents": torch.cat(latents, 1).numpy(),
        f"{case}_cached_ids": np.array(state.memory.frame_ids),
    }


def loop_results(folder: Folder, golden: Mapping[str, np.ndarray]) -> dict:
    """Of every sampler whose frames the golden holds."""
    results = {}
    for case in LOOP_SETTINGS:
        if f"{case}_frames" in golden:
            height, width = golden[f"{case}_frames"].shape[2:]
            results |= run_loop(folder, case, len(golden[f"{case}_frame_means"]), height, width)
    return results


def checks(folder: Folder) -> list[Check]:
    """The conditioning of every step of the folder's case, and the loop."""
    return [
        *(
            Check(f"cond_ar{step}", partial(conditioning_results, step=step), 2e-3)
            for step in range(folder.chunks)
        ),
        Check("loop", loop_results, 5e-3, {f"{case}_cached_ids": 0.0 for case in LOOP_SETTINGS}),
    ]
