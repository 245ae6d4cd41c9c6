"""Pinned revisions of downloaded repositories.

A revision of the hub is a git commit: it names its files' contents by their digests. `revisions.json` is written by
`scripts/pin_models.py` before a release; a repository that it does not name is pinned by its first download.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import place, value
from lyra.hub.catalog import ITEMS
from lyra.hub.weights import Weights

FILE = Path(__file__).with_name("revisions.json")
COMMIT = re.compile("[0-9a-f]{40}")


def released_revisions(file: Path = FILE) -> dict[str, str]:
    """The commit of each repository that this release names. Raises InvalidInputError for a damaged file."""
    advice = "install lyra-worlds again"
    try:
        stated = read_object(file, advice=advice)
    except FileNotFoundError as error:
        raise InvalidInputError(f"{place(file)} is missing; {advice}.") from error
    for repository, commit in stated.items():
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise InvalidInputError(
                f"{place(file)} is damaged ({value(repository)} is {value(commit)}); {advice}."
            )
    return stated


def pinned_revision(
    repository: str, weights: Weights, released: Mapping[str, str] | None = None
) -> str | None:
    """The commit to take of a repository, or None where nothing has been taken yet.

    All items of a repository come from one commit. What came from a mirror has none.
    """
    named = (released_revisions() if released is None else released).get(repository)
    if named:
        return named
    manifests = (weights.manifest(entry.id) for entry in ITEMS.values() if entry.repository == repository)
    taken = (manifest.revision for manifest in manifests if manifest is not None)
    return next((revision for revision in taken if COMMIT.fullmatch(revision)), None)
