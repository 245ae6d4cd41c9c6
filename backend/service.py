"""The service as one object: its jobs, worlds and processes, and what it does from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from backend.catalog import WorldCatalog
from backend.config import Config
from backend.errors import StoreError
from backend.inspection import Inspector
from backend.jobs.book import JobBook
from backend.jobs.dispatcher import Dispatcher
from backend.jobs.store import Job, JobStore
from backend.leftovers import remove_leftovers, remove_uploads
from lyra.common.temporary import sweep

log = logging.getLogger("backend.service")
SWEEP_SECONDS = 600.0


@dataclass
class Backend:
    """What the routes work with. `stop` is set when the service shall end; `token` is what clients must know."""

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

    @classmethod
    def of(cls, config: Config, **parts: Any) -> Backend:
        """The backend of a configuration, whose folders exist. Raises StartError where its jobs cannot be opened."""
        book = JobBook(config, JobStore(config.private_folder / "jobs.sqlite3"))
        dispatcher, downloader = (Dispatcher(config, book, downloads) for downloads in (False, True))
        return cls(config, book, WorldCatalog(config), dispatcher, downloader, **parts)

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
        remove_uploads(self.config.upload_folder)

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
            remove_leftovers(self.config.world_folder(job.world_id) if job.world_id else folder, folder)
