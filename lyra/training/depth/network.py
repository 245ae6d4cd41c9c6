"""The depth network in torch, for training; `lyra.depth.network` runs the same weights without torch.

A residual U-Net: convolutions at 1/2, 1/4 and 1/8 of the resolution, global self-attention at 1/16, and back up to
full size. Batch normalisation is folded into the convolutions on export.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lyra.depth.network import pixel_coordinates
from lyra.depth.network_file import NetworkShape, save_weights


class ConvNorm(nn.Module):
    """Convolution without bias, then batch normalisation."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, momentum=0.03)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))

    def folded(self) -> dict[str, torch.Tensor]:
        """`weight` (kh, kw, in, out) and `bias` (out,) of the equivalent single convolution."""
        gain = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        weight = (self.conv.weight * gain[:, None, None, None]).permute(2, 3, 1, 0)
        return {"weight": weight, "bias": self.norm.bias - self.norm.running_mean * gain}


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)
        nn.init.zeros_(self.second.norm.weight)  # blocks begin as the identity

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class TokenBlock(nn.Module):
    """A transformer block over all pixels, with a depthwise 3x3 convolution as relative position encoding."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.place = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 4 * channels)
        self.shrink = nn.Linear(4 * channels, channels)
        for layer in (self.place, self.proj, self.shrink):  # blocks begin as the identity
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        # In the normalised branch: on the residual stream a convolution would amplify it from block to block.
        normal = self.norm1(tokens).transpose(1, 2).reshape(x.shape)
        normal = (normal + self.place(normal)).flatten(2).transpose(1, 2)
        qkv = self.qkv(normal).view(count, height * width, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(2))
        tokens = tokens + self.shrink(functional.relu(self.expand(self.norm2(tokens))))
        return tokens.transpose(1, 2).reshape(count, channels, height, width)


class DepthNet(nn.Module):
    """Normalised log inverse depth, sky and two camera parameters, for images whose sides are multiples of 16."""

    def __init__(self, shape: NetworkShape | None = None):
        super().__init__()
        self.shape = shape = shape or NetworkShape()
        widths = shape.widths
        self.stem = ConvNorm(5, widths[0], 3, 2)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Residual(w) for _ in range(n)))
            for w, n in zip(widths, shape.encoder_blocks, strict=True)
        )
        self.down = nn.ModuleList(
            ConvNorm(a, b, 3, 2) for a, b in zip(widths, (*widths[1:], shape.token_width), strict=True)
        )
        self.tokens = nn.Sequential(
            *(TokenBlock(shape.token_width, shape.heads) for _ in range(shape.token_blocks))
        )
        self.up = nn.ModuleList(
            ConvNorm(b, a, 1) for a, b in zip(widths, (*widths[1:], shape.token_width), strict=True)
        )
        self.skip = nn.ModuleList(ConvNorm(w, w, 1) for w in widths)
        self.decoder = nn.ModuleList(
            nn.Sequential(*(Residual(w) for _ in range(n)))
            for w, n in zip(widths, shape.decoder_blocks, strict=True)
        )
        self.head = ConvNorm(widths[0], widths[0])
        self.maps = nn.Conv2d(widths[0], 8, 3, padding=1)
        # The four pixels of a block start equal (Aitken et al. 2017), to avoid checkerboard artefacts.
        with torch.no_grad():
            self.maps.weight.copy_(self.maps.weight[::4].repeat_interleave(4, 0))
            self.maps.bias.zero_()
        # Normalised over the batch: differences between images are small compared with their common part.
        self.camera_norm = nn.BatchNorm1d(3 * shape.token_width, momentum=0.03)
        self.camera1 = nn.Linear(3 * shape.token_width, 64)
        self.camera2 = nn.Linear(64, 2)
        with torch.no_grad():  # a typical focal length, and about twelve metres
            self.camera2.bias.copy_(torch.tensor([-0.3, 2.5]))
        # An auxiliary output for training: the gravity field determines the focal length.
        self.gravity = nn.Sequential(
            nn.BatchNorm2d(shape.token_width, momentum=0.03), nn.Conv2d(shape.token_width, 3, 1)
        )

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """`inputs` (N, 5, H, W) from `network_input`.

        Returns the log of normalised inverse depth (N, H, W), the logit of sky (N, H, W), (N, 2): log of the focal
        length over the longer side, log of the median depth in metres, and the gravity field (N, 3, H/16, W/16) as in
        `losses.gravity_field`.
        """
        x = functional.relu(self.stem(inputs))
        kept = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            x = blocks(x)
            kept.append(x)
            x = functional.relu(down(x))
        # The residual stream stays in float32: in bfloat16 small updates would be lost on large sums.
        x = self.tokens(x.float())
        camera = self.camera2(functional.relu(self.camera1(self.camera_norm(_pooled(x)))))
        gravity = self.gravity(x).float()
        for level in reversed(range(len(kept))):
            raised = functional.interpolate(self.up[level](x), scale_factor=2, mode="nearest")
            x = self.decoder[level](functional.relu(raised + self.skip[level](kept[level])))
        maps = functional.pixel_shuffle(self.maps(functional.relu(self.head(x))), 2).float()
        return maps[:, 0], maps[:, 1], camera.float(), gravity


def _pooled(x: torch.Tensor) -> torch.Tensor:
    """(N, 3 C) of x (N, C, H, W): the mean and the first moments across columns and rows."""
    across, down = (
        torch.as_tensor(p, dtype=x.dtype, device=x.device) for p in pixel_coordinates(*x.shape[2:])
    )
    return torch.cat([x.mean((2, 3)), (x * across).mean((2, 3)), (x * down).mean((2, 3))], 1)


def inputs_from(images: torch.Tensor) -> torch.Tensor:
    """The network's input (N, 5, H, W) for `images` (N, H, W, 3) in 0 ... 255, as in `network_input`."""
    count, height, width, _ = images.shape
    across, down = (
        torch.as_tensor(p, dtype=torch.float32, device=images.device)
        for p in pixel_coordinates(height, width)
    )
    where = [p.expand(count, height, width)[..., None] for p in (across, down)]
    # Channels-last in memory as well.
    return torch.cat([images.float() / 63.75 - 2, *where], -1).permute(0, 3, 1, 2)


def exported(model: DepthNet) -> dict[str, np.ndarray]:
    """The weights in the layout of `lyra.depth.network`: folded, convolutions (kh, kw, in, out), matrices (in, out)."""
    tensors: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if name.startswith("gravity"):
            continue
        if name == "camera1":
            tensors |= _folded_before(model.camera_norm, module)
        elif isinstance(module, ConvNorm):
            tensors |= {f"{name}.{key}": value for key, value in module.folded().items()}
        elif isinstance(module, nn.Linear):
            tensors |= {f"{name}.weight": module.weight.T, f"{name}.bias": module.bias}
        elif isinstance(module, nn.LayerNorm):
            tensors |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            tensors |= {f"{name}.weight": module.weight.permute(2, 3, 1, 0), f"{name}.bias": module.bias}
    return {key: np.ascontiguousarray(value.detach().cpu().float().numpy()) for key, value in tensors.items()}


def _folded_before(norm: nn.BatchNorm1d, linear: nn.Linear) -> dict[str, torch.Tensor]:
    """`linear` with the preceding `norm` folded in."""
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = linear.weight * gain
    offset = linear.weight @ (norm.bias - norm.running_mean * gain)
    return {"camera1.weight": weight.T, "camera1.bias": linear.bias + offset}


def export(model: DepthNet, path: Path, facts: dict[str, str]) -> None:
    """Writes `model` in the bundled format, float16, with training `facts` in the header."""
    save_weights(path, exported(model.eval()), model.shape, facts)
