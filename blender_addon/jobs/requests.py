"""Requests for jobs: start a world, extend, reconstruct, resume, cancel; and reloading of results.

Worlds and jobs are kept by id only; objects of the scene are looked up when an answer arrives.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import bpy
import numpy as np

from ..camera import conversion
from ..scene import worlds
from ..service import pictures, session
from ..service.bodies import ExtendSettings, NewWorldSettings, ReconstructSettings
from ..service.resources import Job, NewWorld, World, entries
from ..service.wire import Body, NoAnswerError, Reply
from . import fetching, following
from .following import follow

# Files are sent or written before the answer comes.
LONG_PATIENCE = 120.0

# What a request for a new world is about, in place of the world's id.
NEW_WORLD = "a new world"


@dataclass(frozen=True)
class NewWorldRequest:
    """What Start World sends, and where the world shall stand: `first_camera` (4, 4) in the scene `scene`. One that
    `stands_up` is turned upright as soon as the direction against gravity in its image is known.

    `of_size` gives the whole settings for a width and height of the image, where some of them follow from these.
    """

    image: Path
    depth: Path | None
    settings: NewWorldSettings
    scene: str
    first_camera: np.ndarray = field(repr=False)
    stands_up: bool = field(default=True, repr=False)
    of_size: Callable[[tuple[int, int]], NewWorldSettings] | None = field(default=None, repr=False)


def _client():
    return session.current.client


def start_world(new: NewWorldRequest) -> None:
    """Sends the image; the world's empty stands as soon as the service has taken it. What depends on the size of the
    image waits for the service to have measured it."""

    def measured(size: tuple[int, int]) -> None:
        _send_world(new, new.of_size(size))

    try:
        if new.of_size is None:
            _send_world(new, new.settings)
        else:
            pictures.measure(new.image, measured, NEW_WORLD)
    except OSError as error:
        session.current.say(str(error))


def _send_world(new: NewWorldRequest, settings: NewWorldSettings) -> None:
    files = {"image": new.image} | ({"depth": new.depth} if new.depth else {})

    def taken(reply: Reply) -> None:
        answer = NewWorld.from_json(reply.json())
        scene = bpy.data.scenes.get(new.scene) or bpy.context.scene
        matrix = conversion.world_matrix(new.first_camera, 1.0)
        empty = worlds.create(scene, answer.world, matrix)
        empty.lyra.stands_up = new.stands_up
        scene.lyra.world = empty
        follow(answer.job)
        worlds.push_undo("Start World")

    body = Body.multipart({"settings": json.dumps(settings.to_json())}, files)
    _client().request(
        "POST",
        "/worlds",
        body=body,
        on_reply=taken,
        on_error=session.current.say,
        patience=LONG_PATIENCE,
        about=NEW_WORLD,
    )


def if_as_known(world: World, then: Callable[[], None]) -> None:
    """Calls `then` if the service's world still is as `world` describes it and nothing works on it, and says in the
    panel if not: after an undo or a lost connection, which do not reach the service, or when another Blender is at it.
    """
    world_id, name = world.id, world.name

    def ask(path: str, known: Callable[[Reply], None]) -> None:
        _client().request("GET", path, on_reply=known, on_error=session.current.say, about=world_id)

    def listed(reply: Reply) -> None:
        if entries(reply.json(), Job.from_json):
            session.current.say(f"The service is working on world '{name}'. Wait for its job, or cancel it.")
            following.find_running()
        else:
            ask(f"/worlds/{world_id}", described)

    def described(reply: Reply) -> None:
        there = World.from_json(reply.json())
        if (there.frames, there.last_w2c) == (world.frames, world.last_w2c):
            then()
            return
        here = "others" if there.frames == world.frames else world.frames
        session.current.say(
            f"The service has {there.frames} frames of world '{name}', this file {here}: Blender's undo does not "
            "reach the service. Click Reload Results, then go on from its newest frame or Revert."
        )

    ask(f"/jobs?world_id={world_id}&active=true", listed)
    session.wake()


def extend(world: World, settings: ExtendSettings, first_frame: int) -> None:
    """Asks for the frames along a path, which was made for a world that is as `world` describes it and begins at this
    frame of the scene."""
    world_id, body = world.id, Body.of_json(settings.to_json())

    def send() -> None:
        empty = worlds.find(world_id)
        if empty and world.frames <= 1:
            empty.lyra.first_frame = first_frame
        _ask_for_job("Generate", world_id, f"/worlds/{world_id}/chunks", body)

    if_as_known(world, send)


def reconstruct(world_id: str, mesh: bool) -> None:
    body = Body.of_json(ReconstructSettings(mesh).to_json())
    _ask_for_job("Reconstruct", world_id, f"/worlds/{world_id}/reconstruct", body)


def resume(world_id: str, job_id: str) -> None:
    if fetching.valid(job_id):
        _ask_for_job("Resume", world_id, f"/jobs/{job_id}/resume", None)


def _ask_for_job(step: str, world_id: str, path: str, body: Body | None) -> None:
    """Asks for a job of a world and follows it. `step` names the undo step of that: what the file remembers of the job
    is not to go with the undo of what the artist does next."""

    def taken(reply: Reply) -> None:
        follow(Job.from_json(reply.json()))
        worlds.push_undo(step)

    def silent(error: NoAnswerError) -> None:
        session.current.say(f"{error} If the job was started all the same, it appears in a moment.")
        following.find_running()

    _client().request(
        "POST",
        path,
        body=body,
        on_reply=taken,
        on_error=session.current.say,
        on_silence=silent,
        patience=LONG_PATIENCE,
        about=world_id,
    )
    session.wake()


def cancel(job_id: str) -> None:
    def taken(reply: Reply) -> None:
        follow(Job.from_json(reply.json()))

    _client().request("POST", f"/jobs/{job_id}/cancel", on_reply=taken, on_error=session.current.say)
    session.wake()


def reload(world_id: str) -> None:
    """Asks how a world is now, loads its newest results and follows what runs for it."""

    def known(reply: Reply) -> None:
        world = World.from_json(reply.json())
        if world.state != "ready":
            session.current.say(
                f"World '{world.name}' is still being started. Wait for its job, or start it again."
            )
            return
        empty = worlds.find(world_id)
        if empty and not worlds.part(empty, worlds.FIRST_CAMERA):
            fetching.fetch_first_view(world)
        else:
            fetching.fetch_results(world)

    if fetching.valid(world_id):
        following.find_running()
        _client().request("GET", f"/worlds/{world_id}", on_reply=known, on_error=session.current.say)
        session.wake()
