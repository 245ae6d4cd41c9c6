"""The service's end of the inspector, the process that reads uploads: it starts with the first and may die of one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from backend.jobs.worker_process import APART, how_it_ended, worker_environment
from lyra.common import errors
from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line

log = logging.getLogger("backend.worker.inspector")
COMMAND = (sys.executable, "-P", "-m", "backend.worker.inspector")
# The largest pictures take seconds; Blender waits two minutes for an answer.
SECONDS = 110.0
ANSWER_BYTES = 1 << 16


class Inspector:
    """Measures and checks uploads in a process of its own. Its calls block: make them in a thread, one at a time."""

    def __init__(self, command: tuple[str, ...] = COMMAND, seconds: float = SECONDS):
        self._command = command
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def measure(self, image: Path) -> tuple[int, int]:
        """(height, width) of a picture as the engine will see it. Raises InvalidInputError for what is none."""
        return self._ask({"image": image}, kind="measure")

    def check(self, image: Path, depth: Path | None, settings: Mapping[str, Any]) -> tuple[int, int]:
        """Reads image and depth just as the job will; returns the world's (height, width).

        Raises what the job would fail with.
        """
        files = {"image": image} if depth is None else {"image": image, "depth": depth}
        return self._ask(files, kind="check", settings=settings)

    def close(self) -> None:
        """Ends the process; the next call starts another."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _ask(self, files: dict[str, Path], **request: object) -> tuple[int, int]:
        # Names below a folder: messages shorten long ones, and should not tell where uploads are kept.
        folder = Path(os.path.commonpath([file.parent for file in files.values()]))
        names = {key: str(file.relative_to(folder)) for key, file in files.items()}
        process = self._running()
        late = threading.Timer(self._seconds, process.kill)
        late.start()
        try:
            line = json.dumps({"folder": str(folder), **names, **request})
            stdin, stdout, _ = _pipes(process)
            stdin.write(line.encode() + b"\n")
            stdin.flush()
            said = stdout.readline(ANSWER_BYTES)
        except BrokenPipeError:
            said = b""
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not said.endswith(b"\n"):
            why = self._obituary(process, in_time)
            raise InvalidInputError(f"{files['image'].name} cannot be read: {why}. Save it anew, as PNG.")
        found = json.loads(said)
        if "error" not in found:
            return found["height"], found["width"]
        detail = found["detail"]
        for name in names.values():
            detail = detail.replace(name, Path(name).name)
        raise getattr(errors, found["error"])(detail)

    def _running(self) -> subprocess.Popen[bytes]:
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

    def _obituary(self, process: subprocess.Popen[bytes], in_time: bool) -> str:
        if self._process is process:
            self._process = None
        code = _end(process)
        return how_it_ended(code) if in_time else f"that took more than {self._seconds:.0f} s"


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """stdin, stdout and stderr: all three are pipes, as `_running` opens them."""
    return cast(tuple[IO[bytes], IO[bytes], IO[bytes]], (process.stdin, process.stdout, process.stderr))


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kills a process; returns its exit code."""
    process.kill()
    stdin, stdout, _ = _pipes(process)
    stdout.close()
    with contextlib.suppress(BrokenPipeError):
        stdin.close()
    return process.wait()


def _drain(process: subprocess.Popen[bytes]) -> None:
    """What the process says beside its answers goes to the log."""
    with _pipes(process)[2] as stderr:
        for line in stderr:
            log.info("inspector: %s", one_line(line.decode("utf-8", "replace"), 1000))
