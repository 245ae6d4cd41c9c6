"""A Lyra 2.0 engine of a few thousand weights, for tests: real network and VAE, the rest stands in."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from lyra.depth.base import WindowDepth
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.noise import SeededNoise
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from lyra.engines.lyra2.vae import StreamingVae
from lyra.geometry.cameras import Trajectory, intrinsics_from_fov
from lyra.geometry.rays import PATCH
from lyra.geometry.views import View

HEIGHT, WIDTH = 32, 48
TEXT_TOKENS, TEXT_DIM, IMAGE_DIM = 4, 16, 24
WALL, SKY_ROWS = 4.0, 6


class WordsText:
    """Embeds a prompt by its letters; counts how often it was loaded and let go."""

    def __init__(self):
        self.loads, self.loaded, self.known = 0, False, {}

    def encode(self, prompt: str) -> torch.Tensor:
        if prompt not in self.known:
            self.loads += not self.loaded
            self.loaded = True
            seed = torch.Generator().manual_seed(sum(map(ord, prompt)))
            self.known[prompt] = torch.randn(1, TEXT_TOKENS, TEXT_DIM, generator=seed)
        return self.known[prompt]

    def negative(self) -> torch.Tensor:
        return torch.zeros(1, TEXT_TOKENS, TEXT_DIM)

    def release(self) -> None:
        self.loaded = False


class MeanImage:
    """Embeds a frame by its mean."""

    def encode(self, frame: torch.Tensor) -> torch.Tensor:
        return float(frame.mean()) * torch.linspace(-1, 1, IMAGE_DIM).expand(1, 257, IMAGE_DIM)


class WallDepth:
    """Depth of a wall across the world's z axis below a strip of sky, in the cameras' units."""

    id = "wall"

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        depth = np.stack([wall_depth(pose, *frames.shape[1:3]) for pose in w2c])
        return WindowDepth(depth, scaled_by_cameras=True)


def wall_depth(w2c: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    depth = np.full((height, width), WALL + w2c[2, 3], np.float32)
    depth[:SKY_ROWS] = np.inf
    return depth


def tiny_parts(dtype: torch.dtype = torch.float32, **changes) -> Lyra2Components:
    """Components whose weights are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = Lyra2Transformer3DModel(
            num_attention_heads=2,
            attention_head_dim=24,
            text_dim=TEXT_DIM,
            image_dim=IMAGE_DIM,
            freq_dim=32,
            ffn_dim=64,
            num_layers=2,
            buffer_squeeze=8,
        )
        vae = AutoencoderKLWan(base_dim=4, z_dim=16)
    for model in (transformer, vae):
        model.eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
    parts = {
        "transformer": transformer,
        "vae": StreamingVae(vae),
        "text_encoder": WordsText(),
        "image_encoder": MeanImage(),
        "depth": WallDepth(),
        "noise": SeededNoise(),
    }
    return Lyra2Components(**parts | changes)


def seed_view() -> View:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (HEIGHT // PATCH, WIDTH // PATCH, 3), dtype=np.uint8)
    image = coarse.repeat(PATCH, 0).repeat(PATCH, 1)
    return View.at_origin(image, wall_depth(np.eye(4)), intrinsics_from_fov(1.0, HEIGHT, WIDTH))


def path(frames: int = 161) -> Trajectory:
    """A walk towards the wall and a little to the side, frame 0 at the origin."""
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, 2, 3] = -np.linspace(0, 1, frames)
    w2c[:, 0, 3] = np.linspace(0, 0.3, frames)
    k = np.tile(intrinsics_from_fov(1.0, HEIGHT, WIDTH), (frames, 1, 1))
    return Trajectory(w2c, k, HEIGHT, WIDTH)
