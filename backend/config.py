"""Settings of a service: what it is started with, and how much it accepts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from lyra.common.folders import cache_folder, data_folder

HOST = "127.0.0.1"
PRIVATE_FOLDER = ".backend"  # inside the worlds folder: the job database and what jobs were given


@dataclass(frozen=True)
class Limits:
    """Sizes are bytes. Above a limit the answer is 413 (sizes), 429 (queue) or 409 (worlds).

    `json_bytes` is for a request to extend a world, which holds a path; `small_bytes` for all that hold neither path
    nor files.
    """

    image_bytes: int = 200_000_000
    depth_bytes: int = 400_000_000
    json_bytes: int = 16_000_000
    small_bytes: int = 64 * 1024
    queued_jobs: int = 16
    worlds: int = 1000


@dataclass(frozen=True)
class Config:
    """`worker_command` starts the worker process; it gets `--device` when `device` is not None."""

    worlds: Path
    state_file: Path
    log_file: Path
    port: int = 0
    owner: str = "user"
    device: str | None = None
    limits: Limits = field(default_factory=Limits)
    worker_command: tuple[str, ...] = (sys.executable, "-P", "-m", "backend.worker")

    def world_folder(self, world_id: str) -> Path:
        """Where the world is or would be; a world's id is the name of its folder."""
        return self.worlds / world_id

    @property
    def private_folder(self) -> Path:
        return self.worlds / PRIVATE_FOLDER

    @property
    def upload_folder(self) -> Path:
        """Where uploads are received: the system's own temporary folder may be small, or memory."""
        return self.private_folder / "uploads"


def default_worlds() -> Path:
    """Raises InvalidInputError where the user has no folder for them."""
    return data_folder("--worlds FOLDER") / "worlds"


def default_state_file() -> Path:
    return cache_folder() / "backend.json"


def default_log_file() -> Path:
    return cache_folder() / "backend.log"
