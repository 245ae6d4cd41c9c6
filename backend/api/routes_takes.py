"""Routes about a world's takes: list them, show another one, remove what the one that is shown does without."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from backend.api import schemas
from backend.api.context import RunningBackend, open_world
from backend.api.json_body import JsonRoute
from backend.api.worlds import resource
from backend.service import Backend
from lyra.world.folder import World
from lyra.world.takes import Unneeded, clean, list_takes, unneeded

router = APIRouter(prefix="/v1/worlds", tags=["worlds"], route_class=JsonRoute)


@router.get("/{world_id}/takes", response_model=list[schemas.Take])
async def takes(world_id: str, backend: RunningBackend) -> list[dict]:
    """Every end that the world can have, in order of their ids; 0 is its first frame alone."""
    found = await run_in_threadpool(list_takes, await open_world(backend, world_id))
    return [asdict(take) for take in found]


@router.post("/{world_id}/switch", response_model=schemas.World)
async def switch(world_id: str, body: schemas.SwitchBody, backend: RunningBackend) -> dict:
    """Shows another take; results, walkthrough and unfinished path of the one before are kept for it."""
    with backend.book.reserved(world_id):
        world = await open_world(backend, world_id)
        before = world.head
        await run_in_threadpool(world.switch, body.take)
        if world.head != before:
            await supersede_others(backend, world)
        return await run_in_threadpool(resource, world)


@router.post("/{world_id}/clean", response_model=schemas.Unneeded)
async def clean_world(world_id: str, body: schemas.CleanBody, backend: RunningBackend) -> dict:
    """Removes the chunks that are not on the line that is shown, and what is kept of other takes."""
    with backend.book.reserved(world_id):
        world = await open_world(backend, world_id)
        found: Unneeded = await run_in_threadpool(unneeded if body.dry_run else clean, world)
        return asdict(found)


async def supersede_others(backend: Backend, world: World) -> None:
    """After the head was moved, only the job whose path goes on from there can be resumed."""
    plan = await run_in_threadpool(world.load_plan)
    backend.book.supersede(world.folder.name, goes_on=None if plan is None else plan.job)
