"""Conversion of the published checkpoint (float32, 68 GB) into sharded safetensors in bfloat16 or float8.

One shard is in memory at a time. Finished shards are kept when the work is stopped. Needs torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save_file

from lyra.common.errors import InvalidInputError
from lyra.common.files import TEMPORARY_PREFIX, require_space, retry_while_locked, sync_folder, whole_file
from lyra.common.locks import only_one
from lyra.common.progress import SILENT, Progress
from lyra.engines.lyra2.checkpoint import Checkpoint, open_checkpoint
from lyra.engines.lyra2.metadata import METADATA_FILE
from lyra.engines.lyra2.names import is_ignorable, stored_in_float8, to_module_key, to_published_key
from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.hub.catalog import CHECKPOINT, CONVERSIONS
from lyra.hub.manifest import FileEntry, Manifest, digest
from lyra.hub.weights import CONVERSION_MANIFEST, INDEX, Weights

SHARD_BYTES = 2_000_000_000
SPARE_BYTES = 500_000_000
NAMED_KEYS = 5
FLOAT8 = torch.float8_e4m3fn
SAFETENSORS_TYPES = {torch.bfloat16: "BF16", FLOAT8: "F8_E4M3"}
PLAN = "plan.json"


def convert(
    weights: Weights,
    conversion_id: str = "lyra2-bf16",
    source: Path | None = None,
    progress: Progress = SILENT,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes the network as "lyra2-bf16" or "lyra2-fp8" into the weights folder and returns its folder.

    `source` is a checkpoint's folder or a .pth file, by default the downloaded one. Peak memory is about
    `shard_bytes` and two copies of the largest tensor. Raises InvalidInputError that names each key that is missing,
    unknown or of another shape; DiskFullError before anything is written that would not fit; EngineNotReadyError
    without a checkpoint; InUseError while another process converts.
    """
    if conversion_id not in CONVERSIONS:
        raise InvalidInputError(
            f"There is no conversion {conversion_id!r}; choose one of {', '.join(CONVERSIONS)}."
        )
    target = weights.conversion(conversion_id)
    if weights.has(conversion_id):
        return target
    checkpoint = open_checkpoint(source or weights.path(CHECKPOINT))
    config = NetworkConfig.beside(checkpoint.path)
    shapes = network_shapes(config)
    matched = match_keys(checkpoint.path, checkpoint.shapes, shapes)
    types = expected_types(shapes, conversion_id)
    plan = _plan_shards(shapes, types, shard_bytes)

    work = target.with_name(f"{TEMPORARY_PREFIX}{conversion_id}")
    with only_one(target.with_name(f".{conversion_id}.lock"), f"The conversion to {target}"):
        _begin(work, checkpoint.path, conversion_id, plan)
        left = {name: keys for name, keys in plan.items() if not (work / name).is_file()}
        require_space(work, sum(_bytes(keys, shapes, types) for keys in left.values()) + SPARE_BYTES)
        _write_shards(work, left, checkpoint, matched, types, progress)
        _finish(work, config, plan, _bytes(shapes, shapes, types), progress)
        if target.exists():
            shutil.rmtree(target)
        retry_while_locked(work.rename, target)
        sync_folder(target.parent)
    return target


@cache
def network_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every weight by the module's key, from the network itself built without memory."""
    from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel

    with torch.device("meta"):
        network = Lyra2Transformer3DModel(**asdict(config))
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def match_keys(
    path: Path, found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> dict[str, str]:
    """The checkpoint's key of every key of the module, in the module's order.

    Raises InvalidInputError that names missing and unknown keys and wrong shapes; training state is passed over.
    """
    matched: dict[str, str] = {}
    problems = []
    for published, shape in found.items():
        if is_ignorable(published):
            continue
        key = _module_key(published)
        if key not in expected:
            problems.append(f"unknown key {published!r}")
        elif key in matched:
            problems.append(f"{matched[key]!r} and {published!r} are the same weight")
        else:
            matched[key] = published
            if shape != expected[key]:
                problems.append(f"{published!r} is {list(shape)} and should be {list(expected[key])}")
    problems += [f"no {to_published_key(key)!r}" for key in expected if key not in matched]
    if problems:
        more = f" and {len(problems) - NAMED_KEYS} more" if len(problems) > NAMED_KEYS else ""
        raise InvalidInputError(
            f"{path} is not the Lyra 2.0 network: {'; '.join(problems[:NAMED_KEYS])}{more}. Download it again, or "
            "update lyra-worlds."
        )
    return {key: matched[key] for key in expected}


def _module_key(published: str) -> str | None:
    try:
        return to_module_key(published)
    except InvalidInputError:
        return None


def expected_types(shapes: dict[str, tuple[int, ...]], conversion_id: str) -> dict[str, torch.dtype]:
    """Storage type of every weight in a conversion."""
    float8 = conversion_id == "lyra2-fp8"
    return {key: FLOAT8 if float8 and stored_in_float8(key) else torch.bfloat16 for key in shapes}


def _bytes(keys: Iterable[str], shapes: dict[str, tuple[int, ...]], types: dict[str, torch.dtype]) -> int:
    return sum(prod(shapes[key]) * types[key].itemsize for key in keys)


def _plan_shards(
    shapes: dict[str, tuple[int, ...]], types: dict[str, torch.dtype], limit: int
) -> dict[str, list[str]]:
    """Keys by file name, in the module's order, each file at most `limit` bytes unless one weight alone is more."""
    groups: list[list[str]] = [[]]
    filled = 0
    for key in shapes:
        size = _bytes([key], shapes, types)
        if groups[-1] and filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(key)
        filled += size
    count = len(groups)
    return {
        f"diffusion_pytorch_model-{number:05d}-of-{count:05d}.safetensors": keys
        for number, keys in enumerate(groups, 1)
    }


def _begin(work: Path, checkpoint: Path, conversion_id: str, plan: dict[str, list[str]]) -> None:
    """Keeps the shards of an interrupted run of the same plan and source; anything else in `work` is removed."""
    head = checkpoint / METADATA_FILE if checkpoint.is_dir() else checkpoint
    stat = head.stat()
    stated = {"source": str(checkpoint), "size": stat.st_size, "changed": stat.st_mtime_ns, "plan": plan}
    text = json.dumps({"conversion": conversion_id, **stated}, indent=1)
    file = work / PLAN
    if not (file.is_file() and file.read_text("utf-8") == text):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        file.write_text(text, "utf-8")


def _write_shards(
    work: Path,
    left: dict[str, list[str]],
    checkpoint: Checkpoint,
    matched: dict[str, str],
    types: dict[str, torch.dtype],
    progress: Progress,
) -> None:
    total = sum(prod(checkpoint.shapes[key]) for key in matched.values())
    done = total - sum(prod(checkpoint.shapes[matched[key]]) for keys in left.values() for key in keys)
    for name, keys in left.items():
        tensors = {}
        for key in keys:
            progress.update("convert", done / total)
            tensors[key] = _cast(checkpoint, matched[key], types[key])
            done += tensors[key].numel()
        with whole_file(work / name) as temporary:
            save_file(tensors, temporary, {"format": "pt"})
            # The library makes files that only their owner may read.
            shutil.copymode(work / PLAN, temporary)


def _cast(checkpoint: Checkpoint, published: str, dtype: torch.dtype) -> torch.Tensor:
    """A weight in its storage type, rounded once. Raises InvalidInputError for values that the type cannot hold."""
    weight = checkpoint.read(published)
    if not weight.is_floating_point():
        raise InvalidInputError(f"{checkpoint.path}: {published!r} is {weight.dtype}, not floating point.")
    smallest, largest = (bound.item() for bound in weight.aminmax())
    largest = max(largest, -smallest)
    # Not a number fails the comparison too.
    if not largest <= torch.finfo(dtype).max:
        raise InvalidInputError(
            f"{checkpoint.path}: {published!r} has values up to {largest:g}, beyond {dtype}. "
            + ("Convert with --dtype bf16." if dtype == FLOAT8 else "Download it again.")
        )
    return weight.to(dtype).contiguous()


def _finish(
    work: Path, config: NetworkConfig, plan: dict[str, list[str]], size: int, progress: Progress
) -> None:
    """Index, configuration and manifest, in diffusers' layout."""
    index = {
        "metadata": {"total_size": size},
        "weight_map": {key: name for name, keys in plan.items() for key in keys},
    }
    (work / INDEX).write_text(json.dumps(index, indent=1), "utf-8")
    settings = {"_class_name": "Lyra2Transformer3DModel", **asdict(config)}
    (work / CONFIG).write_text(json.dumps(settings, indent=1), "utf-8")
    entries = []
    for name in (*plan, INDEX, CONFIG):
        file = work / name
        sha256 = digest(file, "sha256", lambda number: progress.update("checksums", 1.0))
        entries.append(FileEntry(name, file.stat().st_size, sha256))
    Manifest("conversion", "", tuple(entries)).write(work / CONVERSION_MANIFEST)
    # Last of all: without it the shards of a run that is stopped at the digests, which take minutes, are made again.
    (work / PLAN).unlink()
