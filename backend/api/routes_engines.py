"""Routes about engines and the networks of depth: what they are, their licences, and fetching what they need."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from backend.api import engines, schemas
from backend.api.context import RunningBackend
from backend.errors import ConflictError
from backend.jobs.store import Job

router = APIRouter(prefix="/v1", tags=["engines"])


@router.get("/engines")
async def list_engines(backend: RunningBackend) -> list[schemas.Engine]:
    """All engines, the default one first, with what each still needs and what can be chosen."""
    found = await run_in_threadpool(engines.engine_resources, backend.config.device)
    return [schemas.Engine(**engine) for engine in found]


@router.post("/licences/{licence_id}/accept")
async def accept(licence_id: str) -> schemas.Licence:
    """The user has read the licence and accepts it; remembered for this user on this machine."""
    return schemas.Licence(**await run_in_threadpool(engines.accept_licence, licence_id))


@router.post("/engines/{engine_id}/download", status_code=202, response_model=schemas.Job)
async def download(engine_id: str, backend: RunningBackend) -> dict:
    """Fetches the weights that an engine lacks and converts them; goes on where an earlier one stopped."""
    return await _fetch(engine_id, backend)


@router.get("/depth")
async def depth() -> schemas.DepthNetworks:
    """The networks for better depth of the picture: whether they are here, and under which licences."""
    return schemas.DepthNetworks(**await run_in_threadpool(engines.depth_resource))


@router.post("/depth/download", status_code=202, response_model=schemas.Job)
async def download_depth(backend: RunningBackend) -> dict:
    """Fetches the networks for better depth that are missing; goes on where an earlier download stopped."""
    return await _fetch(engines.DEPTH, backend)


async def _fetch(engine_id: str, backend: RunningBackend) -> dict:
    await run_in_threadpool(engines.require_download, engine_id)
    if running := backend.book.same_download(engine_id):
        raise ConflictError(f"Job {running.id} downloads the weights of {engine_id!r} already.")
    async with backend.book.new_folder() as (job_id, _):
        return backend.book.submit(Job(job_id, "", "download", {"engine": engine_id})).resource()
