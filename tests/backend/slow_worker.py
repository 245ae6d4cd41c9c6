"""A worker whose jobs do what their prompt says: real pipes, process and worlds, no engine."""

import os
import sys
import time

import numpy as np
from PIL import Image

from backend.worker.main import main
from backend.worker.task import Task
from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.views import View
from lyra.world.folder import World
from lyra.world.settings import WorldSettings, now


def seed(task: Task) -> None:
    """A world whose depth is one everywhere."""
    request = task.request
    height, width = request["height"], request["width"]
    source = task.folder / request["image"]
    image = np.asarray(Image.open(source).convert("RGB").resize((width, height)))
    view = View.at_origin(
        image, np.ones((height, width), np.float32), intrinsics_from_fov(1.0, height, width)
    )
    task.progress.update("depth", 0.5, image)
    settings = WorldSettings(
        task.world_folder.name, request["name"], request["engine"], height, width, 0, "ones", "", now()
    )
    points = np.zeros(1, [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")])
    World.create(task.world_folder, settings, view, source, points)


def extend(task: Task) -> None:
    """The prompt is a verb and an argument."""
    verb, _, argument = task.request["prompt"].partition(" ")
    print("this goes to stderr, not among the messages")
    if verb == "work":
        frame = np.full((90, 500, 3), 128, np.uint8)
        steps = int(float(argument) * 20)
        for step in range(steps):
            task.progress.update("frames", step / steps, frame)
            time.sleep(0.05)
    elif verb == "deaf":
        task.progress.update("frames", 0.25)
        time.sleep(float(argument))
    elif verb == "die":
        task.progress.update("frames", 0.25)
        print("out of paper", file=sys.stderr, flush=True)
        os._exit(int(argument))
    elif verb == "raise":
        raise RuntimeError(argument)
    elif verb == "refuse":
        raise InvalidInputError(argument)
    elif verb == "note":
        task.notes([argument])


def download(task: Task) -> None:
    """Takes its time, so that what runs beside it can be seen."""
    for step in range(200):
        task.progress.update("download", step / 200)
        time.sleep(0.05)


if __name__ == "__main__":
    main({"seed": seed, "extend": extend, "download": download})
