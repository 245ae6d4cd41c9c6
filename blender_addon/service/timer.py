"""The timer that advances everything in progress, and stops when nothing is."""

from __future__ import annotations

from collections.abc import Callable

import bpy

# After a tick that has raised, in seconds.
PAUSE_AFTER_ERROR = 1.0

_tick: Callable[[], float | None] | None = None


def start(tick: Callable[[], float | None]) -> None:
    """Has the timer call `tick`, which gives the seconds until it is to be called again, None for not at all."""
    global _tick
    _tick = tick


def wake() -> None:
    """Starts the timer. Called whenever work has begun."""
    if bpy.app.timers.is_registered(_poll):
        bpy.app.timers.unregister(_poll)
    bpy.app.timers.register(_poll, first_interval=0.0, persistent=True)


def stop() -> None:
    for function in (_poll, wake):
        if bpy.app.timers.is_registered(function):
            bpy.app.timers.unregister(function)


def is_rendering() -> bool:
    """Whether Blender renders on a thread of its own; changing data under it can crash Blender."""
    return bpy.app.is_job_running("RENDER")


def _poll() -> float | None:
    # Blender drops a timer that raises. The error is shown; what else is under way must go on.
    try:
        interval = _tick()
    except BaseException:
        bpy.app.timers.register(wake, first_interval=PAUSE_AFTER_ERROR, persistent=True)
        raise
    _redraw()
    return interval


def _redraw() -> None:
    """Redraws the sidebars."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
