"""Open World: brings a world of the service into the open file."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np

from ..camera import conversion
from ..scene import worlds
from ..service import session
from ..service.resources import World, entries
from ..service.wire import Reply
from . import fetching, following

# The worlds that can be opened, the newest first, as the service listed them last.
listed: list[World] = []


def ask(then: Callable[[], None]) -> None:
    """Asks the service for its worlds and then calls `then`, unless there is none to open."""

    def known(reply: Reply) -> None:
        ready = [world for world in entries(reply.json(), World.from_json) if world.state == "ready"]
        listed[:] = sorted(ready, key=lambda world: world.created, reverse=True)
        if listed:
            then()
        else:
            session.current.say("The service has no world that could be opened. Start one from an image.")

    session.current.client.request("GET", "/worlds", on_reply=known, on_error=session.current.say)
    session.wake()


def open_world(world_id: str, scene_name: str, first_camera: np.ndarray) -> None:
    """Brings a world into the scene of this name, its first camera at `first_camera` (4, 4).

    One that is in the file already is chosen, and stands in this scene too; what is missing of it is loaded.
    """

    def scene() -> bpy.types.Scene:
        return bpy.data.scenes.get(scene_name) or bpy.context.scene

    def known(reply: Reply) -> None:
        world = World.from_json(reply.json())
        if world.state != "ready":
            session.current.say(f"World '{world.name}' is still being started. Open it when that is done.")
            return
        empty = worlds.find(world_id)
        if empty is not None:
            worlds.choose(scene(), empty)
            if worlds.part(empty, worlds.FIRST_CAMERA):
                worlds.push_undo("Choose World")
                return

        def stand() -> tuple[bpy.types.Scene, bpy.types.Object]:
            matrix = conversion.world_matrix(first_camera, 1.0)
            # The artist may have opened it twice, or undone what chose it.
            empty = worlds.find(world_id)
            if empty is None:
                empty = worlds.create(scene(), world, matrix)
                empty.lyra.stands_up = True
            worlds.choose(scene(), empty)
            return scene(), empty

        fetching.fetch_world(world, stand, following.find_running)

    if fetching.valid(world_id):
        session.current.client.request(
            "GET", f"/worlds/{world_id}", on_reply=known, on_error=session.current.say
        )
        session.wake()
