"""LoRA files in both published styles: reading, validation against the network, merging.

Styles of keys: musubi-tuner's `lora_unet_blocks_0_self_attn_q.lora_down.weight` (with `.alpha`), and module paths
such as `diffusion_model.blocks.0.self_attn.q.lora_A.weight`, with or without prefix, `lora_A`/`lora_B` or
`lora_down`/`lora_up`, optional `.alpha`, `.diff_b` and `.diff`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place, value
from lyra.engines.lyra2 import names
from lyra.hub.safetensor_files import read_header

_MUSUBI = "lora_unet_"
_PATH_PREFIXES = re.compile(r"^(diffusion_model\.|net\.)+")
_PARTS = {
    "lora_down.weight": "down",
    "lora_A.weight": "down",
    "lora_up.weight": "up",
    "lora_B.weight": "up",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_b",
}
# Differences this even are rounding noise of the file's maker; the published loader drops them too.
NOISE_SPREAD = 1.6e-2
_OTHER_MODEL = "the file was made for another model or is damaged; leave it out or choose another one"


@dataclass(frozen=True)
class LowRankChange:
    """A change of one linear layer: scale * up @ down, and of its bias, where it has one."""

    down: Tensor
    """(rank, in)"""
    up: Tensor
    """(out, rank)"""
    scale: float
    """alpha / rank"""
    bias: Tensor | None = None
    """(out,)"""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.up.shape[0], self.down.shape[1])

    def delta(self, device: torch.device) -> Tensor:
        """The change of the weight (out, in), float32."""
        down, up = self.down.to(device, torch.float32), self.up.to(device, torch.float32)
        return torch.mm(up, down).mul_(self.scale)


def read_lora(path: Path) -> dict[str, LowRankChange]:
    """Changes by path of the module here, for example "blocks.0.attn1.to_q".

    Raises InvalidInputError that names a key which fits no layer or lacks its counterpart.
    """
    try:
        read_header(path)
        tensors = load_file(path)
    except (SafetensorError, OSError, InvalidInputError) as error:
        raise InvalidInputError(
            one_line(f"{place(path)} cannot be read as safetensors ({error}); download it again.")
        ) from error
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        layer, part = _split_key(path, key)
        # The published loader leaves changes of whole weights aside; so do norms that some trainers save unchanged.
        if part != "diff" and not (part == "diff_b" and _is_noise(tensor)):
            layers[layer][part] = tensor
    _check_image_layers(path, layers)
    changes = {_module_path(path, layer): _change(path, layer, parts) for layer, parts in layers.items()}
    if not changes:
        raise InvalidInputError(f"{place(path)} holds no LoRA weights; {_OTHER_MODEL}.")
    return changes


def check_fits(path: Path, changes: Mapping[str, LowRankChange], shapes: Mapping[str, Iterable[int]]) -> None:
    """Raises InvalidInputError where a change does not fit `shapes`, the network's shapes by key."""
    for module, change in changes.items():
        shape = tuple(shapes.get(f"{module}.weight", ()))
        if shape != change.shape:
            raise InvalidInputError(
                f"{place(path)} changes {one_line(module, 60)} as a layer of {_sizes(change.shape)}, the network has "
                f"{_sizes(shape) if shape else 'no such layer'}; {_OTHER_MODEL}."
            )
        if change.bias is not None and tuple(shapes.get(f"{module}.bias", ())) != tuple(change.bias.shape):
            raise InvalidInputError(
                f"{place(path)} changes the bias of {one_line(module, 60)}, which the network does not have in "
                f"that size; {_OTHER_MODEL}."
            )


class LoraMerger:
    """Several LoRA files with their strengths, to be merged into weights as these are read."""

    def __init__(self, loras: Mapping[Path, float], shapes: Mapping[str, Iterable[int]]):
        """Reads the files and checks them against the network's `shapes`; see `read_lora` and `check_fits`."""
        self._loras = [(strength, read_lora(path)) for path, strength in loras.items()]
        for path, (_, changes) in zip(loras, self._loras, strict=True):
            check_fits(path, changes, shapes)

    def merged(self, key: str, tensor: Tensor) -> Tensor:
        """`tensor` of `key` plus its changes, summed in float32 and not yet rounded; itself where there are none."""
        module, _, kind = key.rpartition(".")
        for strength, changes in self._loras:
            change = changes.get(module)
            if change is None:
                continue
            if kind == "weight":
                tensor = torch.add(tensor.float(), change.delta(tensor.device), alpha=strength)
            elif kind == "bias" and change.bias is not None:
                tensor = torch.add(
                    tensor.float(), change.bias.to(tensor.device, torch.float32), alpha=strength
                )
        return tensor


def _split_key(path: Path, key: str) -> tuple[str, str]:
    for suffix, part in _PARTS.items():
        if key.endswith(f".{suffix}"):
            return key.removesuffix(f".{suffix}"), part
    raise InvalidInputError(f"{place(path)}: {value(key)} is no part of a LoRA; {_OTHER_MODEL}.")


def _is_noise(tensor: Tensor) -> bool:
    size = tensor.float().abs()
    return not size.numel() or bool(size.max() - size.min() < NOISE_SPREAD)


def _change(path: Path, layer: str, parts: Mapping[str, Tensor]) -> LowRankChange:
    needed = ("down", "up", "alpha") if layer.startswith(_MUSUBI) else ("down", "up")
    for part in needed:
        if part not in parts:
            raise InvalidInputError(
                f"{place(path)}: {value(layer)} has no {part}, only {', '.join(parts)}; {_OTHER_MODEL}."
            )
    down, up = parts["down"], parts["up"]
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or not down.shape[0]:
        raise InvalidInputError(
            f"{place(path)}: {value(layer)} has down {tuple(down.shape)} and up {tuple(up.shape)}, which do not go "
            f"together; {_OTHER_MODEL}."
        )
    rank = down.shape[0]
    if "alpha" in parts and parts["alpha"].numel() != 1:
        raise InvalidInputError(
            f"{place(path)}: {value(layer)} has alpha {tuple(parts['alpha'].shape)}, not one number; {_OTHER_MODEL}."
        )
    alpha = float(parts["alpha"]) if "alpha" in parts else rank
    return LowRankChange(down, up, alpha / rank, parts.get("diff_b"))


def _module_path(path: Path, layer: str) -> str:
    try:
        return names.to_module_key(_published_path(layer))
    except InvalidInputError as error:
        raise InvalidInputError(
            f"{place(path)}: {value(layer)} is no layer of the network; {_OTHER_MODEL}."
        ) from error


def _published_path(layer: str) -> str:
    """The published path of a layer, of which musubi-tuner keeps only underscores."""
    if not layer.startswith(_MUSUBI):
        return _PATH_PREFIXES.sub("", layer)
    flat = layer.removeprefix(_MUSUBI)
    block = re.fullmatch(r"blocks_(\d+)_(.+)", flat)
    if block:
        return f"blocks.{block[1]}.{_flattened(names.BLOCK_MODULES).get(block[2], block[2])}"
    return _flattened(names.OUTER_MODULES).get(flat) or re.sub(
        rf"^{names.HISTORY_EMBEDDINGS}_(\d+)$", rf"{names.HISTORY_EMBEDDINGS}.\1", flat
    )


def _flattened(modules: Iterable[str]) -> dict[str, str]:
    return {module.replace(".", "_"): module for module in modules}


def _check_image_layers(path: Path, layers: Iterable[str]) -> None:
    """Keys and values of the image are changed together or not at all, as in the published loader."""
    found = {
        name: next((layer for layer in layers if layer.endswith(name)), None) for name in ("k_img", "v_img")
    }
    lone = [layer for layer in found.values() if layer]
    if len(lone) == 1:
        raise InvalidInputError(
            f"{place(path)}: {value(lone[0])} changes only one of the image's keys and values; {_OTHER_MODEL}."
        )


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
