"""The worker process: takes one job after another as JSON lines on stdin, answers as JSON lines on stdout.

    in    {"type": "run", "job": {"id", "kind", "request", "resumed"}, "folder", "world_folder"}
          {"type": "cancel", "id"}
    out   {"type": "ready", "device"}
          {"type": "progress", "id", "stage", "fraction", "preview"}    preview: preview.jpg in the job's folder is new
          {"type": "notes", "id", "notes"}
          {"type": "done" | "cancelled", "id"}, {"type": "failed", "id", "error"}

The end of stdin ends the process at once, in the middle of a job too: files appear whole or not at all. An
unexpected exception ends it as well, with its traceback on stderr; the service reports it and starts another.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from backend.worker.task import PREVIEW_FILE, Runner, Task
from lyra.common.errors import CancelledError, LyraError
from lyra.common.files import disk_full_explained, refusal
from lyra.common.progress import Progress

UPDATE_SECONDS = 0.1
PREVIEW_SECONDS = 0.5
PREVIEW_WIDTH = 320


class Channel:
    """The two pipes to the service. Reading happens in a thread, so that a cancel arrives during a job."""

    def __init__(self, incoming: TextIO, outgoing: TextIO):
        self._incoming = incoming
        self._outgoing = outgoing
        self._tasks: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._incoming:
            message = json.loads(line)
            if message["type"] == "cancel":
                self._cancelled.add(message["id"])
            else:
                # A resumed job comes again under its own id.
                self._cancelled.discard(message["job"]["id"])
                self._tasks.put(message)
        # The service is gone: nobody wants the result any more.
        os._exit(0)

    def next_task(self) -> dict:
        return self._tasks.get()

    def is_cancelled(self, job_id: str) -> bool:
        return job_id in self._cancelled

    def send(self, **message: Any) -> None:
        self._outgoing.write(json.dumps(message) + "\n")
        self._outgoing.flush()


class Reporter:
    """Turns the engine's progress into a few messages a second and a preview image."""

    def __init__(self, channel: Channel, job_id: str, folder: Path):
        self._channel = channel
        self._id = job_id
        self._preview = folder / PREVIEW_FILE
        self._stage = ""
        self._told = self._drawn = 0.0

    def __call__(self, stage: str, fraction: float, frame: np.ndarray | None) -> None:
        now = time.monotonic()
        drawn = frame is not None and now - self._drawn >= PREVIEW_SECONDS and self._draw(frame)
        if drawn:
            self._drawn = now
        if drawn or stage != self._stage or now - self._told >= UPDATE_SECONDS:
            self._stage, self._told = stage, now
            self._channel.send(type="progress", id=self._id, stage=stage, fraction=fraction, preview=drawn)

    def _draw(self, frame: np.ndarray) -> bool:
        """Whether there is a new preview. Windows replaces none that is being sent: the next frame will."""
        image = Image.fromarray(frame)
        image.thumbnail((PREVIEW_WIDTH, 4 * PREVIEW_WIDTH))
        temporary = self._preview.with_suffix(".partial")
        image.save(temporary, "JPEG", quality=85)
        try:
            temporary.replace(self._preview)
        except PermissionError:
            return False
        return True


def run_task(channel: Channel, message: dict, runners: Mapping[str, Runner], device: str) -> None:
    """Runs one job and says how it ended."""
    job, folder = message["job"], Path(message["folder"])
    job_id = job["id"]
    task = Task(
        request=job["request"],
        folder=folder,
        world_folder=Path(message["world_folder"]),
        device=device,
        job_id=job_id,
        progress=Progress(Reporter(channel, job_id, folder), lambda: channel.is_cancelled(job_id)),
        notes=lambda notes: channel.send(type="notes", id=job_id, notes=notes),
        resumed=job["resumed"],
    )
    try:
        with disk_full_explained(task.world_folder):
            runners[job["kind"]](task)
    except CancelledError:
        channel.send(type="cancelled", id=job_id)
    except LyraError as error:
        channel.send(type="failed", id=job_id, error=str(error))
    except OSError as error:
        if error.filename is None:
            raise
        # A file that may not be written, or that another program has open, is no reason to load all models again.
        traceback.print_exc()
        channel.send(type="failed", id=job_id, error=f"{refusal(error)}, then resume the job to go on.")
    else:
        channel.send(type="done", id=job_id)


def own_pipes() -> tuple[TextIO, TextIO]:
    """stdin and stdout for messages alone: what anything prints, also from native code, goes to stderr."""
    incoming = os.fdopen(os.dup(0), "r", encoding="utf-8")
    outgoing = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def _best_device() -> str:
    from lyra.engines import default_device

    return default_device()


def main(runners: Mapping[str, Runner] | None = None) -> None:
    """Serves jobs until stdin ends. `runners` maps a job's kind to what does it; by default the engine's."""
    parser = argparse.ArgumentParser(prog="backend.worker", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"])
    options = parser.parse_args()
    channel = Channel(*own_pipes())
    if runners is None:
        # After the pipes are safe, and before the first job, which then starts at once.
        from backend.worker.runners import RUNNERS

        runners = RUNNERS
    device = options.device or _best_device()
    channel.send(type="ready", device=device)
    while True:
        run_task(channel, channel.next_task(), runners, device)


if __name__ == "__main__":
    main()
