"""Strict loading of the network from sharded safetensors, one tensor at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFETENSORS_WEIGHTS_NAME
from safetensors import SafetensorError, safe_open
from torch import nn

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import one_line, place
from lyra.engines.lyra2 import names
from lyra.engines.lyra2.lora import LoraMerger
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from lyra.hub.safetensor_files import read_header
from lyra.hub.weights import shard_places

FLOAT8 = torch.float8_e4m3fn
_MEND = "check it with `lyra models verify`, or convert the weights again with `lyra models convert`"


def load_transformer(
    folder: Path,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    loras: Mapping[Path, float] | None = None,
    float8: bool = False,
) -> Lyra2Transformer3DModel:
    """The network of `folder` (config.json and safetensors, the layout of diffusers) on `device`, in evaluation mode.

    `dtype` is the type of computation. `loras` maps LoRA files to strengths; they are merged in float32 and the sum is
    rounded once. `float8` stores the large projections in float8 (`names.stored_in_float8`), which layerwise casting
    turns to `dtype` as they are used; weights that lie in the folder as float8 stay so in any case.

    Besides the result, memory holds one tensor at a time. Raises EngineNotReadyError where files are missing, and
    InvalidInputError that names a damaged file, a missing, unknown or wrongly shaped key, or a LoRA that does not fit.
    """
    model = empty_transformer(folder)
    shapes = {key: tuple(parameter.shape) for key, parameter in model.named_parameters()}
    shards = _shards(folder, shapes)
    merger = LoraMerger(loras or {}, shapes)
    for path, keys in shards.items():
        stored = _read_shard(model, path, keys, torch.device(device), merger, dtype, float8)
        if stored and loras:
            raise InvalidInputError(
                f"{folder} holds float8 weights, too coarse to take up {next(iter(loras))}; use the bfloat16 weights "
                "(`lyra models convert`) and let them be stored in float8 after merging."
            )
        float8 |= stored
    if float8:
        model.enable_layerwise_casting(FLOAT8, dtype)
    return model.eval().requires_grad_(False)


def empty_transformer(folder: Path) -> Lyra2Transformer3DModel:
    """The network that config.json of `folder` describes, on the meta device: shapes without numbers."""
    try:
        config = read_object(folder / "config.json", advice=_MEND, fault="is no JSON object")
    except FileNotFoundError as error:
        raise EngineNotReadyError(
            f"There is no network in {folder} (no config.json); make it with `lyra models convert`."
        ) from error
    kind = config.get("_class_name")
    if kind != Lyra2Transformer3DModel.__name__:
        raise InvalidInputError(
            f"{folder / 'config.json'} describes a {kind}, not a {Lyra2Transformer3DModel.__name__}; choose the folder "
            "that `lyra models convert` wrote."
        )
    with torch.device("meta"):
        return Lyra2Transformer3DModel.from_config(config)


def _shards(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[Path, list[str]]:
    """Files of the folder with the keys to read from each; refuses a set of keys other than the network's."""
    single, index = folder / SAFETENSORS_WEIGHTS_NAME, folder / SAFE_WEIGHTS_INDEX_NAME
    if index.is_file():
        places = shard_places(index)
    elif single.is_file():
        with _open(single, torch.device("cpu")) as file:
            places = dict.fromkeys(file.keys(), single.name)
    else:
        raise EngineNotReadyError(
            f"There are no weights in {folder} (neither {index.name} nor {single.name}); make them with "
            "`lyra models convert`."
        )
    _refuse("misses", shapes.keys() - places.keys(), folder)
    _refuse("has unknown keys:", places.keys() - shapes.keys(), folder)
    shards = defaultdict(list)
    for key, name in places.items():
        # An index may not lead out of its folder.
        shards[folder / Path(name).name].append(key)
    return shards


def _read_shard(
    model: nn.Module,
    path: Path,
    keys: list[str],
    device: torch.device,
    merger: LoraMerger,
    dtype: torch.dtype,
    float8: bool,
) -> bool:
    """Puts the tensors of one file into the model; returns whether any of them is stored in float8."""
    stored = False
    with _open(path, device) as file:
        _refuse("misses", set(keys) - set(file.keys()), path)
        _refuse("has keys that the index does not name:", set(file.keys()) - set(keys), path)
        for key in keys:
            tensor = file.get_tensor(key)
            expected = model.get_parameter(key).shape
            if tensor.shape != expected:
                raise InvalidInputError(
                    f"{path}: {key} has the shape {tuple(tensor.shape)}, the network needs {tuple(expected)}; {_MEND}."
                )
            stored |= tensor.dtype == FLOAT8
            target = FLOAT8 if (float8 or stored) and names.stored_in_float8(key) else dtype
            # The file is a memory map; what stays must not hold on to it.
            tensor = merger.merged(key, tensor).to(device, target, copy=device.type == "cpu")
            module, _, name = key.rpartition(".")
            setattr(model.get_submodule(module), name, nn.Parameter(tensor, requires_grad=False))
    return stored


def _open(path: Path, device: torch.device):
    try:
        if not path.is_file():
            raise EngineNotReadyError(f"{path} is missing; {_MEND}.")
        read_header(path)
        return safe_open(path, framework="pt", device=str(device))
    except (SafetensorError, InvalidInputError) as error:
        raise InvalidInputError(
            one_line(f"{place(path)} is damaged ({one_line(error, 80)}); {_MEND}.")
        ) from error


def _refuse(what: str, keys: set[str], place: Path) -> None:
    if keys:
        first = sorted(keys)
        more = f" and {len(first) - 3} more" if len(first) > 3 else ""
        raise InvalidInputError(f"{place} {what} {', '.join(first[:3])}{more}; {_MEND}.")
