"""The World resource of a world that has no frames to show: it is still being made, or cannot be opened."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from backend.errors import detail
from backend.jobs.store import Job


def seeding_resource(job: Job, folder: Path) -> dict:
    """What docs/api.md promises of a world in state `seeding`: what was asked for, and no frames yet."""
    asked = {key: job.request[key] for key in ("name", "engine", "width", "height", "seed")}
    created = datetime.datetime.fromtimestamp(job.created, datetime.UTC).isoformat(timespec="seconds")
    return _without_frames(folder) | asked | {"created": created, "state": "seeding"}


def damaged_resource(folder: Path, error: str) -> dict:
    """What docs/api.md promises of a world in state `damaged`: that it is there, and why it cannot be opened."""
    return _without_frames(folder) | {"state": "damaged", "error": detail(error)}


def _without_frames(folder: Path) -> dict:
    return {
        "id": folder.name,
        "name": folder.name,
        "engine": "",
        "created": "",
        "width": 0,
        "height": 0,
        "frames": 0,
        "error": None,
        "intrinsics": None,
        "last_w2c": np.eye(4).tolist(),
        "scale": 1.0,
        "seed": 0,
        "depth_source": "",
        "license": "",
        "notes": [],
        "folder": _resolved(folder),
        "chunks": [],
        "files": [],
        "results": None,
    }


def _resolved(folder: Path) -> str:
    try:
        return str(folder.resolve())
    except (OSError, RuntimeError):
        # A link in a circle, or to a disk that fails.
        return str(folder.absolute())
