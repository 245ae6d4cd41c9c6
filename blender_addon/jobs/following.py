"""Following of jobs: polling until they end, and finding them again after a lost connection.

`session.current.jobs` holds an active job only while a follower polls it: a job of unknown state must not keep its
world locked. The .blend keeps the job's id, and its state is asked for when a service answers again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import bpy

from ..scene import worlds
from ..service import preferences, session
from ..service.contract import ACTIVE_STATES, BEGIN_JOB, DOWNLOAD_JOB
from ..service.resources import Job, World, entries
from ..service.wire import Reply
from . import fetching

POLL_INTERVAL = 0.4
PREVIEW_INTERVAL = 1.0
# A frame as a JPEG has some hundred kilobytes.
PREVIEW_LIMIT = 1 << 24
# Before each new try after a poll that failed, in seconds.
RETRY_PAUSES = (1.0, 2.0, 4.0, 8.0)


def job_of(empty: bpy.types.Object | None) -> Job | None:
    """The newest job of a world, as the service last described it."""
    return session.current.jobs.get(empty.lyra.world_id) if empty else None


def is_busy(empty: bpy.types.Object | None) -> bool:
    """Whether a job of a world is under way, or a click on it not answered yet."""
    job = job_of(empty)
    if job is not None and job.state in ACTIVE_STATES:
        return True
    return empty is not None and session.current.is_asking(empty.lyra.world_id)


def is_loading(empty: bpy.types.Object) -> bool:
    """Whether the results of a world's job that is done still come in: the file remembers it until they stand."""
    job, current = job_of(empty), session.current
    coming = bool(current.tasks) or (current.client is not None and current.client.busy)
    return job is not None and job.state == "done" and job.id == empty.lyra.job and coming


class Follower:
    """Asks for a job's state now and then, and acts when it has ended."""

    def __init__(self, job: Job):
        self.job_id = job.id
        self.world_id = job.world_id
        self.over = False
        self._asking = False
        self._next = 0.0
        self._next_preview = 0.0
        self._failures = 0
        self._keep(job)

    def poll(self) -> bool:
        """True while the job is to be followed on."""
        due = not self._asking and time.monotonic() >= self._next
        if due and not self.over and not session.current.is_silent:
            self._asking = True
            session.current.client.request(
                "GET",
                f"/jobs/{self.job_id}",
                on_reply=lambda reply: self._keep(Job.from_json(reply.json())),
                on_error=self._failed,
            )
        return not self.over

    def leave(self) -> None:
        """Follows no longer: from now on it is not known how the job stands."""
        if self.over:
            return
        self.over = True
        shown = session.current.jobs.get(self.world_id)
        if shown and shown.id == self.job_id:
            del session.current.jobs[self.world_id]

    def _keep(self, job: Job) -> None:
        if self.over:
            return
        self._asking = False
        self._failures = 0
        self._next = time.monotonic() + POLL_INTERVAL
        session.current.jobs[self.world_id] = job
        if job.preview and job.state == "running" and time.monotonic() >= self._next_preview:
            self._next_preview = time.monotonic() + PREVIEW_INTERVAL
            session.current.client.request(
                "GET", f"/jobs/{self.job_id}/preview", save_to=preview_file(self.job_id), limit=PREVIEW_LIMIT
            )
        if job.state not in ACTIVE_STATES:
            self.over = True
            preview_file(self.job_id).unlink(missing_ok=True)
            _ended(job)

    def _failed(self, message: str) -> None:
        if self.over:
            return
        if self._failures < len(RETRY_PAUSES):
            self._asking = False
            self._next = time.monotonic() + RETRY_PAUSES[self._failures]
            self._failures += 1
            return
        self.leave()
        step = "Reload Results" if self.world_id else "Disconnect, then Start Service or Connect,"
        session.current.say(f"{message} The job may still be running: click {step} to look for it.")


def is_followed(job_id: str) -> bool:
    return any(follower.job_id == job_id and not follower.over for follower in session.current.followers)


def follow(job: Job) -> None:
    """Watches a job until it ends, and has the file remember it meanwhile."""
    for other in session.current.followers:
        if other.job_id == job.id:
            other.leave()
    session.current.followers.append(Follower(job))
    if empty := worlds.find(job.world_id):
        empty.lyra.job = job.id
    session.wake()


def preview_file(job_id: str) -> Path:
    return preferences.user_folder("previews") / f"{job_id}.jpg"


def _ended(job: Job) -> None:
    for note in job.notes:
        session.current.say(note)
    if job.kind == DOWNLOAD_JOB:
        session.current.refresh_engines()
        return
    if job.state != "done":
        _refresh(job.world_id)
        return

    def known(reply: Reply) -> None:
        (fetching.fetch_first_view if job.kind == BEGIN_JOB else fetching.fetch_results)(
            World.from_json(reply.json())
        )

    session.current.client.request(
        "GET", f"/worlds/{job.world_id}", on_reply=known, on_error=session.current.say
    )


def _refresh(world_id: str) -> None:
    """After a job that did not come to its end: the chunks that are whole count."""

    def known(reply: Reply) -> None:
        if empty := worlds.find(world_id):
            worlds.describe(empty, World.from_json(reply.json()))

    # A world whose very first job failed may be gone; its job's error is shown already.
    session.current.client.request("GET", f"/worlds/{world_id}", on_reply=known)


def find_after_load() -> None:
    """After loading a file: connects when it remembers jobs and a service runs, which finds them. Starts none."""
    if any(empty.lyra.job for empty in worlds.all_worlds()):
        session.current.adopt(lambda: None)


def find_again() -> None:
    """When a service answers: follows what runs for the file's worlds, and learns how the jobs it remembers ended."""

    def ask_about_others() -> None:
        for empty in worlds.all_worlds():
            if empty.lyra.job and not is_followed(empty.lyra.job) and fetching.valid(empty.lyra.job):
                _ask_about(empty.lyra.world_id, empty.lyra.job)

    find_running(ask_about_others)


def find_running(then: Callable[[], None] = lambda: None) -> None:
    """Follows what the service does for the file's worlds, whoever began it; calls `then` when it is known."""

    def listed(reply: Reply) -> None:
        for job in entries(reply.json(), Job.from_json):
            if worlds.find(job.world_id) and not is_followed(job.id):
                follow(job)
        then()

    session.current.client.request("GET", "/jobs?active=true", on_reply=listed, on_error=session.current.say)


def _ask_about(world_id: str, job_id: str) -> None:
    def known(reply: Reply) -> None:
        empty, job = worlds.find(world_id), Job.from_json(reply.json())
        # Meanwhile the artist may have begun another job, or resumed this one.
        if empty is None or empty.lyra.job != job_id or is_followed(job_id):
            return
        shown = session.current.jobs.get(world_id)
        # Of a job that is done, the results have not been loaded: the file would not remember it otherwise.
        if job.state == "done" or shown is None or (shown.id, shown.state) != (job_id, job.state):
            follow(job)

    session.current.client.request("GET", f"/jobs/{job_id}", on_reply=known, on_error=session.current.say)
