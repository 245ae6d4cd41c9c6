"""The service's end of a worker process: start it, talk to it, kill it, and say what it died of."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

log = logging.getLogger("backend.worker")
LINE_BYTES = 1 << 20
# Ctrl-C in a terminal goes to the service alone, which then ends the worker.
APART: dict[str, Any]
if sys.platform == "win32":
    APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    APART = {"start_new_session": True}
PACKAGE_PARENT = Path(__file__).resolve().parents[1]


class WorkerDiedError(Exception):
    """The worker process ended; the text says how, and what it last said."""


class WorkerProcess:
    """One running worker. Messages come in order from `receive`; a dead worker raises WorkerDiedError there."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        # Pipes all three, as `start` opens them.
        self._stdin = cast(asyncio.StreamWriter, process.stdin)
        self._stdout = cast(asyncio.StreamReader, process.stdout)
        self._stderr = cast(asyncio.StreamReader, process.stderr)
        self._messages: asyncio.Queue[dict | None] = asyncio.Queue()
        self._last_words = ""
        self._readers = [
            asyncio.create_task(self._read_messages()),
            asyncio.create_task(self._read_stderr()),
        ]

    @classmethod
    async def start(cls, command: list[str]) -> WorkerProcess:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            env=worker_environment(),
            **APART,
        )
        log.info("started", extra={"fields": {"pid": process.pid}})
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict) -> None:
        """Queues a message; a worker that is gone is noticed in `receive`."""
        if not self._stdin.is_closing():
            self._stdin.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict:
        """The next message. Raises WorkerDiedError after the last."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            code = await self._process.wait()
            await asyncio.gather(*self._readers)
            raise WorkerDiedError(self._obituary(code))
        return message

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Kills it and waits until it is gone."""
        self.kill()
        await self._process.wait()
        await asyncio.gather(*self._readers)
        self._stdin.close()

    async def _read_messages(self) -> None:
        try:
            while line := await self._stdout.readline():
                self._messages.put_nowait(json.loads(line))
        except ValueError as error:
            # Half a line before its death, or no JSON: such a worker cannot be trusted any further.
            log.error("broken message", extra={"fields": {"error": str(error)}})
            self.kill()
        self._messages.put_nowait(None)

    async def _read_stderr(self) -> None:
        rest = b""
        while chunk := await self._stderr.read(LINE_BYTES):
            *lines, rest = (rest + chunk).splitlines(keepends=True)
            if rest.endswith((b"\n", b"\r")):
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._note(line)
        self._note(rest)

    def _note(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self._last_words = text[:300]
            log.info("worker: %s", text[:4000])

    def _obituary(self, code: int) -> str:
        said = f" Its last line was: {self._last_words}" if self._last_words else ""
        return f"The worker process stopped ({how_it_ended(code)}).{said}"


def worker_environment() -> dict[str, str]:
    """For a process that must find the very packages this service runs from, wherever it was started."""
    paths = [str(PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def how_it_ended(code: int) -> str:
    """What an exit code of a process means."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"signal {name}" + (", perhaps because memory ran out" if name == "SIGKILL" else "")
