"""Licences and weights of engines: accepted, downloaded and converted by the service on request."""

from __future__ import annotations

from ..service import session
from ..service.contract import ACTIVE_STATES, DOWNLOAD_JOB
from ..service.resources import Job, entries
from ..service.wire import Reply
from .following import follow, is_followed

# Downloads belong to no world: among the jobs, which are kept by their world, they stand under this name.
NO_WORLD = ""


def download_job() -> Job | None:
    """The newest download, as the service last described it."""
    return session.current.jobs.get(NO_WORLD)


def is_downloading() -> bool:
    job = download_job()
    return job is not None and job.state in ACTIVE_STATES


def accept(licence_id: str) -> None:
    """Tells the service that the user accepts a licence; it keeps that for good."""
    session.current.client.request(
        "POST",
        f"/licences/{licence_id}/accept",
        on_reply=lambda _reply: session.current.refresh_engines(),
        on_error=session.current.say,
    )
    session.wake()


def download(engine_id: str) -> None:
    """Has the service fetch and convert what an engine needs; what was fetched before is not fetched again."""
    session.current.client.request(
        "POST",
        f"/engines/{engine_id}/download",
        on_reply=lambda reply: follow(Job.from_json(reply.json())),
        on_error=session.current.say,
        patience=120.0,
    )
    session.wake()


def find_again() -> None:
    """Follows the download that runs in the service already, if one does."""

    def listed(reply: Reply) -> None:
        active = [job for job in entries(reply.json(), Job.from_json) if job.kind == DOWNLOAD_JOB]
        for job in active:
            if not is_followed(job.id):
                follow(job)
        if not active:
            session.current.jobs.pop(NO_WORLD, None)

    session.current.client.request("GET", "/jobs?active=true", on_reply=listed, on_error=session.current.say)
