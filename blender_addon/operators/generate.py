"""Generate, Cancel, Resume: sends the sampled camera path, and controls the job."""

from __future__ import annotations

import bpy
import numpy as np

from ..camera import trajectory
from ..jobs import following, requests
from ..scene import captions, sampled_path, worlds
from ..service import engines, session
from ..service.bodies import EngineOptions, ExtendSettings, TrajectoryBody
from ..service.contract import RESUMABLE_STATES
from .polls import needs_camera, needs_idle_world, needs_ready_world


class LYRA_OT_generate(bpy.types.Operator):
    bl_idname = "lyra.generate"
    bl_label = "Generate"
    bl_description = "Generate frames along the camera's path, from the newest frame on"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return (
            needs_ready_world(cls, context) and needs_idle_world(cls, context) and needs_camera(cls, context)
        )

    def execute(self, context):
        settings = context.scene.lyra
        empty = settings.world
        try:
            asked = extend_settings(context, empty)
        except ValueError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        world, first_frame = worlds.description(empty), round(sampled_path.path_range(context.scene)[0])
        session.current.ensure(lambda: requests.extend(world, asked, first_frame), world.id)
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        self.report(
            {"INFO"}, f"{trajectory.frame_count(settings.chunks)} cameras are being sent to the service"
        )
        return {"FINISHED"}


def extend_settings(context, empty: bpy.types.Object) -> ExtendSettings:
    """What Generate sends. Raises ValueError for a camera or a setting of no use."""
    settings, world = context.scene.lyra, worlds.description(empty)
    options = _engine_options(settings, world.engine)
    texts = captions.captions(
        ((entry.chunk, entry.text) for entry in empty.lyra.prompts),
        settings.prompt,
        len(world.chunks) + settings.chunks,
    )
    sampled = sampled_path.update(context)
    return ExtendSettings(
        trajectory=TrajectoryBody(
            w2c=sampled.w2c(np.array(empty.matrix_world), empty.name).tolist(),
            intrinsics=sampled.intrinsics.tolist(),
            image_height=sampled.height,
            image_width=sampled.width,
        ),
        pose_scale=settings.pose_scale,
        reconstruct=settings.reconstruct,
        mesh=settings.reconstruct and settings.mesh,
        prompt=None if texts else settings.prompt,
        captions=texts or None,
        seed=settings.new_seed if settings.use_new_seed else None,
        options=options if options.to_json() else None,
    )


def _engine_options(settings, engine_id: str) -> EngineOptions:
    """What the artist has set of the engine. Raises ValueError for a number outside the engine's limits."""
    own = {name: getattr(settings, name) for name, _ in engines.SETTINGS if getattr(settings, f"use_{name}")}
    chooses_memory = settings.memory_mode != "AUTO" and engines.has_weights(engine_id)
    return EngineOptions(
        **engines.checked_settings(engine_id, own),
        memory_mode=settings.memory_mode.lower() if chooses_memory else None,
    )


class _OnJob:
    """An operator on the newest job of the chosen world."""

    bl_options = {"REGISTER"}
    states: set[str] = set()
    wanted = ""

    @classmethod
    def poll(cls, context):
        job = following.job_of(context.scene.lyra.world)
        if job is None or job.state not in cls.states:
            cls.poll_message_set(cls.wanted)
            return False
        return True


class LYRA_OT_cancel(_OnJob, bpy.types.Operator):
    bl_idname = "lyra.cancel"
    bl_label = "Cancel"
    bl_description = "Stop the job; complete chunks are kept"
    states = {"queued", "running"}
    wanted = "No job is under way"

    def execute(self, context):
        requests.cancel(following.job_of(context.scene.lyra.world).id)
        return {"FINISHED"}


class LYRA_OT_resume(_OnJob, bpy.types.Operator):
    bl_idname = "lyra.resume"
    bl_label = "Resume"
    bl_description = "Continue the job after the last complete chunk"
    states = RESUMABLE_STATES
    wanted = "There is no job to resume"

    @classmethod
    def poll(cls, context):
        if not super().poll(context):
            return False
        if following.is_busy(context.scene.lyra.world):
            cls.poll_message_set("Wait until the service has answered")
            return False
        return True

    def execute(self, context):
        empty = context.scene.lyra.world
        world_id, job_id = empty.lyra.world_id, following.job_of(empty).id
        session.current.ensure(lambda: requests.resume(world_id, job_id), world_id)
        return {"FINISHED"}
