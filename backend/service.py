"""The service as a whole: its parts, its port, its state file, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from backend.api.inspection import Inspector
from backend.api.uploads import remove_upload
from backend.catalog import WorldCatalog, remove_leftovers
from backend.config import HOST, Config
from backend.errors import StartError, StoreError
from backend.jobs.book import JobBook
from backend.jobs.dispatcher import Dispatcher
from backend.jobs.store import Job, JobStore
from backend.log import start_logging
from backend.state_file import BackendState, is_alive, read_state, remove_state, write_state
from lyra.common.temporary import sweep
from lyra.version import VERSION

log = logging.getLogger("backend.service")
# Answers under way at a stop get this long.
GRACE_SECONDS = 3
SWEEP_SECONDS = 600.0


@dataclass
class Backend:
    """What the routes work with. `stop` is set when the service shall end."""

    config: Config
    book: JobBook
    catalog: WorldCatalog
    dispatcher: Dispatcher
    downloader: Dispatcher
    inspector: Inspector = field(default_factory=Inspector)
    # The inspector looks at one picture at a time: each takes up to 2 GB.
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The dispatchers work inside this block; what ran or waited at its end becomes interrupted."""
        await asyncio.to_thread(self._clear)
        self._take_up()
        self.dispatcher.start()
        self.downloader.start()
        sweeping = asyncio.create_task(self._keep_swept())
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.to_thread(self.inspector.close)
            await self.dispatcher.stop()
            await self.downloader.stop()
            self._take_up()
            self.book.close()

    def cancel(self, job_id: str) -> Job:
        dispatcher = self.downloader if self.book.get(job_id).downloads else self.dispatcher
        return dispatcher.cancel(job_id)

    def _clear(self) -> None:
        """Removes what a service that was killed left: half-deleted worlds, half-received uploads, temporary names."""
        self.catalog.empty_trash()
        sweep(self.config.worlds)
        if self.config.upload_folder.is_dir():
            for left in self.config.upload_folder.iterdir():
                remove_upload(left)

    async def _keep_swept(self) -> None:
        """Forgets old jobs again and again, for as long as the service runs, and gives the inspector's memory back."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            async with self.decoding:
                await asyncio.to_thread(self.inspector.close)
            try:
                await self.book.sweep()
            except (StoreError, OSError) as error:
                log.warning("not swept", extra={"fields": {"reason": str(error)}})

    def _take_up(self) -> None:
        for job in self.book.take_up():
            folder = self.book.folder(job.id)
            remove_leftovers(self.catalog.path(job.world_id) if job.world_id else folder, folder)


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
        store = JobStore(config.private_folder / "jobs.sqlite3")
        asyncio.run(_serve(config, store, listener))


async def _serve(config: Config, store: JobStore, listener: socket.socket) -> None:
    # Imported late: a refusal to start should not take the time these take.
    from backend.api.app import create_app
    from backend.api.security import Guard

    # What is there now stays: collections while a long path is read need not look at all modules again and again.
    gc.freeze()
    book, catalog = JobBook(config, store), WorldCatalog(config)
    dispatchers = (Dispatcher(config, book, catalog, downloads) for downloads in (False, True))
    backend = Backend(config, book, catalog, *dispatchers)
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
