"""Lyra Worlds inside Blender: from an image and a camera path to a world in the scene."""

from __future__ import annotations

import atexit

import bpy

from . import operators, ui, viewport
from .jobs import following, requests, weights
from .scene import properties, sampled_path
from .service import preferences, session

# What is found out whenever an engine answers that did not before.
_ON_READY = (weights.find_again, following.find_again, requests.look_again)


@bpy.app.handlers.persistent
def _after_load(_file) -> None:
    """Another file: nothing that was under way belongs to it, but its own jobs may still run."""
    session.current.disconnect()
    session.current.jobs.clear()
    sampled_path.forget()
    viewport.forget()
    following.find_after_load()


def register() -> None:
    bpy.utils.register_class(preferences.LYRA_AP_preferences)
    properties.register()
    operators.register()
    sampled_path.register()
    ui.register()
    viewport.register()
    bpy.app.handlers.load_post.append(_after_load)
    session.register()
    session.current.on_ready.extend(_ON_READY)
    atexit.register(session.current.close)


def unregister() -> None:
    atexit.unregister(session.current.close)
    session.current.on_ready.clear()
    bpy.app.handlers.load_post.remove(_after_load)
    viewport.unregister()
    ui.unregister()
    sampled_path.unregister()
    session.unregister()
    operators.unregister()
    properties.unregister()
    bpy.utils.unregister_class(preferences.LYRA_AP_preferences)
