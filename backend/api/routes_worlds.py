"""Routes about worlds: make, list, extend, revert, reconstruct, export, download, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import TypeAdapter
from starlette.datastructures import UploadFile

from backend.api import schemas
from backend.api.forms import file_of, image_of, received_form
from backend.api.json_body import JsonRoute, read_json
from backend.api.sending import file_response
from backend.api.uploads import plain_names, store_upload
from backend.api.validation import check_captions, check_options, checked_path, require_engine
from backend.catalog import resource
from backend.errors import ConflictError, NotFoundError
from backend.jobs.seeding import seeding_resource
from backend.jobs.store import Job
from backend.service import Backend
from backend.worker.task import DEPTH_FOLDER, IMAGE_FOLDER, TRAJECTORY_FILE
from lyra.common.errors import InvalidInputError
from lyra.common.files import disk_full_explained
from lyra.world.folder import World
from lyra.world.settings import new_id

_UPLOAD_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "depth": {
                            "type": "string",
                            "format": "binary",
                            "description": ".npz, .npy, .exr, .pfm or .png",
                        },
                        "settings": {"type": "string", "description": "WorldSettings as JSON"},
                    },
                }
            }
        },
    }
}


def world_routes(backend: Backend) -> APIRouter:
    router = APIRouter(route_class=JsonRoute)
    book, catalog, limits = backend.book, backend.catalog, backend.config.limits
    decoding = backend.decoding

    async def opened(world_id: str) -> World:
        """A world that is there; while it is being seeded, a message that says so."""
        try:
            return await run_in_threadpool(catalog.open, world_id)
        except NotFoundError:
            seeds = [job for job in book.list(world_id) if job.kind == "seed"]
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

    def submit(kind: str, world: World, request: dict, work: float, job_id: str) -> dict:
        return book.submit(Job(job_id, world.folder.name, kind, request, work)).resource()

    @router.post("", status_code=202, response_model=schemas.NewWorld, openapi_extra=_UPLOAD_SCHEMA)
    async def create(request: Request) -> dict:
        """Begins a world from an image; the job estimates its depth."""
        async with book.new_folder() as (job_id, folder):
            with disk_full_explained(folder), plain_names(folder):
                async with received_form(request, files=2, fields=1) as form:
                    # After the body has been read: a client that is still sending would not see the answer.
                    book.require_room()
                    if len(await run_in_threadpool(catalog.ids)) >= limits.worlds:
                        raise ConflictError(f"There are {limits.worlds} worlds already; delete some first.")
                    settings = await run_in_threadpool(_settings, form.get("settings"))
                    image, depth = image_of(form), file_of(form, "depth")
                    image_file = await run_in_threadpool(
                        store_upload, image, folder / IMAGE_FOLDER, limits.image_bytes
                    )
                    depth_file = depth and await run_in_threadpool(
                        store_upload, depth, folder / DEPTH_FOLDER, limits.depth_bytes
                    )
                await run_in_threadpool(require_engine, settings.engine, backend.config.device)
                async with decoding:
                    height, width = await run_in_threadpool(
                        backend.inspector.check, image_file, depth_file, settings
                    )
            name = settings.name or image_file.stem
            details = {
                **settings.model_dump(),
                "name": name,
                "image": image_file.relative_to(folder).as_posix(),
                "depth_file": depth_file and depth_file.relative_to(folder).as_posix(),
                "height": height,
                "width": width,
            }
            job = book.submit(Job(job_id, new_id(name), "seed", details))
        return {"world": seeding_resource(job, catalog.path(job.world_id)), "job": job.resource()}

    @router.get("", response_model=list[schemas.World])
    async def list_worlds() -> Response:
        """All worlds; one that cannot be opened is `damaged` and says why."""
        worlds = await run_in_threadpool(catalog.resources)
        ready = {world["id"] for world in worlds}
        seeds = [job for job in book.active() if job.kind == "seed" and job.world_id not in ready]
        made = [seeding_resource(job, catalog.path(job.world_id)) for job in seeds]
        return await run_in_threadpool(_as_json, worlds + made)

    @router.get("/{world_id}", response_model=schemas.World)
    async def get_world(world_id: str) -> dict:
        try:
            return await run_in_threadpool(resource, await opened(world_id))
        except ConflictError:
            job = next(job for job in book.active(world_id) if job.kind == "seed")
            return seeding_resource(job, catalog.path(world_id))

    @router.put("/{world_id}", response_model=schemas.World)
    async def change(world_id: str, body: schemas.WorldChanges) -> dict:
        """Sets the world's scale; its files stay as they are, what was packed at the old one goes."""
        world = await opened(world_id)
        await run_in_threadpool(world.rescale, body.scale)
        return await run_in_threadpool(resource, world)

    @router.delete("/{world_id}", status_code=204)
    async def delete_world(world_id: str) -> None:
        with book.reserved(world_id):
            try:
                await run_in_threadpool(catalog.delete, world_id)
            except NotFoundError:
                # One that was never made, or removed by hand: what its jobs were given goes.
                if not book.list(world_id):
                    raise
            await book.forget_world(world_id)

    @router.post("/{world_id}/chunks", status_code=202, response_model=schemas.Job)
    async def extend(world_id: str, body: schemas.ExtendSettings) -> dict:
        """Adds the frames along a path of 1 + 80k cameras, then splats and mesh when asked for."""
        world = await opened(world_id)
        await run_in_threadpool(require_engine, world.engine, backend.config.device)
        await run_in_threadpool(check_options, world.engine, body.options)
        path = await run_in_threadpool(checked_path, body, world)
        if body.captions is not None:
            await run_in_threadpool(check_captions, body.captions, body.prompt, world.frames + len(path) - 1)
        details = body.model_dump(exclude={"trajectory"}) | {"engine": world.engine}
        work = float((len(path) - 1) * world.width * world.height)
        async with book.new_folder() as (job_id, folder):
            with disk_full_explained(folder):
                await run_in_threadpool(path.save, folder / TRAJECTORY_FILE)
            return submit("extend", world, details, work, job_id)

    @router.post("/{world_id}/revert", response_model=schemas.World)
    async def revert(world_id: str, body: schemas.RevertBody) -> dict:
        """Keeps the first chunks and removes the others, with what was made from them."""
        with book.reserved(world_id):
            world = await opened(world_id)
            before = len(world.chunks)
            await run_in_threadpool(world.revert, body.chunks)
            if body.chunks != before:
                book.supersede(world_id)
            return await run_in_threadpool(resource, world)

    @router.post("/{world_id}/reconstruct", status_code=202, response_model=schemas.Job)
    async def reconstruct(world_id: str, body: schemas.ReconstructSettings) -> dict:
        """Makes splats and mesh again."""
        world = await opened(world_id)
        async with book.new_folder() as (job_id, _):
            work = float(world.frames * world.width * world.height)
            return submit("reconstruct", world, body.model_dump(), work, job_id)

    @router.post("/{world_id}/export", status_code=202, response_model=schemas.Job)
    async def export(world_id: str, body: schemas.ExportSettings) -> dict:
        """Packs results into `results/export.zip`."""
        world = await opened(world_id)
        async with book.new_folder() as (job_id, _):
            return submit("export", world, body.model_dump(), 1.0, job_id)

    @router.get("/{world_id}/files/{path:path}", response_class=FileResponse)
    async def download(
        world_id: str,
        path: str,
        range: Annotated[str, Header()] = "",
        if_range: Annotated[str, Header()] = "",
    ) -> Response:
        """A file of the world; byte ranges are understood."""
        try:
            file, size = await run_in_threadpool(catalog.open_file, world_id, path)
        except NotFoundError:
            # A world that is being made says so.
            await opened(world_id)
            raise
        return file_response(file, size, path, range, if_range)

    return router


_WORLDS = TypeAdapter(list[schemas.World])


def _as_json(worlds: list[dict]) -> Response:
    return Response(_WORLDS.dump_json(_WORLDS.validate_python(worlds)), media_type="application/json")


def _settings(given: UploadFile | str | None) -> schemas.WorldSettings:
    if isinstance(given, UploadFile):
        raise InvalidInputError("The field 'settings' is a file; send it as a text field with JSON.")
    try:
        return read_json("{}" if given is None else given, schemas.WorldSettings)
    except InvalidInputError as error:
        raise InvalidInputError(f"settings: {error}") from error
