"""Checks of the Lyra 2.0 weights that need the network: keys, shapes and types, LoRA files, the negative embedding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.engines.lyra2.network_check import CONFIG, NetworkConfig
from lyra.engines.readiness import network_config
from lyra.hub.catalog import CHECKPOINT, CONVERSIONS, ITEMS, LYRA2, Item, item, needs
from lyra.hub.packages import require_packages
from lyra.hub.safetensor_files import read_sharded_headers
from lyra.hub.verification import ContentCheck, Finding, present, verify
from lyra.hub.weights import Weights

NEGATIVE = "lyra2-negative-prompt"
LORA_FOLDER = "checkpoints/lora/"


def verify_weights(
    weights: Weights, ids: Iterable[str] | None = None, quick: bool = False, progress: Progress = SILENT
) -> list[Finding]:
    """`lyra.hub.verify` with the checks of this module.

    The network's keys and shapes must be complete, LoRA files must fit it, and the negative prompt must hold tensors
    only. Raises EngineNotReadyError where what belongs to the network is asked for and torch is missing.
    """
    chosen = list(dict.fromkeys(present(weights) if ids is None else ids))
    if any(name in CONVERSIONS or item(name).repository == LYRA2 for name in chosen):
        require_packages(needs("lyra2").packages, "lyra2", "Checking the network's weights")
    return verify(weights, chosen, quick, progress, content_checks(weights, quick))


def content_checks(weights: Weights, quick: bool = False) -> dict[str, ContentCheck]:
    """A check for each item and conversion that is the network's; `quick` leaves out what reads all of a file."""
    checks: dict[str, ContentCheck] = {
        name: partial(_check_converted, weights.conversion(name), name) for name in CONVERSIONS
    }
    checks[CHECKPOINT] = partial(_check_network, weights.place(item(CHECKPOINT)))
    checks[NEGATIVE] = partial(_check_negative, weights)
    if not quick:
        checks |= {i: partial(_check_lora, weights, entry) for i, entry in ITEMS.items() if _is_lora(entry)}
    return checks


def _is_lora(entry: Item) -> bool:
    return entry.path.startswith(LORA_FOLDER)


def _check_network(checkpoint: Path) -> None:
    """Keys and shapes of the published checkpoint, from its metadata."""
    from lyra.engines.lyra2.conversion import match_keys, network_shapes
    from lyra.engines.lyra2.metadata import read_metadata

    found = {key: stored.shape for key, stored in read_metadata(checkpoint).items()}
    match_keys(checkpoint, found, network_shapes(NetworkConfig.beside(checkpoint)))


def _check_lora(weights: Weights, entry: Item) -> None:
    """That it fits the network, layer by layer."""
    from lyra.engines.lyra2.conversion import network_shapes
    from lyra.engines.lyra2.lora import check_fits, read_lora

    file = weights.place(entry)
    check_fits(file, read_lora(file), network_shapes(network_config(weights)))


def _check_negative(weights: Weights) -> None:
    from lyra.engines.lyra2.pretrained import REPAIR
    from lyra.engines.lyra2.text import load_negative_embedding

    try:
        load_negative_embedding(weights.place(item(NEGATIVE)), network_config(weights).text_dim)
    except InvalidInputError as error:
        # Its advice is to run what is running.
        raise InvalidInputError(
            str(error).replace(REPAIR, f"delete it and run: lyra models download {NEGATIVE}")
        ) from error


def _check_converted(folder: Path, conversion_id: str) -> None:
    """Keys, shapes and types of a conversion, from its headers."""
    from lyra.engines.lyra2.conversion import SAFETENSORS_TYPES, expected_types, network_shapes

    found = read_sharded_headers(folder)
    shapes = network_shapes(NetworkConfig.read(folder / CONFIG))
    types = expected_types(shapes, conversion_id)
    expected = {key: (SAFETENSORS_TYPES[types[key]], shape) for key, shape in shapes.items()}
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            raise InvalidInputError(
                f"{folder}: {key!r} is {found.get(key, 'missing')} and should be {expected.get(key, 'absent')}; delete "
                "the folder and convert again."
            )
