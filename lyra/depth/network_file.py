"""File format of the depth network: safetensors in float16, shape and training facts in the header."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.json_file import parse_json
from lyra.common.quoting import one_line, place, value
from lyra.hub.safetensor_files import read_header

FORMAT = "lyra-depth-2"
_MEND = "install lyra-worlds again"


@dataclass(frozen=True)
class NetworkShape:
    """Channels and blocks per level: convolutions at 1/2, 1/4 and 1/8 of the resolution, attention at 1/16."""

    widths: tuple[int, ...] = (32, 64, 128)
    encoder_blocks: tuple[int, ...] = (1, 2, 2)
    decoder_blocks: tuple[int, ...] = (1, 1, 1)
    token_width: int = 256
    token_blocks: int = 5
    heads: int = 4

    @property
    def stride(self) -> int:
        """Sides of the input must be multiples of this."""
        return 2 ** (len(self.widths) + 1)


def save_weights(
    path: Path, weights: dict[str, np.ndarray], shape: NetworkShape, facts: dict[str, str]
) -> None:
    """Writes folded weights as float16; `facts` are strings that describe how they were made."""
    from safetensors.numpy import save_file

    header = {"format": FORMAT, "shape": json.dumps(asdict(shape)), **facts}
    save_file({name: value.astype(np.float16) for name, value in weights.items()}, str(path), header)


def load_weights(path: Path) -> tuple[dict[str, np.ndarray], NetworkShape, dict[str, str]]:
    """Weights as float32, the network's shape, and the facts from the header.

    Raises EngineNotReadyError if the file is missing, damaged or in another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise EngineNotReadyError(f"The depth weights {place(path)} are missing; {_MEND}.")
    try:
        read_header(path)
        with safe_open(str(path), framework="numpy") as file:
            header = dict(file.metadata() or {})
            if header.get("format") != FORMAT:
                raise EngineNotReadyError(
                    f"{place(path)} holds {value(header.get('format'))}, not {FORMAT!r} depth weights; "
                    "train or install them with this version."
                )
            weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        shape = _shape(header.get("shape", ""), path)
    except (SafetensorError, InvalidInputError, OSError) as error:
        raise EngineNotReadyError(
            one_line(f"The depth weights cannot be read: {one_line(error, 200)}; {_MEND}.")
        ) from error
    return weights, shape, header


def _shape(text: str, path: Path) -> NetworkShape:
    """The network's shape in a header's text. Raises InvalidInputError."""
    stated = parse_json(text, place(path), advice=_MEND, fault="states no shape of the network")
    default = asdict(NetworkShape())
    fits = isinstance(stated, dict) and all(
        key in default
        and (
            _is_count(given)
            if isinstance(default[key], int)
            else isinstance(given, list) and 0 < len(given) <= 8 and all(map(_is_count, given))
        )
        for key, given in stated.items()
    )
    if not fits:
        raise InvalidInputError(f"{place(path)} states the shape {value(stated)}; {_MEND}.")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stated.items()}
    return NetworkShape(**given)


def _is_count(given: object) -> bool:
    return type(given) is int and 0 < given <= 1 << 16
