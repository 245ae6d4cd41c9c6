"""Conditions that polls of several operators share; each gives its reason where it is not met."""

from __future__ import annotations

from ..jobs import following
from ..scene import worlds
from ..service import session
from ..service.contract import ACTIVE_STATES
from ..service.session import Phase


def needs_ready_world(cls, context) -> bool:
    """Whether the scene has a chosen world with its points in place."""
    empty = context.scene.lyra.world
    if empty is None:
        cls.poll_message_set("Start a world first")
        return False
    if worlds.part(empty, worlds.FIRST_CAMERA) is None:
        job = following.job_of(empty)
        coming = session.current.tasks or (job is not None and job.state in ACTIVE_STATES)
        cls.poll_message_set(
            "Wait until the world's points are imported"
            if coming
            else "The world's first camera is not in the scene: click Reload Results to bring it back"
        )
        return False
    return True


def needs_idle_world(cls, context) -> bool:
    """Whether the scene has a chosen world, and no job of it is under way."""
    empty = context.scene.lyra.world
    if empty is None:
        cls.poll_message_set("Start a world first")
        return False
    if following.is_busy(empty):
        cls.poll_message_set("Wait for the world's job, or cancel it")
        return False
    return True


def needs_camera(cls, context) -> bool:
    """Whether an animated camera is chosen."""
    if context.scene.lyra.camera is None:
        cls.poll_message_set("Add a camera path, or choose an animated camera")
        return False
    return True


def needs_service(cls) -> bool:
    """Whether a service is connected."""
    if session.current.phase is not Phase.READY:
        cls.poll_message_set("Start the service first")
        return False
    return True
