"""Changes of a world that need no job: revert, scale, delete.

Where the answer to a change is lost, the state of the world is asked for until it is known.
"""

from __future__ import annotations

from collections.abc import Callable

from ..scene import worlds
from ..service import session
from ..service.bodies import RevertBody, WorldChanges
from ..service.client import PATIENCE, Client
from ..service.resources import World, entries
from ..service.wire import Body, NoAnswerError, Reply
from . import fetching
from .requests import LONG_PATIENCE

# What is left of the walkthrough is joined before the answer comes; that of an older world is encoded anew.
REVERT_PATIENCE = 600.0

# What was asked for and not answered yet: the client that asked, and what finds out about it.
_unanswered: dict[object, tuple[Client | None, Callable[[], None]]] = {}


def _client() -> Client:
    return session.current.client


def revert(world_id: str, chunks: int) -> None:
    """Removes chunks from the end; splats and mesh of what is left must be made anew."""

    def changed(world: World) -> bool:
        if len(world.chunks) != chunks:
            return False
        if empty := worlds.find(world_id):
            worlds.describe(empty, world)
            session.current.jobs.pop(world_id, None)
            empty.lyra.job = ""
            fetching.fetch_results(world)
        return True

    body = Body.of_json(RevertBody(chunks).to_json())
    _change("POST", f"/worlds/{world_id}/revert", body, world_id, changed, patience=REVERT_PATIENCE)


def set_scale(world_id: str, scale: float) -> None:
    """Sets the metres per unit of a world in the service."""

    def changed(world: World) -> bool:
        if empty := worlds.find(world_id):
            worlds.describe(empty, world)
        return world.scale == scale

    _change("PUT", f"/worlds/{world_id}", Body.of_json(WorldChanges(scale).to_json()), world_id, changed)


def delete(world_id: str) -> None:
    """Removes a world from the service's folder, and then from the scene."""

    def gone() -> None:
        session.current.jobs.pop(world_id, None)
        if empty := worlds.find(world_id):
            worlds.delete(empty)
            fetching.forget(world_id)
            worlds.push_undo("Delete World")
        else:
            fetching.forget(world_id)

    def silent(error: NoAnswerError) -> None:
        def listed(reply: Reply) -> None:
            if all(world.id != world_id for world in entries(reply.json(), World.from_json)):
                gone()
            else:
                session.current.say(f"{error} The world is not deleted yet. Try again in a moment.")

        _client().request("GET", "/worlds", on_reply=listed, on_error=session.current.say)

    _client().request(
        "DELETE",
        f"/worlds/{world_id}",
        on_reply=lambda _reply: gone(),
        on_error=session.current.say,
        on_silence=silent,
        patience=LONG_PATIENCE,
        about=world_id,
    )
    session.wake()


def _change(
    method: str,
    path: str,
    body: Body,
    world_id: str,
    changed: Callable[[World], bool],
    patience: float = PATIENCE,
) -> None:
    """Has a world changed. `changed` takes the world as the service then describes it, keeps that, and tells whether
    it is as it was to be. Without an answer the service may have changed it all the same: how the world stands is
    asked before anything is said, and asked again when the next connection stands.
    """
    key = object()

    def answered(reply: Reply) -> None:
        world = World.from_json(reply.json())
        _unanswered.pop(key, None)
        changed(world)

    def refused(message: str) -> None:
        _unanswered.pop(key, None)
        session.current.say(message)

    def look(why: str) -> None:
        def known(reply: Reply) -> None:
            world = World.from_json(reply.json())
            _unanswered.pop(key, None)
            if not changed(world):
                if empty := worlds.find(world_id):
                    worlds.describe(empty, world)
                session.current.say(
                    f"{why} World '{world.name}' has {world.frames} frames now. Wait a little, "
                    "click Reload Results, and try again if nothing has changed."
                )

        def silent(error: NoAnswerError) -> None:
            _unanswered[key] = None, lambda: look(why)
            session.current.say(str(error))

        _client().request("GET", f"/worlds/{world_id}", on_reply=known, on_error=refused, on_silence=silent)

    _unanswered[key] = _client(), lambda: look("The connection was lost before the service had answered.")
    _client().request(
        method,
        path,
        body=body,
        on_reply=answered,
        on_error=refused,
        on_silence=lambda error: look(str(error)),
        patience=patience,
        about=world_id,
    )
    session.wake()


def look_again() -> None:
    """When a service answers: finds out about the changes that an earlier connection did not live to see."""
    for asked_by, look in list(_unanswered.values()):
        if asked_by is not _client():
            look()
