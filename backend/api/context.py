"""What routes work with: the running service and its worlds, given to them by dependency."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from backend.api.worlds import WorldList
from backend.errors import ConflictError, NotFoundError
from backend.service import Backend
from lyra.world.folder import World


def give_context(app: FastAPI, backend: Backend) -> None:
    """Makes `backend` what the routes of `app` work with."""
    app.state.backend = backend
    app.state.world_list = WorldList(backend.catalog)


async def running_backend(request: Request) -> Backend:
    return request.app.state.backend


async def world_list(request: Request) -> WorldList:
    return request.app.state.world_list


RunningBackend = Annotated[Backend, Depends(running_backend)]
KnownWorlds = Annotated[WorldList, Depends(world_list)]


async def open_world(backend: Backend, world_id: str) -> World:
    """A world that is there. Raises NotFoundError, or ConflictError while it is still being made."""
    try:
        return await run_in_threadpool(backend.catalog.open, world_id)
    except NotFoundError:
        seeds = [job for job in backend.book.jobs(world_id) if job.kind == "seed"]
        if not seeds:
            raise
        job = seeds[-1]
        if job.active:
            raise ConflictError(
                f"World {world_id} is still being made by job {job.id}; wait for it."
            ) from None
        raise NotFoundError(
            f"World {world_id} was not made: its job {job.id} is {job.state}. "
            "Resume the job to try again, or delete the world."
        ) from None
