"""The panels of the sidebar tab Lyra, in the order of the work."""

from __future__ import annotations

import bpy

from ..camera import trajectory
from ..camera.presets import PRESETS
from ..importers.splats import NATIVE
from ..jobs import following
from ..scene import sampled_path, worlds
from ..service import installer, preferences, session
from ..service.contract import ACTIVE_STATES, RESUMABLE_STATES
from ..service.session import Phase
from ..service.wording import byte_size, stage, time_left
from ..viewport.splats import drawn_count
from . import engines, thumbnails
from .text import say


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Lyra"


class LYRA_PT_image(_Panel, bpy.types.Panel):
    bl_label = "Image & World"

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        if session.current.message:
            box = layout.box()
            box.alert = True
            say(box, session.current.message, "ERROR")
        if session.current.waits_for:
            say(layout, session.current.waits_for, "TIME")
        if any(worlds.all_worlds()):
            layout.prop(settings, "world")
        layout.prop(settings, "image")
        layout.prop(settings, "name", placeholder="Name of the Image")
        engines.draw(layout, settings)
        row = layout.row()
        row.scale_y = 1.3
        row.operator("lyra.start_world", icon="WORLD")
        row.operator("lyra.open_world", icon="FILE_FOLDER")


class LYRA_PT_image_options(_Panel, bpy.types.Panel):
    bl_label = "Options"
    bl_parent_id = "LYRA_PT_image"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "seed")
        layout.prop(settings, "size")
        if settings.size == "CUSTOM":
            column = layout.column(align=True)
            column.prop(settings, "width")
            column.prop(settings, "height")
        layout.operator("lyra.depth_from_scene", icon="VIEW_CAMERA")
        layout.prop(settings, "depth_file")
        if settings.depth_file:
            if not settings.depth_origin:
                layout.prop(settings, "depth_values")
            if not settings.depth_is_inverse:
                layout.prop(settings, "depth_blend")
            if settings.depth_blend and settings.depth_known:
                layout.label(text=f"The scene covers {settings.depth_known:.0%} of the image", icon="INFO")
        column = layout.column()
        column.active = settings.estimates_depth
        column.prop(settings, "depth")
        if settings.chooses_depth_scene:
            column.prop(settings, "depth_scene")
        column.prop(settings, "allow_download")
        layout.prop(settings, "use_camera_lens")
        layout.prop(settings, "match_render_size")


class LYRA_PT_path(_Panel, bpy.types.Panel):
    bl_label = "Camera Path"

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "chunks")
        grid = layout.grid_flow(columns=2, even_columns=True, align=True)
        for key, preset in PRESETS.items():
            grid.operator("lyra.add_path", text=preset.label).preset = key
        layout.prop(settings, "camera")
        layout.prop(settings, "range")
        if settings.range == "PATH":
            column = layout.column(align=True)
            column.prop(settings, "first_frame", text="First")
            column.prop(settings, "last_frame", text="Last")
        row = layout.row(align=True)
        row.prop(settings, "show_path")
        update = row.row()
        outdated = sampled_path.shown(context.scene) and not sampled_path.is_current(context.scene)
        update.alert = bool(outdated)
        update.operator("lyra.update_path", text="", icon="FILE_REFRESH")


class LYRA_PT_generate(_Panel, bpy.types.Panel):
    bl_label = "Generate"

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "prompt")
        column = layout.column(heading="Make")
        column.prop(settings, "reconstruct")
        sub = column.column()
        sub.active = settings.reconstruct
        sub.prop(settings, "mesh")
        layout.prop(settings, "pose_scale")
        row = layout.row()
        row.scale_y = 1.3
        frames = trajectory.frame_count(settings.chunks)
        row.operator("lyra.generate", text=f"Generate {frames} Frames", icon="RENDER_ANIMATION")


class LYRA_PT_job(_Panel, bpy.types.Panel):
    bl_label = "Job"

    @classmethod
    def poll(cls, context):
        empty = context.scene.lyra.world
        return following.job_of(empty) is not None or following.is_busy(empty)

    def draw(self, context):
        layout, empty = self.layout, context.scene.lyra.world
        job = following.job_of(empty)
        if job is None or job.state not in ACTIVE_STATES:
            if session.current.is_asking(empty.lyra.world_id):
                # The job before is old news from the click on.
                layout.label(text="Asking the Service", icon="TIME")
                return
            if job.state == "done" and following.is_loading(empty):
                layout.label(text="Loading Results", icon="TIME")
                return
        if job.state in ACTIVE_STATES:
            layout.label(text=stage(job))
            text = " - ".join(filter(None, (f"{job.progress:.0%}", time_left(job.eta_seconds))))
            layout.progress(factor=job.progress, text=text)
            # A message that only repeats the stage says nothing new.
            if job.message and not job.message.startswith(job.stage or " "):
                say(layout, job.message)
            if icon := thumbnails.icon(following.preview_file(job.id)):
                layout.template_icon(icon_value=icon, scale=8.0)
            layout.operator("lyra.cancel", icon="CANCEL")
            return
        layout.label(text=stage(job), icon="CHECKMARK" if job.state == "done" else "INFO")
        for note in job.notes:
            say(layout, note, "DOT")
        if job.error:
            say(layout, job.error, "ERROR")
        if job.state in RESUMABLE_STATES:
            layout.operator("lyra.resume", icon="PLAY")


class LYRA_PT_world(_Panel, bpy.types.Panel):
    bl_label = "World"

    @classmethod
    def poll(cls, context):
        return context.scene.lyra.world is not None

    def draw(self, context):
        layout, settings = self.layout, context.scene.lyra
        layout.use_property_split = True
        layout.use_property_decorate = False
        world = worlds.description(settings.world)
        column = layout.column(align=True)
        frames = f"{world.frames} frame{'' if world.frames == 1 else 's'}"
        column.label(text=f"{world.width} x {world.height}, {frames}, {world.engine}")
        if results := world.results:
            column.label(text=f"{results.splats:,} splats, {results.faces:,} faces")
            drawn = results.splats if NATIVE else drawn_count(results.splats, preferences.get().splat_limit)
            if drawn < results.splats:
                column.label(text=f"{drawn:,} of {results.splats:,} drawn", icon="INFO")
        row = layout.row()
        row.use_property_split = False
        row.prop(settings, "show", expand=True)
        if world.chunks and not world.results and not following.is_busy(settings.world):
            say(layout, "There are no splats of these chunks. Click Reconstruct to make them.", "INFO")
        for note in world.notes:
            say(layout, note, "INFO")
        if world.license:
            say(layout, world.license, "COPY_ID")
        grid = layout.grid_flow(columns=2, even_columns=True, align=True)
        for operator in ("lyra.level", "lyra.drop_to_floor", "lyra.stand_here", "lyra.align_to_camera"):
            grid.operator(operator)
        layout.operator("lyra.pick_scale", icon="DRIVER_DISTANCE")
        row = layout.row(align=True)
        row.operator("lyra.reload", icon="FILE_REFRESH")
        row.operator("lyra.open_folder", text="", icon="FILE_FOLDER")
        if world.chunks:
            layout.operator("lyra.reconstruct", icon="POINTCLOUD_DATA")
            layout.operator("lyra.revert", icon="LOOP_BACK")
        if context.scene.view_settings.view_transform != "Standard":
            layout.operator("lyra.standard_view", icon="COLOR")
        row = layout.row(align=True)
        row.operator("lyra.remove_world", text="Remove")
        row.operator("lyra.delete_world", text="Delete", icon="TRASH")


class LYRA_PT_chunks(_Panel, bpy.types.Panel):
    bl_label = "Chunks"
    bl_parent_id = "LYRA_PT_world"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context):
        return bool(worlds.description(context.scene.lyra.world).chunks)

    def draw(self, context):
        column = self.layout.column(align=True)
        world = worlds.description(context.scene.lyra.world)
        for chunk in world.chunks:
            last = trajectory.CHUNK_FRAMES * chunk.index
            text = f"{chunk.index}: to frame {last}, {chunk.seconds:.0f} s"
            column.label(text=f"{text}, {chunk.prompt}" if chunk.prompt else text)
        for file in world.files:
            if file.path.startswith("results/") or file.path == "walkthrough.mp4":
                column.label(text=f"{file.path}, {byte_size(file.size)}", icon="FILE")


class LYRA_PT_service(_Panel, bpy.types.Panel):
    bl_label = "Service"

    def draw(self, context):
        layout, current = self.layout, session.current
        layout.use_property_split = True
        layout.use_property_decorate = False
        chosen = preferences.get()
        if current.phase is Phase.READY:
            health = current.health
            layout.label(text=f"Ready, version {health.version}", icon="CHECKMARK")
            text = "Run by the extension" if current.started_here else "Run by you"
            layout.label(text=f"{text}, device {health.device or 'not known yet'}")
            row = layout.row(align=True)
            row.operator("lyra.stop_service")
            row.operator("lyra.disconnect")
            row.operator("lyra.open_log", text="", icon="TEXT")
            return
        if current.installation and current.installation.active:
            _draw_installation(layout, current.installation)
            return
        layout.prop(chosen, "source")
        if chosen.source == "INSTALLED":
            _draw_installed(layout, current)
        elif chosen.source == "PYTHON":
            layout.prop(chosen, "service_python")
        else:
            layout.prop(chosen, "address")
            layout.prop(chosen, "token")
        if current.phase is not Phase.OFF:
            row = layout.row()
            row.label(text=f"{current.phase.value} the Service", icon="TIME")
            row.operator("lyra.disconnect", text="Cancel")
            return
        row = layout.row(align=True)
        row.operator("lyra.start_service", text="Connect" if chosen.source == "ADDRESS" else "Start Service")
        row.operator("lyra.open_log", text="", icon="TEXT")


def _draw_installed(layout, current) -> None:
    installed = installer.installed(preferences.environment())
    wheel = preferences.bundled_wheel()
    if current.installation and current.installation.error:
        say(layout, current.installation.error, "ERROR")
    if wheel is not None:
        layout.prop(preferences.get(), "packages")
    if wheel is None:
        say(
            layout,
            "This extension came without the service. Install the full zip, or connect to one.",
            "INFO",
        )
    elif installed is None:
        say(layout, "The service is not installed yet. It goes into an environment of its own.", "INFO")
        layout.operator("lyra.install_service", icon="IMPORT")
    elif installed.version != installer.wheel_version(wheel):
        say(
            layout,
            f"Service {installed.version} is installed; this extension brings {installer.wheel_version(wheel)}.",
            "INFO",
        )
        layout.operator("lyra.install_service", text="Update Service", icon="IMPORT")
    elif installed.extra != preferences.wanted_extra():
        layout.label(text=f"Service {installed.version} has other packages", icon="INFO")
        layout.operator("lyra.install_service", text="Change Packages", icon="IMPORT")
    else:
        layout.label(text=f"Service {installed.version} is installed", icon="CHECKMARK")
        if installed.remark:
            say(layout, installed.remark, "INFO")


def _draw_installation(layout, installation) -> None:
    layout.label(text=installation.label)
    layout.progress(factor=installation.progress, text=f"{installation.progress:.0%}")
    if installation.remark:
        say(layout, installation.remark, "INFO")
    say(layout, installation.line[:120])
    layout.operator("lyra.cancel_install", text="Cancel", icon="CANCEL")
