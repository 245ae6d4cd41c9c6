"""Routes about engines and the networks of depth: what they are, their licences, and fetching what they need."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from backend.api import engines, schemas
from backend.errors import ConflictError
from backend.jobs.store import Job
from backend.service import Backend


def engine_routes(backend: Backend) -> APIRouter:
    router = APIRouter()
    book = backend.book

    @router.get("/engines")
    async def list_engines() -> list[schemas.Engine]:
        found = await run_in_threadpool(engines.engine_resources, backend.config.device)
        return [schemas.Engine(**engine) for engine in found]

    @router.post("/licences/{licence_id}/accept")
    async def accept(licence_id: str) -> schemas.Licence:
        """The user has read the licence and accepts it; remembered for this user on this machine."""
        return schemas.Licence(**await run_in_threadpool(engines.accept_licence, licence_id))

    @router.post("/engines/{engine_id}/download", status_code=202, response_model=schemas.Job)
    async def download(engine_id: str) -> dict:
        """Fetches the weights that an engine lacks and converts them; goes on where an earlier one stopped."""
        return await fetch(engine_id)

    @router.get("/depth")
    async def depth() -> schemas.DepthNetworks:
        return schemas.DepthNetworks(**await run_in_threadpool(engines.depth_resource))

    @router.post("/depth/download", status_code=202, response_model=schemas.Job)
    async def download_depth() -> dict:
        """Fetches the networks for better depth that are missing; goes on where an earlier download stopped."""
        return await fetch(engines.DEPTH)

    async def fetch(engine_id: str) -> dict:
        await run_in_threadpool(engines.require_download, engine_id)
        if running := book.same_download(engine_id):
            raise ConflictError(f"Job {running.id} downloads the weights of {engine_id!r} already.")
        async with book.new_folder() as (job_id, _):
            return book.submit(Job(job_id, "", "download", {"engine": engine_id})).resource()

    return router
