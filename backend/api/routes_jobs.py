"""Routes about jobs."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from backend.api import schemas
from backend.api.context import RunningBackend
from backend.api.json_body import JsonRoute
from backend.api.sending import read_small_file
from backend.errors import NotFoundError
from backend.worker.task import PREVIEW_FILE

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=JsonRoute)


@router.get("", response_model=list[schemas.Job])
async def list_jobs(backend: RunningBackend, world_id: str | None = None, active: bool = False) -> list[dict]:
    """Oldest first; with `active=true` only those that wait or run."""
    return [job.resource() for job in backend.book.jobs(world_id) if job.active or not active]


@router.get("/{job_id}", response_model=schemas.Job)
async def get_job(job_id: str, backend: RunningBackend) -> dict:
    """One job as it is now."""
    return backend.book.get(job_id).resource()


@router.post("/{job_id}/cancel", response_model=schemas.Job)
async def cancel(job_id: str, backend: RunningBackend) -> dict:
    """Ends a job that waits or runs, within 2 seconds; whole chunks stay."""
    return backend.cancel(job_id).resource()


@router.post("/{job_id}/resume", status_code=202, response_model=schemas.Job)
async def resume(job_id: str, backend: RunningBackend) -> dict:
    """Queues a stopped job again; it goes on after the last whole chunk."""
    return backend.book.resume(job_id).resource()


@router.get("/{job_id}/events", response_model=list[schemas.Event])
async def events(
    job_id: str,
    backend: RunningBackend,
    after: Annotated[int, Query(ge=0)] = 0,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str, Header()] = "",
) -> Response | list[dict]:
    """Events after a sequence number; as a stream for `Accept: text/event-stream`."""
    log = backend.book.events(job_id)
    if "text/event-stream" not in accept:
        return log.since(after)
    # A browser's EventSource sends this when it connects again.
    start = int(last_event_id) if re.fullmatch(r"\d{1,18}", last_event_id) else after
    return EventSourceResponse(_sent(log.stream(start)))


@router.get("/{job_id}/preview", response_class=FileResponse)
async def preview(job_id: str, backend: RunningBackend) -> Response:
    """JPEG of the newest frame, at most 320 pixels wide."""
    job = backend.book.get(job_id)
    try:
        if not job.preview:
            raise FileNotFoundError
        frame = await run_in_threadpool(read_small_file, backend.book.folder(job.id), PREVIEW_FILE)
    except FileNotFoundError:
        raise NotFoundError(
            f"Job {job.id} has no frame to show yet; ask again when its `preview` is true."
        ) from None
    return Response(frame, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _sent(events: AsyncIterator[dict]) -> AsyncIterator[ServerSentEvent]:
    async for event in events:
        yield ServerSentEvent(json.dumps(event), id=str(event["sequence"]), event="job")
