"""File format of the depth network: safetensors in float16, shape and training facts in the header."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lyra.common.errors import EngineNotReadyError

FORMAT = "lyra-depth-2"


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
        raise EngineNotReadyError(f"The depth weights {path} are missing; install lyra-worlds again.")
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = dict(file.metadata() or {})
            if header.get("format") != FORMAT:
                raise EngineNotReadyError(
                    f"{path} holds {header.get('format')!r}, not {FORMAT!r} depth weights; "
                    "train or install them with this version."
                )
            weights = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise EngineNotReadyError(f"The depth weights {path} cannot be read: {error}.") from error
    fields = json.loads(header["shape"])
    shape = NetworkShape(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    return weights, shape, header
