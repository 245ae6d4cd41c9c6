"""Step three: send the camera's path and have the world grown along it."""

from __future__ import annotations

import bpy
import numpy as np

from ..camera import trajectory
from ..jobs import following, requests
from ..scene import captions, sampled_path, worlds
from ..service import engines, session
from ..service.resources import Job
from .path import needs_ready_world


def job_of(empty: bpy.types.Object | None) -> Job | None:
    """The newest job of a world, as the backend last described it."""
    return session.current.jobs.get(empty.lyra.world_id) if empty else None


def is_busy(empty: bpy.types.Object | None) -> bool:
    """Whether a job of a world is under way, or a click on it not answered yet."""
    job = job_of(empty)
    if job is not None and job.state in following.ACTIVE:
        return True
    return empty is not None and session.current.is_asking(empty.lyra.world_id)


class LYRA_OT_generate(bpy.types.Operator):
    bl_idname = "lyra.generate"
    bl_label = "Generate"
    bl_description = "Make the world along the camera's path, from its newest picture on"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.lyra
        if not needs_ready_world(cls, context):
            return False
        if is_busy(settings.world):
            cls.poll_message_set("Wait for the world's job, or cancel it")
            return False
        if settings.camera is None:
            cls.poll_message_set("Add a camera path, or choose an animated camera")
            return False
        return True

    def execute(self, context):
        settings = context.scene.lyra
        empty = settings.world
        try:
            payload = _payload(context, empty)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        world, first_frame = worlds.description(empty), round(trajectory.path_range(context.scene)[0])
        session.current.ensure(lambda: requests.extend(world, payload, first_frame), world.id)
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        self.report(
            {"INFO"}, f"{trajectory.frame_count(settings.chunks)} cameras are on their way to the engine"
        )
        return {"FINISHED"}


def _payload(context, empty) -> dict:
    """What Generate sends. Raises ValueError for a camera or a setting of no use."""
    settings, world = context.scene.lyra, worlds.description(empty)
    options = engines.checked_settings(world.engine, _own_settings(settings))
    pieces = len(world.chunks) + settings.chunks
    texts = captions.captions(
        ((entry.piece, entry.text) for entry in empty.lyra.prompts), settings.prompt, pieces
    )
    sampled = sampled_path.update(context)
    payload = {
        "trajectory": sampled.payload(np.array(empty.matrix_world), empty.name),
        "pose_scale": settings.pose_scale,
        "reconstruct": settings.reconstruct,
        "mesh": settings.reconstruct and settings.mesh,
    }
    payload |= {"captions": texts} if texts else {"prompt": settings.prompt}
    if settings.use_new_seed:
        payload["seed"] = settings.new_seed
    if settings.memory_mode != "AUTO" and engines.has_weights(world.engine):
        options["memory_mode"] = settings.memory_mode.lower()
    if options:
        payload["options"] = options
    return payload


def _own_settings(settings) -> dict[str, float]:
    return {name: getattr(settings, name) for name, _ in engines.SETTINGS if getattr(settings, f"use_{name}")}


class _OnJob:
    """An operator on the newest job of the chosen world."""

    bl_options = {"REGISTER"}
    states: set[str] = set()
    wanted = ""

    @classmethod
    def poll(cls, context):
        job = job_of(context.scene.lyra.world)
        if job is None or job.state not in cls.states:
            cls.poll_message_set(cls.wanted)
            return False
        return True


class LYRA_OT_cancel(_OnJob, bpy.types.Operator):
    bl_idname = "lyra.cancel"
    bl_label = "Cancel"
    bl_description = "Stop the job; what is whole of the world is kept"
    states = {"queued", "running"}
    wanted = "No job is under way"

    def execute(self, context):
        requests.cancel(job_of(context.scene.lyra.world).id)
        return {"FINISHED"}


class LYRA_OT_resume(_OnJob, bpy.types.Operator):
    bl_idname = "lyra.resume"
    bl_label = "Resume"
    bl_description = "Go on with the job after the last whole piece of 80 frames"
    states = following.RESUMABLE
    wanted = "No job waits to be resumed"

    @classmethod
    def poll(cls, context):
        if not super().poll(context):
            return False
        if is_busy(context.scene.lyra.world):
            cls.poll_message_set("Wait until the engine has answered")
            return False
        return True

    def execute(self, context):
        empty = context.scene.lyra.world
        world_id, job_id = empty.lyra.world_id, job_of(empty).id
        session.current.ensure(lambda: requests.resume(world_id, job_id), world_id)
        return {"FINISHED"}


classes = (LYRA_OT_generate, LYRA_OT_cancel, LYRA_OT_resume)


def register() -> None:
    for cls in classes:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
