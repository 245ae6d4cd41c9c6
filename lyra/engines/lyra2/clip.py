"""Image tokens of the newest frame from the vision tower of CLIP ViT-H/14."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import interpolate
from transformers import CLIPVisionConfig, CLIPVisionModel

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2.allocation import give_back_device
from lyra.engines.lyra2.encoders import IMAGE_TOKENS
from lyra.engines.lyra2.pretrained import load_pretrained

# Of CLIP's training images (Radford et al. 2021), RGB in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(frame: torch.Tensor, side: int = 224) -> torch.Tensor:
    """`frame` (1, 3, H, W) in [-1, 1], stretched to (1, 3, side, side) and normalised, in its own type.

    As published: bicubic without antialiasing, the aspect ignored. The usual image processors smooth and crop, which
    gives the network other tokens than it was trained with.
    """
    resized = interpolate(frame, size=(side, side), mode="bicubic", align_corners=False)
    mean, deviation = (resized.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (resized * 0.5 + 0.5 - mean) / deviation


class ClipImageEncoder:
    """CLIP's vision tower from a folder in diffusers' layout, with `image_encoder/`.

    The model is loaded at first use and stays until `release`. Published in float16; float32 where that is slow.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float16, device: torch.device | str = "cpu"):
        self.folder, self.dtype, self.device = folder / "image_encoder", dtype, device
        self._model: CLIPVisionModel | None = None

    @torch.no_grad()
    def encode(self, frame: torch.Tensor) -> torch.Tensor:
        """Tokens (1, 257, channels) of `frame` (1, 3, H, W) in [-1, 1], on this encoder's device in its type.

        They leave the tower before its last block and final norm, as the network was trained with.
        Raises InvalidInputError when the folder cannot be used.
        """
        if self._model is None:
            self._model = load_clip(self.folder, self.dtype, self.device)
        pixels = clip_pixels(frame.to(self.device), self._model.config.image_size).to(self.dtype)
        return self._model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]

    def release(self) -> None:
        """Frees the model's memory; the next frame loads it again."""
        if self._model is not None:
            self._model = None
            give_back_device(self.device)


def load_clip(folder: Path, dtype: torch.dtype, device: torch.device | str) -> CLIPVisionModel:
    """The vision tower. Raises InvalidInputError for one that is not built like the published one."""
    model = load_pretrained(CLIPVisionModel, folder, dtype, device)
    config: CLIPVisionConfig = model.config
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    if tokens != IMAGE_TOKENS or config.hidden_act != "gelu":
        raise InvalidInputError(
            f"The image encoder in {folder} gives {tokens} tokens through '{config.hidden_act}'; Lyra 2.0 needs "
            f"that of Wan 2.1, with {IMAGE_TOKENS} through 'gelu'."
        )
    return model
