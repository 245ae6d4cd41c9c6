"""The server: takes the port, writes the state file and answers until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from backend.config import HOST, Config
from backend.errors import StartError
from backend.log import start_logging
from backend.service import Backend
from backend.state_file import BackendState, is_alive, read_state, remove_state, write_state
from lyra.version import VERSION

log = logging.getLogger("backend.server")
# Answers under way at a stop get this long.
GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """uvicorn that tells when its port answers, and ends event streams before it waits for connections."""

    def __init__(self, config: uvicorn.Config, backend: Backend, state: BackendState):
        super().__init__(config)
        self._backend = backend
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        file = self._backend.config.state_file
        with _refusal_explained(file, "--state-file"):
            write_state(file, self._state)
        log.info("listening", extra={"fields": {"port": self._state.port, "pid": self._state.pid}})
        print(
            f"Lyra Worlds {VERSION} listens on http://{HOST}:{self._state.port} (worlds in "
            f"{self._backend.config.worlds}, state file {file}). Ctrl-C stops it.",
            flush=True,
        )
        # For a person who connects by hand; a log file that stdout goes to must not hold it.
        if sys.stdout.isatty():
            print(f"Token: {self._state.token}", flush=True)

    async def main_loop(self) -> None:
        stopped = asyncio.create_task(self._backend.stop.wait())
        stopped.add_done_callback(lambda _: setattr(self, "should_exit", True))
        await super().main_loop()
        stopped.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._backend.book.end_streams()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: object) -> None:
        # Unlike uvicorn's own, which raises the signal again at the end: a stop on request is a success.
        self.should_exit = True


def serve(config: Config) -> None:
    """Runs a backend until it is told to stop. Raises StartError when it cannot start."""
    _require_alone(config)
    with contextlib.closing(_listen(config.port)) as listener:
        _make_folders(config)
        tempfile.tempdir = str(config.upload_folder)
        with _refusal_explained(config.log_file, "--log"):
            start_logging(config.log_file)
        asyncio.run(_serve(config, listener))


async def _serve(config: Config, listener: socket.socket) -> None:
    backend = Backend.of(config)
    # Imported late: a refusal to start should not take the time these take.
    from backend.api.app import create_app
    from backend.api.security import Guard

    # What is there now stays: collections while a long path is read need not look at all modules again and again.
    gc.freeze()
    port = listener.getsockname()[1]
    state = BackendState(HOST, port, backend.token, os.getpid(), config.owner)
    guarded = Guard(create_app(backend), token=state.token, port=port, limits=config.limits)
    settings = uvicorn.Config(
        guarded,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        lifespan="off",
    )
    try:
        async with backend.running():
            await _Server(settings, backend, state).serve(sockets=[listener])
    finally:
        remove_state(config.state_file, state.pid)
        log.info("stopped")


def _require_alone(config: Config) -> None:
    """One living backend per state file; a stale file is replaced."""
    other = read_state(config.state_file)
    if other is not None and is_alive(other):
        raise StartError(
            f"A backend runs already (process {other.pid}, port {other.port}, state file {config.state_file}); "
            "use that one, stop it, or give another --state-file and another --worlds."
        )


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Listening here, not later: only this shows that nobody else has the port.
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"Port {port} is taken; choose another, or 0 for a free one.") from error
        if error.errno == errno.EACCES:
            raise StartError(
                f"Port {port} is not allowed to this user; choose one above 1023, or 0."
            ) from error
        raise
    return listener


@contextlib.contextmanager
def _refusal_explained(file: Path, option: str) -> Iterator[None]:
    """Turns what the system refuses about a file of the service into a StartError."""
    try:
        yield
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error.strerror}; choose another {option}.") from error


def _make_folders(config: Config) -> None:
    try:
        (config.private_folder / "jobs").mkdir(parents=True, exist_ok=True)
        config.upload_folder.mkdir(exist_ok=True)
        config.state_file.parent.mkdir(parents=True, exist_ok=True)
        config.log_file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(
            f"{error.filename} cannot be made: {error.strerror}; choose another folder."
        ) from error
