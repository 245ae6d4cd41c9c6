"""The service as a child process: start, find again, stop.

A running service keeps a state file with its port and token. By that file a Blender that was restarted, or has
crashed, finds the service that it started, and its jobs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import hello
from .resources import Hello
from .wire import Address, ClientError, Decoder, Reply

OWNER = "blender"
LOG_TAIL = 4096
START_PATIENCE = 60.0


class StartError(Exception):
    """A service that did not come up; the message is one line for the user."""


@dataclass(frozen=True)
class ServiceState:
    """What a service's state file says."""

    address: Address
    pid: int
    owner: str
    version: str


def read_state(path: Path) -> ServiceState | None:
    """The state file, or None while there is none. A file that is no state file counts as none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        pid = int(data["pid"])
        return ServiceState(
            Address(str(data["host"]), int(data["port"]), str(data["token"]), pid),
            pid,
            str(data["owner"]),
            str(data["version"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def detached_options() -> dict:
    """Popen options that keep Ctrl+C in Blender's console, and a console window on Windows, away from a child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def clean_environment() -> dict[str, str]:
    """The environment without what Blender's own Python may have left in it."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "__PYVENV"))}


class Launch:
    """A service that is being started; it answers once its state file is there. Raises OSError.

    A state file that lies there must be of a service that is gone: port and token of a living one would be lost.
    Without `worlds` it keeps them in the folder of its own choice.
    """

    def __init__(self, python: Path, *, state_file: Path, worlds: Path | None, log: Path):
        state_file.parent.mkdir(parents=True, exist_ok=True)
        # While the old one lies there, the new one could not be told from it.
        state_file.unlink(missing_ok=True)
        command = [str(python), "-I", "-m", "backend", "--owner", OWNER]
        command += ["--state-file", str(state_file), "--log", str(log)]
        if worlds:
            worlds.mkdir(parents=True, exist_ok=True)
            command += ["--worlds", str(worlds)]
        with console_log(log).open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=state_file.parent,
                env=clean_environment(),
                **detached_options(),
            )
        self._state_file, self._log = state_file, log
        self._since = time.monotonic()

    @property
    def ended(self) -> bool:
        return self._child.poll() is not None

    def abandon(self) -> None:
        """At Blender's exit: ends it, unless it does something for another Blender already."""
        state = None if self.ended else read_state(self._state_file)
        if state:
            stop_if_idle(state.address)
        else:
            kill(self._child)

    def look(self) -> Address | None:
        """Where the service listens, None while it does not yet. Raises StartError when it never will."""
        if self.ended:
            said = last_line(console_log(self._log)) or last_line(self._log)
            raise StartError(f"The service ended at its start: {said or 'it said nothing'}. Log: {self._log}")
        if state := read_state(self._state_file):
            return state.address
        if time.monotonic() - self._since > START_PATIENCE:
            kill(self._child)
            raise StartError(f"The service did not answer within {START_PATIENCE:.0f} s. Log: {self._log}")
        return None


def console_log(log: Path) -> Path:
    """Where a service's console goes: what it says before its own log is open, such as a failing import."""
    return log.with_name("console.log")


def last_line(path: Path) -> str:
    """The last line of a log that says something, or an empty string."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line), "")


def kill(child: subprocess.Popen) -> None:
    """Ends a child and what it started, at once."""
    if child.poll() is not None:
        return
    if sys.platform == "win32":
        child.kill()
    else:
        os.killpg(child.pid, signal.SIGKILL)


def stop_if_idle(address: Address, timeout: float = 0.3) -> bool:
    """Asks a service to end when nothing runs, at Blender's exit: the one call that may wait, for `timeout` at most.

    True when it will end. What does not prove to be the service is left alone and gets no token.
    """
    until = time.monotonic() + timeout
    challenge = hello.new_challenge()
    try:
        greeting = _answer(address, f"GET /v1{hello.path(challenge)}", "", b"", until)
        hello.check(Hello.from_json(greeting.json()), challenge, address)
        head = f"Authorization: Bearer {address.token}\r\nContent-Type: application/json\r\n"
        return _answer(address, "POST /v1/shutdown", head, b'{"force": false}', until).status == 202
    except (OSError, ClientError):
        return False


def _answer(address: Address, request: str, headers: str, body: bytes, until: float) -> Reply:
    """One exchange that waits. Raises OSError at the time limit, ClientError for an answer of something else."""
    head = (
        f"{request} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n{headers}Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    got = bytearray()

    def keep(_status: int, data: bytes) -> None:
        got.extend(data)
        if len(got) > hello.LIMIT:
            raise ClientError(f"The answer to {request} is larger than {hello.LIMIT} bytes.")

    decoder = Decoder(keep)
    with socket.create_connection((address.host, address.port), _left(until)) as connection:
        connection.sendall(head.encode() + body)
        while not decoder.done:
            connection.settimeout(_left(until))
            if data := connection.recv(hello.LIMIT):
                decoder.feed(data)
            else:
                decoder.end()
    return Reply(decoder.status, decoder.headers, bytes(got))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left
