"""A job as the worker sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lyra.common.progress import Progress

# Files in a job's folder.
TRAJECTORY_FILE = "trajectory.npz"
PREVIEW_FILE = "preview.jpg"
# Folders in it: what a world is made from.
IMAGE_FOLDER = "image"
DEPTH_FOLDER = "depth"


@dataclass(frozen=True)
class Task:
    """One job to run.

    `request` is what was asked for; `folder` holds the job's own files; `world_folder` is, or is to be, the world.
    `job_id` is written into the world's plan and chunks; `resumed` says that the job ran before and was stopped.
    `notes` tells the user something.
    """

    request: dict
    folder: Path
    world_folder: Path
    device: str
    job_id: str
    progress: Progress
    notes: Callable[[list[str]], None]
    resumed: bool = False


Runner = Callable[[Task], None]
