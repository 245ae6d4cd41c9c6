"""Dimensions, size and FLOPs of the Lyra 2.0 network, computed without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import place, value
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout

CONFIG = "config.json"
LARGEST_CONFIG, LARGEST_NUMBER = 1_000_000, 10**7
TEXT_TOKENS, IMAGE_TOKENS = 512, 257
# A token covers 2x2 latents, a latent 8x8 pixels.
LATENT_AREA, PIXELS_PER_TOKEN = 4, 16


@dataclass(frozen=True)
class NetworkConfig:
    """The configuration of `Lyra2Transformer3DModel` under its own names; the defaults are the published network."""

    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 36
    out_channels: int = 16
    text_dim: int = 4096
    image_dim: int = 1280
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    eps: float = 1e-6
    framepack: str = PUBLISHED_LAYOUT
    ray_channels: int = 384
    buffer_channels: int = 1280
    buffer_octaves: int = 2
    buffer_squeeze: int = 256

    @classmethod
    def beside(cls, checkpoint: Path) -> NetworkConfig:
        """What a `config.json` in the checkpoint's folder says, else the published network.

        The published repository has no such file; it is for networks of other sizes. Raises InvalidInputError for
        a damaged file, an unknown name or a value of another type.
        """
        folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
        file = folder / CONFIG
        return cls.read(file) if file.is_file() else cls()

    @classmethod
    def read(cls, file: Path) -> NetworkConfig:
        fault, advice = "is no configuration of the network", "download or convert it again"
        try:
            stated = read_object(file, limit=LARGEST_CONFIG, advice=advice, fault=fault)
        except FileNotFoundError as error:
            raise InvalidInputError(f"{place(file)} is missing; {advice}.") from error
        stated = {key: given for key, given in stated.items() if not key.startswith("_")}
        defaults = cls()
        for name, given in stated.items():
            if name not in {field.name for field in fields(cls)}:
                raise InvalidInputError(
                    f"{place(file)}: {value(name)} is no setting of the Lyra 2.0 network."
                )
            expected = type(getattr(defaults, name))
            if type(given) is not expected or (expected is not str and not 0 < given <= LARGEST_NUMBER):
                raise InvalidInputError(
                    f"{place(file)}: {name} is {value(given)}; it must be a positive {expected.__name__}."
                )
        config = cls(**stated)
        FramePackLayout.parse(config.framepack)
        return config

    @property
    def dim(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @property
    def block_matrices(self) -> int:
        """Weights of the large projections of all blocks, those that the float8 form stores in one byte."""
        return self.num_layers * (10 * self.dim**2 + 2 * self.dim * self.ffn_dim)

    @property
    def parameters(self) -> int:
        """All weights of the network."""
        d, f = self.dim, self.ffn_dim
        attention = 10 * (d * d + d) + 5 * d
        feed_forward = 2 * d * f + f + d
        geometry = d * LATENT_AREA * self.ray_channels + self.buffer_squeeze * (
            LATENT_AREA * self.buffer_channels * 2 * self.buffer_octaves + d
        )
        block = attention + feed_forward + geometry + 2 * d + 6 * d
        layout = FramePackLayout.parse(self.framepack)
        patches = [1, *(prod(group.pooling) for group in layout.groups)]
        embeddings = sum(d * self.in_channels * LATENT_AREA * patch + d for patch in patches)
        text = d * self.text_dim + d + d * d + d
        time = d * self.freq_dim + d + d * d + d + 6 * (d * d + d)
        image = 2 * self.image_dim + self.image_dim**2 + self.image_dim + d * self.image_dim + 3 * d
        head = LATENT_AREA * self.out_channels * (d + 1) + 2 * d
        return self.num_layers * block + embeddings + text + time + image + head

    def bytes_as(self, conversion_id: str) -> int:
        """Size of the weights as "lyra2-bf16" or "lyra2-fp8"."""
        return 2 * self.parameters - (self.block_matrices if conversion_id == "lyra2-fp8" else 0)

    def tokens(self, height: int, width: int) -> int:
        """Tokens that the network sees for frames of `height` x `width` pixels."""
        rows, columns = height // PIXELS_PER_TOKEN, width // PIXELS_PER_TOKEN
        layout = FramePackLayout.parse(self.framepack)
        history = sum(prod(group.grid(rows, columns)) for group in layout.groups)
        return history + layout.generated * rows * columns

    def pass_flops(self, height: int, width: int) -> float:
        """Floating-point operations of one pass for one guidance branch, with the per-chunk parts cached."""
        n, d = self.tokens(height, width), self.dim
        per_token = (
            6 * d * d + 2 * d * self.ffn_dim + d * (LATENT_AREA * self.ray_channels + self.buffer_squeeze)
        )
        attention = 4 * n * (n + TEXT_TOKENS + IMAGE_TOKENS) * d
        return float(self.num_layers * (2 * n * per_token + attention))
