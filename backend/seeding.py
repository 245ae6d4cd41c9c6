"""The World resource of a world that is still being made."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

from backend.store import Job


def seeding_resource(job: Job, folder: Path) -> dict:
    """What docs/api.md promises of a world in state `seeding`: what was asked for, and no frames yet."""
    request = job.request
    return {
        "id": job.world_id,
        "name": request["name"],
        "engine": request["engine"],
        "created": datetime.datetime.fromtimestamp(job.created, datetime.UTC).isoformat(timespec="seconds"),
        "width": request["width"],
        "height": request["height"],
        "frames": 0,
        "state": "seeding",
        "intrinsics": None,
        "last_w2c": np.eye(4).tolist(),
        "scale": 1.0,
        "seed": request["seed"],
        "depth_source": "",
        "license": "",
        "notes": [],
        "folder": str(folder.resolve()),
        "chunks": [],
        "files": [],
        "results": None,
    }
