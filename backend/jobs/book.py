"""All jobs and their states: submit, cancel, resume, progress. Lives in the event loop, so it needs no locks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from backend.config import Config
from backend.errors import ConflictError, NotFoundError, QueueFullError, StoreError
from backend.jobs.estimate import expected_seconds, seconds_left
from backend.jobs.events import EventLog
from backend.jobs.store import ID_PATTERN, KEPT_JOBS, RESUMABLE, Job, JobState, JobStore
from lyra.common.quoting import one_line

log = logging.getLogger("backend.jobs.book")


class JobBook:
    """The jobs of one service, in memory and on disk. Call it from the event loop's thread only."""

    def __init__(self, config: Config, store: JobStore):
        self._config = config
        self._store = store
        self._jobs = {job.id: job for job in store.load()}
        self._events = {job.id: EventLog(job.event()) for job in self._jobs.values()}
        self._reserved: set[str] = set()
        self._expected: dict[str, float | None] = {}
        # The first progress of each run, for a resumed one goes on where it stood, and when it began by a clock that
        # nobody sets.
        self._begun: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._making: set[str] = set()  # ids of jobs to come, whose folders exist already
        self._last_turn = max((job.turn for job in self._jobs.values()), default=0)
        # Set when a job joins the queue, after which there is another one: take it before looking at the queue.
        self.news = asyncio.Event()

    def take_up(self) -> list[Job]:
        """Marks what an earlier service left unfinished, and removes what belongs to no job; returns those jobs."""
        left = self.active()
        for job in left:
            if job.state == "cancelling":
                self.finish(job, "cancelled", "cancelled when the backend stopped")
            else:
                self.finish(job, "interrupted", "the backend stopped; resume to go on")
        self._forget_old()
        # A service that was killed in the middle of an upload has left what came of it, and no job.
        _remove_folders(self._strangers(self._folders()))
        return left

    async def sweep(self) -> None:
        """Forgets the oldest jobs of many, and removes the folders of those that are forgotten. Raises StoreError."""
        self._forget_old()
        found = await asyncio.to_thread(self._folders)
        await asyncio.to_thread(_remove_folders, self._strangers(found))

    def _forget_old(self) -> None:
        for old in [job for job in self._jobs.values() if not job.active][:-KEPT_JOBS]:
            self._forget(old)

    def _folders(self) -> list[Path]:
        """Folders that were made for jobs; what else lies there is not the service's."""
        folder = self._config.private_folder / "jobs"
        return [found for found in folder.iterdir() if ID_PATTERN.fullmatch(found.name)]

    def _strangers(self, folders: list[Path]) -> list[Path]:
        return [found for found in folders if found.name not in self._jobs and found.name not in self._making]

    def close(self) -> None:
        self.end_streams()
        self._store.close()

    def end_streams(self) -> None:
        for events in self._events.values():
            events.close()

    def jobs(self, world_id: str | None = None) -> list[Job]:
        """Oldest first."""
        return [job for job in self._jobs.values() if world_id in (None, job.world_id)]

    def active(self, world_id: str | None = None) -> list[Job]:
        return [job for job in self.jobs(world_id) if job.active]

    def queued(self, downloads: bool | None = None) -> list[Job]:
        """In the order in which they will run; a resumed job stands behind those that came meanwhile.

        Downloads only, or all but them, or both with None.
        """
        waiting = [job for job in self._jobs.values() if job.state == "queued"]
        return sorted(
            (job for job in waiting if downloads in (None, job.downloads)), key=lambda job: job.turn
        )

    def get(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise NotFoundError(
                f"There is no job {job_id!r}; it was forgotten with its world, or is too old. Begin a new one."
            )
        return self._jobs[job_id]

    def events(self, job_id: str) -> EventLog:
        return self._events[self.get(job_id).id]

    def folder(self, job_id: str) -> Path:
        """Where the job's own files lie."""
        return self._config.private_folder / "jobs" / job_id

    @contextlib.asynccontextmanager
    async def new_folder(self) -> AsyncIterator[tuple[str, Path]]:
        """An id and a folder for a job to come; the folder goes when no job was submitted with the id."""
        job_id = secrets.token_hex(8)
        folder = self.folder(job_id)
        self._making.add(job_id)
        try:
            await asyncio.to_thread(folder.mkdir, parents=True)
            yield job_id, folder
        finally:
            self._making.discard(job_id)
            if job_id not in self._jobs:
                await asyncio.to_thread(_remove_folders, [folder])

    def require_room(self) -> None:
        """Raises QueueFullError when no further job is accepted."""
        waiting = len(self.queued())
        if waiting >= self._config.limits.queued_jobs:
            raise QueueFullError(f"{waiting} jobs are waiting already; wait for one to end or cancel one.")

    @contextlib.contextmanager
    def reserved(self, world_id: str) -> Iterator[None]:
        """Keeps jobs off a world while it is reverted or deleted. Raises ConflictError when one is active."""
        self._require_unreserved(world_id)
        if active := self.active(world_id):
            raise ConflictError(
                f"World {world_id} is in use by job {active[0].id} ({active[0].kind}, {active[0].state}); "
                "wait for it to end or cancel it."
            )
        self._reserved.add(world_id)
        try:
            yield
        finally:
            self._reserved.discard(world_id)

    def submit(self, job: Job) -> Job:
        """Puts a new job at the end of the queue; its folder exists already."""
        self.require_room()
        self._require_unreserved(job.world_id)
        self._jobs[job.id] = job
        self._events[job.id] = EventLog(job.event())
        try:
            self._enqueue(job)
        except StoreError:
            del self._jobs[job.id], self._events[job.id]
            raise
        return job

    def resume(self, job_id: str) -> Job:
        """Queues a stopped job again; it goes on after its last whole chunk."""
        job = self.get(job_id)
        if job.state not in RESUMABLE:
            raise ConflictError(
                f"Job {job.id} is {job.state}; only a cancelled, failed or interrupted job can be resumed."
            )
        if job.superseded:
            raise ConflictError(superseded_message(job))
        self.require_room()
        self._require_unreserved(job.world_id)
        job.error = job.finished = job.started = job.eta_seconds = None
        try:
            self._enqueue(job)
        except StoreError as error:
            self.finish(job, "failed", "failed", str(error))
            raise
        return job

    def begin(self, job: Job) -> None:
        job.runs += 1
        job.started = time.time()
        self._started[job.id] = time.monotonic()
        past = sorted(self._jobs.values(), key=lambda other: other.turn)
        self._expected[job.id] = expected_seconds(job, past)
        job.eta_seconds = seconds_left(job.progress, 0.0, self._expected[job.id], begun=job.progress)
        job.state = "running"
        self._changed(job, stage="start", message="starting")

    def advance(self, job: Job, stage: str, fraction: float, preview: bool) -> None:
        """The worker's progress. A job that is being cancelled keeps its last figures."""
        if job.state != "running":
            return
        job.preview = job.preview or preview
        job.progress = round(min(max(fraction, 0.0), 1.0), 4)
        begun = self._begun.setdefault(job.id, job.progress)
        elapsed = time.monotonic() - self._started[job.id]
        job.eta_seconds = seconds_left(job.progress, elapsed, self._expected[job.id], begun)
        self._changed(job, stage=stage, message=f"{stage}, {job.progress:.0%}")

    def add_notes(self, job: Job, notes: list[str]) -> None:
        job.notes = list(dict.fromkeys([*job.notes, *notes]))
        self._changed(job)

    def same_download(self, engine: str) -> Job | None:
        """The active job that downloads what `engine` needs, if there is one."""
        return next((job for job in self.active() if job.downloads and job.request["engine"] == engine), None)

    def begin_cancel(self, job_id: str) -> Job:
        """A queued job is cancelled at once; a running one becomes `cancelling`."""
        job = self.get(job_id)
        if job.state == "queued":
            self.finish(job, "cancelled", "cancelled before it began")
        elif job.state == "running":
            job.state = "cancelling"
            job.eta_seconds = None
            self._ending(job, message="cancelling")
        elif job.state != "cancelling":
            raise ConflictError(
                f"Job {job.id} is {job.state}; only a queued or running job can be cancelled."
            )
        return job

    def finish(self, job: Job, state: JobState, message: str, error: str | None = None) -> None:
        """The end of a job: cancelled, failed, interrupted or done."""
        job.state, job.finished, job.eta_seconds = state, time.time(), None
        job.error = None if error is None else one_line(error)
        self._expected.pop(job.id, None)
        self._begun.pop(job.id, None)
        self._started.pop(job.id, None)
        if state == "done":
            job.progress = 1.0
        self._ending(job, message=message)

    def supersede(self, world_id: str, goes_on: str | None = None) -> None:
        """Marks the world's unfinished extend jobs as not resumable: its chunks are no longer theirs.

        All but the job whose id is `goes_on`, whose path is the one that lies there.
        """
        for job in self.jobs(world_id):
            if job.kind == "extend" and job.runs and job.state in ("queued", *RESUMABLE):
                job.superseded = job.id != goes_on
                self._store.save(job)

    async def forget_world(self, world_id: str) -> None:
        jobs = self.jobs(world_id)
        for job in jobs:
            self._forget(job)
        await asyncio.to_thread(_remove_folders, [self.folder(job.id) for job in jobs])

    def _enqueue(self, job: Job) -> None:
        ahead = sum(other.downloads == job.downloads for other in self.active() if other is not job)
        self._last_turn += 1
        job.state, job.turn = "queued", self._last_turn
        self._changed(job, stage="queued", message=_waiting(ahead))
        # Never cleared, for one dispatcher would take the news from the other.
        news, self.news = self.news, asyncio.Event()
        news.set()

    def _changed(self, job: Job, stage: str | None = None, message: str | None = None) -> None:
        """Every change of a job passes here: numbered, told, saved. Raises StoreError."""
        job.stage = job.stage if stage is None else stage
        job.message = job.message if message is None else message
        job.sequence += 1
        # Told at the next turn of the event loop, which is after it was saved.
        self._events[job.id].add(job.event())
        self._store.save(job)

    def _ending(self, job: Job, message: str) -> None:
        """A change that holds though it cannot be saved: a job must end. A restart finds it interrupted."""
        try:
            self._changed(job, message=message)
        except StoreError as error:
            log.error(
                "not saved", extra={"fields": {"job": job.id, "state": job.state, "reason": str(error)}}
            )

    def _forget(self, job: Job) -> None:
        self._store.delete(job)
        del self._jobs[job.id]
        self._events.pop(job.id).close()

    def _require_unreserved(self, world_id: str) -> None:
        if world_id in self._reserved:
            raise ConflictError(f"World {world_id} is being changed just now; try again in a moment.")


def _remove_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def superseded_message(job: Job) -> str:
    return (
        f"World {job.world_id} was reverted, switched or extended after job {job.id} stopped, so its path does not go "
        "on from there; switch back to its take, or generate again from the newest frame."
    )


def _waiting(ahead: int) -> str:
    if not ahead:
        return "waiting"
    return f"waiting behind {ahead} job{'' if ahead == 1 else 's'}"
