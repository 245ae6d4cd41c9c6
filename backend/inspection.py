"""The service's end of the inspector: a process that is started with the first upload and may die of one."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

from backend.schemas import WorldSettings
from backend.worker_process import APART, how_it_ended, worker_environment
from lyra import errors
from lyra.common.quoting import one_line
from lyra.errors import InvalidInputError

log = logging.getLogger("backend.inspector")
COMMAND = (sys.executable, "-P", "-m", "backend.inspector")
# The largest pictures take seconds; Blender waits two minutes for an answer.
SECONDS = 90.0
ANSWER_BYTES = 1 << 16


class Inspector:
    """Measures and checks uploads in a process of its own. Its calls block: make them in a thread, one at a time."""

    def __init__(self, command: tuple[str, ...] = COMMAND, seconds: float = SECONDS):
        self._command = command
        self._seconds = seconds
        self._process: subprocess.Popen | None = None

    def measure(self, image: Path) -> tuple[int, int]:
        """(height, width) of a picture as the engine will see it. Raises InvalidInputError for what is none."""
        return self._ask(image, kind="measure")

    def check(self, image: Path, depth: Path | None, settings: WorldSettings) -> tuple[int, int]:
        """Reads image and depth just as the job will; returns the world's (height, width).

        Raises what the job would fail with.
        """
        return self._ask(
            image, kind="check", depth=None if depth is None else str(depth), settings=settings.model_dump()
        )

    def close(self) -> None:
        """Ends the process; the next call starts another."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _ask(self, image: Path, **request: object) -> tuple[int, int]:
        process = self._running()
        late = threading.Timer(self._seconds, process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps({"image": str(image), **request}).encode() + b"\n")
            process.stdin.flush()
            said = process.stdout.readline(ANSWER_BYTES)
        except BrokenPipeError:
            said = b""
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not said.endswith(b"\n"):
            raise InvalidInputError(
                f"{image} cannot be read: {self._obituary(in_time)}. Save it anew, as PNG."
            )
        found = json.loads(said)
        if "error" in found:
            raise getattr(errors, found["error"])(found["detail"])
        return found["height"], found["width"]

    def _running(self) -> subprocess.Popen:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=worker_environment(),
                **APART,
            )
            threading.Thread(target=_drain, args=(self._process,), daemon=True).start()
        return self._process

    def _obituary(self, in_time: bool) -> str:
        process, self._process = self._process, None
        code = _end(process)
        return how_it_ended(code) if in_time else f"that took more than {self._seconds:.0f} s"


def _end(process: subprocess.Popen) -> int:
    """Kills a process; returns its exit code."""
    process.kill()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    return process.wait()


def _drain(process: subprocess.Popen) -> None:
    """What the process says beside its answers goes to the log."""
    with process.stderr:
        for line in process.stderr:
            log.info("inspector: %s", one_line(line.decode("utf-8", "replace"), 1000))
