"""Removal of weights from the weights folder: the files of items, and conversions."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from lyra.common.files import inside, retry_while_locked
from lyra.common.locks import only_one
from lyra.hub.catalog import CONVERSIONS, item
from lyra.hub.manifest import partial
from lyra.hub.weights import Weights


def remove(ids: Iterable[str], weights: Weights) -> int:
    """Removes items of the catalogue, begun downloads too, and conversions; returns how many bytes are free again.

    Everything else in the folder stays, and so does what a link leads to. Raises InvalidInputError for an unknown
    name, or where a link leads out of the folder; InUseError while another process downloads into it.
    """
    chosen = list(dict.fromkeys(ids))
    for name in chosen:
        if name not in CONVERSIONS:
            item(name)
    if not weights.root.is_dir():
        return 0
    with only_one(weights.root / ".lyra-download.lock", f"A download into {weights.root}"):
        return sum(
            _remove_conversion(i, weights) if i in CONVERSIONS else _remove_item(i, weights) for i in chosen
        )


def _remove_item(item_id: str, weights: Weights) -> int:
    entry, manifest = item(item_id), weights.manifest(item_id)
    folder = weights.repository(entry.repository)
    stated = [file.path for file in manifest.files] if manifest else []
    paths = dict.fromkeys((*stated, *weights.files(entry)))
    size = 0
    for path in paths:
        whole = inside(folder, path)
        for file in (whole, partial(whole)):
            if file.is_file():
                size += file.lstat().st_size
                retry_while_locked(file.unlink)
    weights.manifest_file(item_id).unlink(missing_ok=True)
    return size


def _remove_conversion(conversion_id: str, weights: Weights) -> int:
    folder = inside(weights.root, weights.conversion(conversion_id).relative_to(weights.root).as_posix())
    if not folder.is_dir():
        return 0
    size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return size
