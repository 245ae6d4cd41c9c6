"""Routes about worlds: make, list, extend, revert, reconstruct, export, download, delete."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import TypeAdapter
from starlette.datastructures import UploadFile

from backend.api import schemas
from backend.api.context import KnownWorlds, RunningBackend, open_world
from backend.api.json_body import JsonRoute, read_json
from backend.api.routes_takes import supersede_others
from backend.api.sending import file_response
from backend.api.uploads import file_of, image_of, plain_names, received_form, store_upload
from backend.api.validation import check_captions, check_options, checked_path, require_engine
from backend.api.worlds import resource, seeding_resource
from backend.errors import ConflictError, NotFoundError
from backend.jobs.store import Job, JobKind
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


BYTES = "application/octet-stream"
_TRAJECTORY_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}
}
router = APIRouter(prefix="/v1/worlds", tags=["worlds"], route_class=JsonRoute)


def _submit(backend: Backend, kind: JobKind, world: World, request: dict, work: float, job_id: str) -> dict:
    return backend.book.submit(Job(job_id, world.folder.name, kind, request, work)).resource()


@router.post("", status_code=202, response_model=schemas.NewWorld, openapi_extra=_UPLOAD_SCHEMA)
async def create(request: Request, backend: RunningBackend) -> dict:
    """Begins a world from an image; the job estimates its depth."""
    async with backend.book.new_folder() as (job_id, folder):
        with disk_full_explained(folder), plain_names(folder):
            settings, image, depth = await _received_world(request, backend, folder)
            await run_in_threadpool(require_engine, settings.engine, backend.config.device)
            given = settings.model_dump()
            async with backend.decoding:
                height, width = await run_in_threadpool(backend.inspector.check, image, depth, given)
        name = settings.name or image.stem
        details = {
            **given,
            "name": name,
            "image": image.relative_to(folder).as_posix(),
            "depth_file": depth and depth.relative_to(folder).as_posix(),
            "height": height,
            "width": width,
        }
        job = backend.book.submit(Job(job_id, new_id(name), "seed", details))
    return {"world": seeding_resource(job, backend.config.world_folder(job.world_id)), "job": job.resource()}


async def _received_world(
    request: Request, backend: Backend, folder: Path
) -> tuple[schemas.WorldSettings, Path, Path | None]:
    """The settings of a request for a new world, and its image and depth file, stored in `folder`."""
    limits = backend.config.limits
    async with received_form(request, files=2, fields=1) as form:
        # After the body has been read: a client that is still sending would not see the answer.
        backend.book.require_room()
        if len(await run_in_threadpool(backend.catalog.ids)) >= limits.worlds:
            raise ConflictError(f"There are {limits.worlds} worlds already; delete some first.")
        settings = await run_in_threadpool(_settings, form.get("settings"))
        image, depth = image_of(form), file_of(form, "depth")
        image_file = await run_in_threadpool(store_upload, image, folder / IMAGE_FOLDER, limits.image_bytes)
        if depth is None:
            return settings, image_file, None
        depth_file = await run_in_threadpool(store_upload, depth, folder / DEPTH_FOLDER, limits.depth_bytes)
        return settings, image_file, depth_file


@router.get("", response_model=list[schemas.World])
async def list_worlds(backend: RunningBackend, known: KnownWorlds) -> Response:
    """All worlds; one that cannot be opened is `damaged` and says why."""
    worlds = await run_in_threadpool(known.resources)
    ready = {world["id"] for world in worlds}
    seeds = [job for job in backend.book.active() if job.kind == "seed" and job.world_id not in ready]
    made = [seeding_resource(job, backend.config.world_folder(job.world_id)) for job in seeds]
    return await run_in_threadpool(_as_json, worlds + made)


@router.get("/{world_id}", response_model=schemas.World)
async def get_world(world_id: str, backend: RunningBackend) -> dict:
    """One world; while it is being made, what was asked for."""
    try:
        return await run_in_threadpool(resource, await open_world(backend, world_id))
    except ConflictError:
        job = next(job for job in backend.book.active(world_id) if job.kind == "seed")
        return seeding_resource(job, backend.config.world_folder(world_id))


@router.put("/{world_id}", response_model=schemas.World)
async def change(world_id: str, body: schemas.WorldChanges, backend: RunningBackend) -> dict:
    """Sets the world's scale; its files stay as they are, what was packed at the old one goes."""
    world = await open_world(backend, world_id)
    await run_in_threadpool(world.rescale, body.scale)
    return await run_in_threadpool(resource, world)


@router.delete("/{world_id}", status_code=204)
async def delete_world(world_id: str, backend: RunningBackend) -> None:
    """Removes a world with its jobs and uploads; of a link the link alone."""
    with backend.book.reserved(world_id):
        try:
            await run_in_threadpool(backend.catalog.delete, world_id)
        except NotFoundError:
            # One that was never made, or removed by hand: what its jobs were given goes.
            if not backend.book.jobs(world_id):
                raise
        await backend.book.forget_world(world_id)


@router.post("/{world_id}/chunks", status_code=202, response_model=schemas.Job)
async def extend(world_id: str, body: schemas.ExtendSettings, backend: RunningBackend) -> dict:
    """Adds the frames along a path of 1 + 80k cameras, then splats and mesh when asked for."""
    world = await open_world(backend, world_id)
    await run_in_threadpool(require_engine, world.engine, backend.config.device)
    await run_in_threadpool(check_options, world.engine, body.options)
    longer = world if body.from_chunk is None else world.ending_at(body.from_chunk)
    path = await run_in_threadpool(checked_path, body, longer)
    if body.captions is not None:
        await run_in_threadpool(check_captions, body.captions, body.prompt, longer.frames + len(path) - 1)
    details = body.model_dump(exclude={"trajectory"}) | {"engine": world.engine}
    work = float((len(path) - 1) * world.width * world.height)
    async with backend.book.new_folder() as (job_id, folder):
        with disk_full_explained(folder):
            await run_in_threadpool(path.save, folder / TRAJECTORY_FILE)
        return _submit(backend, "extend", world, details, work, job_id)


@router.post("/{world_id}/revert", response_model=schemas.World)
async def revert(world_id: str, body: schemas.RevertBody, backend: RunningBackend) -> dict:
    """Goes back on the line that is shown; what was made after that is kept as another take."""
    with backend.book.reserved(world_id):
        world = await open_world(backend, world_id)
        before = len(world.chunks)
        await run_in_threadpool(world.revert, body.chunks)
        if body.chunks != before:
            await supersede_others(backend, world)
        return await run_in_threadpool(resource, world)


@router.post("/{world_id}/reconstruct", status_code=202, response_model=schemas.Job)
async def reconstruct(world_id: str, body: schemas.ReconstructSettings, backend: RunningBackend) -> dict:
    """Makes splats and mesh again."""
    world = await open_world(backend, world_id)
    async with backend.book.new_folder() as (job_id, _):
        work = float(world.frames * world.width * world.height)
        return _submit(backend, "reconstruct", world, body.model_dump(), work, job_id)


@router.post("/{world_id}/export", status_code=202, response_model=schemas.Job)
async def export(world_id: str, body: schemas.ExportSettings, backend: RunningBackend) -> dict:
    """Packs results into `results/export.zip`."""
    world = await open_world(backend, world_id)
    async with backend.book.new_folder() as (job_id, _):
        return _submit(backend, "export", world, body.model_dump(), 1.0, job_id)


@router.get("/{world_id}/trajectory", response_class=Response, responses=_TRAJECTORY_ANSWER)
async def trajectory(world_id: str, backend: RunningBackend) -> Response:
    """The cameras of the world's line, frame 0 to the newest: an .npz of w2c, intrinsics, image_height, image_width."""
    world = await open_world(backend, world_id)
    content = await run_in_threadpool(_packed_trajectory, world)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Response(content, media_type=BYTES, headers={"ETag": etag})


@router.get("/{world_id}/files/{path:path}", response_class=FileResponse)
async def download(
    world_id: str,
    path: str,
    backend: RunningBackend,
    range: Annotated[str, Header()] = "",
    if_range: Annotated[str, Header()] = "",
) -> Response:
    """A file of the world; byte ranges are understood."""
    try:
        file, size = await run_in_threadpool(backend.catalog.open_file, world_id, path)
    except NotFoundError:
        # A world that is being made says so.
        await open_world(backend, world_id)
        raise
    return file_response(file, size, path, range, if_range)


def _packed_trajectory(world: World) -> bytes:
    packed = io.BytesIO()
    world.trajectory().save(packed)
    return packed.getvalue()


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
