"""Results of the chosen world: reload, reconstruct, revert, delete, remove."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import IntProperty

from ..jobs import changes, requests
from ..scene import worlds
from ..service import session
from ..service.contract import MAX_CHUNKS
from ..service.resources import World
from ..service.wording import byte_size
from .polls import needs_idle_world


class _OnWorld:
    """An operator on the chosen world while none of its jobs runs."""

    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return needs_idle_world(cls, context)


class LYRA_OT_reload(_OnWorld, bpy.types.Operator):
    bl_idname = "lyra.reload"
    bl_label = "Reload Results"
    bl_description = "Load the world's newest splats, mesh and walkthrough from the service again"

    def execute(self, context):
        world_id = context.scene.lyra.world.lyra.world_id
        session.current.ensure(lambda: requests.reload(world_id))
        return {"FINISHED"}


class LYRA_OT_reconstruct(_OnWorld, bpy.types.Operator):
    bl_idname = "lyra.reconstruct"
    bl_label = "Reconstruct"
    bl_description = "Make new splats and a new mesh from the world's frames"

    def execute(self, context):
        settings = context.scene.lyra
        world_id, mesh = settings.world.lyra.world_id, settings.mesh
        session.current.ensure(lambda: requests.reconstruct(world_id, mesh), world_id)
        return {"FINISHED"}


class LYRA_OT_revert(_OnWorld, bpy.types.Operator):
    bl_idname = "lyra.revert"
    bl_label = "Revert"
    bl_description = (
        "Take the newest chunks of 80 frames off the world; Blender's undo does not bring them back"
    )

    # A script that does not say how many are kept loses none.
    keep: IntProperty(
        name="Keep",
        description="How many chunks of 80 frames are kept",
        default=100,
        min=0,
        max=MAX_CHUNKS,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context, event):
        self.keep = max(0, _chunk_count(context) - 1)
        return context.window_manager.invoke_props_dialog(
            self, title="Revert", confirm_text="Revert", cancel_default=True
        )

    def draw(self, context):
        self.layout.prop(self, "keep")
        first, last = self.keep + 1, _chunk_count(context)
        if first > last:
            self.layout.label(text=f"Nothing is left out; the world has {_counted(last)}")
            return
        going, them = f"Chunks {first} to {last} of {last} leave", "them"
        if first == last:
            going, them = f"Chunk {last} of {last} leaves", "it"
        self.layout.label(text=f"{going} the world. Undo does not bring {them} back,", icon="INFO")
        self.layout.label(text="the command lyra switch does.", icon="BLANK1")

    def execute(self, context):
        there = _chunk_count(context)
        if self.keep >= there:
            self.report({"ERROR"}, f"The world has {_counted(there)}; keep fewer than that, not {self.keep}.")
            return {"CANCELLED"}
        world, keep = worlds.description(context.scene.lyra.world), self.keep
        world_id = world.id
        session.current.ensure(
            lambda: requests.if_as_known(world, lambda: changes.revert(world_id, keep)), world_id
        )
        return {"FINISHED"}


def _chunk_count(context) -> int:
    """How many chunks of 80 frames the chosen world has."""
    return len(worlds.description(context.scene.lyra.world).chunks)


def _counted(chunks: int) -> str:
    return f"{chunks} chunk{'' if chunks == 1 else 's'}"


def deletion(world: World) -> str:
    """The question before a world is deleted: its name, and how much goes."""
    size = sum(file.size for file in world.files)
    return f"Delete world '{world.name}' with its {_counted(len(world.chunks))}, {byte_size(size)}?"


class LYRA_OT_delete_world(_OnWorld, bpy.types.Operator):
    bl_idname = "lyra.delete_world"
    bl_label = "Delete World"
    bl_description = "Delete the world with all its files from the service's folder, and from this file"

    def invoke(self, context, event):
        world = worlds.description(context.scene.lyra.world)
        return context.window_manager.invoke_confirm(
            self,
            event,
            title=deletion(world),
            message="Undo does not bring it back.",
            confirm_text="Delete",
            icon="WARNING",
        )

    def execute(self, context):
        world_id = context.scene.lyra.world.lyra.world_id
        copies = len(list(worlds.all_worlds(world_id)))
        if copies > 1:
            # The service has one world for all of them.
            self.report({"ERROR"}, f"There are {copies} of this world in the file; use Remove")
            return {"CANCELLED"}
        session.current.ensure(lambda: changes.delete(world_id), world_id)
        return {"FINISHED"}


class LYRA_OT_remove_world(_OnWorld, bpy.types.Operator):
    bl_idname = "lyra.remove_world"
    bl_label = "Remove from Scene"
    bl_description = "Take the world out of this file; the service keeps its folder"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        worlds.delete(context.scene.lyra.world)
        return {"FINISHED"}


class LYRA_OT_open_folder(bpy.types.Operator):
    bl_idname = "lyra.open_folder"
    bl_label = "Open World Folder"
    bl_description = "Open the folder of the world in the file browser"

    @classmethod
    def poll(cls, context):
        empty = context.scene.lyra.world
        if empty is None or not Path(worlds.description(empty).folder or "/nowhere").is_dir():
            cls.poll_message_set("The world's folder is not on this machine")
            return False
        return True

    def execute(self, context):
        bpy.ops.wm.path_open(filepath=worlds.description(context.scene.lyra.world).folder)
        return {"FINISHED"}


class LYRA_OT_standard_view(bpy.types.Operator):
    bl_idname = "lyra.standard_view"
    bl_label = "Show True Colors"
    bl_description = (
        "Set the scene's view transform to Standard, so that renders look like the world's frames"
    )
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        view = context.scene.view_settings
        view.view_transform, view.look = "Standard", "None"
        view.exposure, view.gamma = 0.0, 1.0
        return {"FINISHED"}
