"""Feeds a queue to one worker process, restarts it when it dies, kills it when it does not listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Literal

from backend.config import Config
from backend.errors import StoreError
from backend.jobs.book import JobBook, superseded_message
from backend.jobs.store import Job
from backend.jobs.worker_process import WorkerDiedError, WorkerProcess
from backend.leftovers import remove_leftovers

log = logging.getLogger("backend.jobs.dispatcher")
WorkerState = Literal["starting", "idle", "busy"]
CANCEL_SECONDS = 1.5
# Waits before starts of a worker that does not come up; once the last is reached, waiting jobs fail.
START_DELAYS = (0.0, 1.0, 3.0, 10.0)


class Dispatcher:
    """Runs the jobs of a book. One worker serves one device; it stays warm between jobs.

    With `downloads`, runs the downloads instead, beside the other jobs: its worker lives only while there are any.
    """

    def __init__(self, config: Config, book: JobBook, downloads: bool = False):
        self._config = config
        self._book = book
        self._downloads = downloads
        self._worker: WorkerProcess | None = None
        self._running: Job | None = None
        self._task: asyncio.Task | None = None
        self._failures = 0  # starts in a row that came to nothing
        self._came_up = False
        self.device: str | None = None

    @property
    def worker_state(self) -> WorkerState:
        if self.device is None:
            return "starting"
        return "idle" if self._running is None else "busy"

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervise())
        self._task.add_done_callback(_end_loudly)

    async def stop(self) -> None:
        """Ends the worker; what it was at stays as it is."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def cancel(self, job_id: str) -> Job:
        job = self._book.begin_cancel(job_id)
        if job.state == "cancelling" and self._worker is not None:
            self._worker.send({"type": "cancel", "id": job.id})
            asyncio.get_running_loop().call_later(CANCEL_SECONDS, self._kill_if_deaf, job, self._worker)
        return job

    def _kill_if_deaf(self, job: Job, worker: WorkerProcess) -> None:
        if job is self._running and job.state == "cancelling" and worker is self._worker:
            log.warning("killed", extra={"fields": {"job": job.id, "reason": "did not answer a cancel"}})
            worker.kill()

    async def _supervise(self) -> None:
        """Keeps one worker alive and feeds it, for as long as the service runs."""
        while True:
            await asyncio.sleep(START_DELAYS[self._failures])
            if self._downloads:
                await self._wait_for_queue()
            try:
                await self._employ()
            except WorkerDiedError as error:
                await self._bury(str(error))
            except StoreError as error:
                await self._bury(str(error), pause=True)
            except OSError as error:
                # Too many processes, no memory for one more, a disk that went away.
                await self._bury(f"The system refused what the job needs ({error}).", pause=True)

    async def _employ(self) -> None:
        """One worker's life, which is over when this returns or raises what ended it."""
        self._came_up = False
        self._worker = worker = await WorkerProcess.start(self._command())
        try:
            self.device = (await worker.receive())["device"]
            self._failures, self._came_up = 0, True
            await self._serve(worker)
        finally:
            self.device = None
            await worker.stop()

    def _command(self) -> list[str]:
        device = "cpu" if self._downloads else self._config.device
        return [*self._config.worker_command, *([] if device is None else ["--device", device])]

    def _folder(self, job: Job) -> Path:
        """The world's folder, or for a job without a world its own."""
        return self._config.world_folder(job.world_id) if job.world_id else self._book.folder(job.id)

    def _queued(self) -> list[Job]:
        return self._book.queued(downloads=self._downloads)

    async def _wait_for_queue(self) -> None:
        while not self._queued():
            await self._book.news.wait()

    async def _bury(self, reason: str, pause: bool = False) -> None:
        """What a worker's end means for the job it was at, and for those that wait when none comes up.

        With `pause` the next one waits as after a start that failed, for what failed may fail again.
        """
        log.error("died", extra={"fields": {"reason": reason}})
        if pause or not self._came_up:
            self._failures = min(self._failures + 1, len(START_DELAYS) - 1)
        job, self._running = self._running, None
        if job is not None:
            await self._end(job, reason)
        if not self._came_up and self._failures == len(START_DELAYS) - 1:
            self._fail_waiting(reason)

    async def _end(self, job: Job, reason: str) -> None:
        if job.active:
            kept = _kept(job)
            if job.state == "cancelling":
                self._book.finish(job, "cancelled", f"cancelled; {kept}")
            else:
                error = f"{reason} {kept[0].upper()}{kept[1:]}; resume the job to go on."
                self._book.finish(job, "failed", "failed", error)
        await asyncio.to_thread(remove_leftovers, self._folder(job), self._book.folder(job.id))

    def _fail_waiting(self, reason: str) -> None:
        for job in self._queued():
            log_file = f"The log is {self._config.log_file}."
            error = f"The worker does not start. {reason} {log_file} Resume the job to try again."
            self._book.finish(job, "failed", "failed", error)

    async def _serve(self, worker: WorkerProcess) -> None:
        """Runs queued jobs one after the other; downloads until there are none. Raises WorkerDiedError."""
        while True:
            coming = self._book.news
            if queued := self._queued():
                await self._run(queued[0], worker)
                continue
            if self._downloads:
                return
            news = asyncio.create_task(coming.wait())
            # An idle worker says nothing; this ends only when it dies.
            death = asyncio.create_task(worker.receive())
            try:
                await asyncio.wait({news, death}, return_when=asyncio.FIRST_COMPLETED)
                if death.done():
                    await death
            finally:
                news.cancel()
                death.cancel()

    async def _run(self, job: Job, worker: WorkerProcess) -> None:
        if job.superseded:
            self._book.finish(job, "failed", "failed", superseded_message(job))
            return
        folder = self._folder(job)
        self._running = job
        self._book.begin(job)
        if job.kind == "extend":
            self._book.supersede(job.world_id, goes_on=job.id)
        facts = {"id": job.id, "kind": job.kind, "request": job.request, "resumed": job.runs > 1}
        job_folder = str(self._book.folder(job.id))
        worker.send({"type": "run", "job": facts, "folder": job_folder, "world_folder": str(folder)})
        log.info("job started", extra={"fields": {"job": job.id, "kind": job.kind, "world": job.world_id}})
        while job.active:
            self._hear(job, await worker.receive())
        self._running = None
        log.info("job ended", extra={"fields": {"job": job.id, "state": job.state, "error": job.error}})

    def _hear(self, job: Job, message: dict) -> None:
        match message["type"]:
            case "progress":
                self._book.advance(job, message["stage"], message["fraction"], message["preview"])
            case "notes":
                self._book.add_notes(job, message["notes"])
            case "done":
                self._book.finish(job, "done", "done")
            case "cancelled":
                self._book.finish(job, "cancelled", f"cancelled; {_kept(job)}")
            case "failed":
                self._book.finish(job, "failed", "failed", message["error"])


def _kept(job: Job) -> str:
    return "what was downloaded stays" if job.downloads else "whole chunks stay"


def _end_loudly(task: asyncio.Task) -> None:
    """A dispatcher that ends by a bug must not look like a full queue."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("dispatcher ended", exc_info=task.exception())
