"""The camera path that was sampled last, for the viewport and for Generate.

Sampling steps through the frames: it drops poses that are not keyed, and a heavy scene takes long. So it is done only
when a path is added, sent or updated by a click. Later changes of what moves the camera mark the path as outdated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..camera import conversion, trajectory
from . import worlds


@dataclass(frozen=True)
class KeptPath:
    """`size` is the length of a camera's pyramid in scene units, `made_from` the session ids of what moves it."""

    key: tuple
    sampled: trajectory.Sampled
    size: float
    made_from: frozenset[int]
    changed: bool = False


_kept: KeptPath | None = None


def path_range(scene) -> tuple[float, float]:
    """First and last scene frame of the path. Raises nothing: an empty range is a camera that stands still."""
    settings = scene.lyra
    if settings.range == "SCENE":
        return scene.frame_start, scene.frame_end
    return settings.first_frame, max(settings.first_frame, settings.last_frame)


def update(context) -> trajectory.Sampled:
    """Samples the chosen camera for the chosen world, and keeps the path. Raises conversion.CameraError."""
    global _kept
    scene, settings = context.scene, context.scene.lyra
    empty, world = settings.world, worlds.description(settings.world)
    first, last = path_range(scene)
    count = trajectory.frame_count(settings.chunks)
    sampled = trajectory.sample(context, settings.camera, first, last, count, world.width, world.height)
    scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
    _kept = KeptPath(_key(scene), sampled, 0.1 * empty.lyra.depth * scale, _made_from(settings.camera))
    return sampled


def shown(scene) -> KeptPath | None:
    """The path to draw in this scene, if one was sampled for the camera that is chosen now."""
    if _kept is None or not scene.lyra.show_path or _key(scene)[:2] != _kept.key[:2]:
        return None
    return _kept


def is_current(scene) -> bool:
    """Whether the kept path is what would be sampled now, as far as can be told without sampling."""
    return _kept is not None and not _kept.changed and _key(scene) == _kept.key


def forget() -> None:
    global _kept
    _kept = None


def _key(scene) -> tuple:
    settings = scene.lyra
    ids = (item.session_uid if item else 0 for item in (settings.world, settings.camera))
    return (*ids, *path_range(scene), settings.chunks)


def _made_from(camera: bpy.types.Object) -> frozenset[int]:
    """Session ids of a camera and of all that it follows, tracks or hangs under."""
    found, waiting = set(), [camera]
    while waiting:
        obj = waiting.pop()
        if obj is None or obj.session_uid in found:
            continue
        animation = obj.animation_data
        found |= {
            item.session_uid for item in (obj, obj.data, animation.action if animation else None) if item
        }
        waiting += [obj.parent, *(getattr(constraint, "target", None) for constraint in obj.constraints)]
    return frozenset(found)


@bpy.app.handlers.persistent
def watch(_scene, depsgraph) -> None:
    global _kept
    if _kept is None or _kept.changed:
        return
    for change in depsgraph.updates:
        # Choosing an object changes it too, but neither its place nor its shape.
        moved = change.is_updated_transform or change.is_updated_geometry
        if (moved or not isinstance(change.id, bpy.types.Object)) and (
            change.id.original.session_uid in _kept.made_from
        ):
            _kept = replace(_kept, changed=True)
            return
