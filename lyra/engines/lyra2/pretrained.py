"""Loading of diffusers and transformers models from local folders, completely or not at all.

The libraries fill what a file lacks with random numbers and say so in a log line; here that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from lyra.common.errors import InvalidInputError

REPAIR = "check it with: lyra models verify"
NAMED_TENSORS = 3

Model = TypeVar("Model", bound=torch.nn.Module)


def load_pretrained(
    model_class: type[Model], folder: Path, dtype: torch.dtype, device: torch.device | str
) -> Model:
    """`model_class` with the safetensors weights in `folder`, ready for inference on `device`.

    `model_class` is of diffusers or transformers; weights go to the device shard by shard. Raises InvalidInputError,
    naming folder and reason, for a folder without configuration or safetensors, a damaged file, and tensors that are
    missing or of another shape. Tensors that the model does not have are left where they are.
    """
    name = model_class.__name__
    if not (folder / "config.json").is_file():
        raise InvalidInputError(f"There is no {name} in {folder}: config.json is missing; {REPAIR}")
    try:
        with _quiet():
            model, report = model_class.from_pretrained(
                folder,
                **_placement(model_class, dtype, device),
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InvalidInputError(f"{name} cannot be loaded from {folder}: {reason}; {REPAIR}") from error
    mismatched = sorted(entry[0] for entry in report["mismatched_keys"])
    for keys, state in (
        (sorted(set(report["missing_keys"]) - set(mismatched)), "lacks"),
        (mismatched, "has another shape for"),
    ):
        if keys:
            more = f" and {len(keys) - NAMED_TENSORS} more" if len(keys) > NAMED_TENSORS else ""
            raise InvalidInputError(
                f"{folder} {state} {', '.join(keys[:NAMED_TENSORS])}{more} of {name}; {REPAIR}"
            )
    return model.to(device).eval().requires_grad_(False)


def _placement(model_class: type[Model], dtype: torch.dtype, device: torch.device | str) -> dict[str, Any]:
    if issubclass(model_class, PreTrainedModel):
        return {"dtype": dtype, "device_map": {"": device}}
    # diffusers' sparing way of loading leaves missing tensors without storage and fails before it can name them.
    return {"torch_dtype": dtype, "low_cpu_mem_usage": False}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' bars and reports from the terminal: progress and errors are told by the caller."""
    bars = transformers_logging.is_progress_bar_enabled()
    levels = [(logging, logging.get_verbosity()) for logging in (diffusers_logging, transformers_logging)]
    transformers_logging.disable_progress_bar()
    for logging, _ in levels:
        logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
        for logging, level in levels:
            logging.set_verbosity(level)
