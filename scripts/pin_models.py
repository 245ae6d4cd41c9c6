"""Writes the newest revision of every repository of the catalogue into lyra/hub/revisions.json. Needs the hub.

    python -m scripts.pin_models [REPOSITORY ...]

Run it before a release, with a token for the gated repositories, and try what it names before it is committed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from lyra.common.files import whole_file
from lyra.hub.catalog import ITEMS
from lyra.hub.revisions import FILE, released_revisions
from lyra.hub.sources import HubSource, Source


def pin(repositories: Iterable[str], source: Source, file: Path = FILE) -> dict[str, str]:
    """Pins `repositories`, leaves others in `file` as they are, and returns all."""
    pinned = released_revisions(file)
    pinned |= {repository: source.listing(repository).revision for repository in repositories}
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(dict(sorted(pinned.items())), indent=1) + "\n", "utf-8")
    return pinned


if __name__ == "__main__":
    everything = dict.fromkeys(entry.repository for entry in ITEMS.values())
    for name, commit in pin(sys.argv[1:] or everything, HubSource()).items():
        print(commit, name)
