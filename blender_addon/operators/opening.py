"""Open World: the choice of a world from the service's list."""

from __future__ import annotations

from collections import Counter

import bpy
from bpy.props import EnumProperty

from ..jobs import opening
from ..scene import reference_image, standing
from ..service import session
from ..service.resources import World

# Blender does not keep the texts of an enumeration that a function makes; somebody has to.
_items: list[tuple[str, str, str]] = []


def _choices(_operator, _context) -> list[tuple[str, str, str]]:
    names = Counter(world.name for world in opening.listed)
    _items[:] = [
        (
            world.id,
            f"{_name(world, names)}, {world.frames:,} frame{'' if world.frames == 1 else 's'}",
            f"{world.width} x {world.height}, {world.engine}, made on {world.created[:10]}",
        )
        for world in opening.listed
    ]
    return _items


def _name(world: World, names: Counter[str]) -> str:
    # Two of one name that were made on one day differ in nothing but the end of their ids.
    return world.name if names[world.name] == 1 else f"{world.name} ({world.id[-8:]})"


class LYRA_OT_open_world(bpy.types.Operator):
    bl_idname = "lyra.open_world"
    bl_label = "Open World"
    bl_description = "Bring a world that the service keeps into this file, at the 3D cursor"
    bl_options = {"REGISTER"}

    def execute(self, context):
        window = context.window.as_pointer() if context.window else None

        def show() -> None:
            for candidate in context.window_manager.windows:
                if candidate.as_pointer() == window:
                    with bpy.context.temp_override(window=candidate):
                        bpy.ops.lyra.choose_world("INVOKE_DEFAULT")

        session.current.ensure(lambda: opening.ask(show))
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        return {"FINISHED"}


class LYRA_OT_choose_world(bpy.types.Operator):
    bl_idname = "lyra.choose_world"
    bl_label = "Choose World"
    bl_description = "Bring this world into the file, or choose it there"
    bl_options = {"REGISTER", "INTERNAL"}
    bl_property = "world"

    world: EnumProperty(name="World", items=_choices, options={"SKIP_SAVE"})

    def invoke(self, context, event):
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        scene, world_id = context.scene, self.world
        # As Start World stands in a scene without a camera, but from the cursor on.
        first_camera = reference_image.first_camera(context, None)
        first_camera[:3, 3] += scene.cursor.location
        first_camera = standing.beside(scene, first_camera, but=world_id)
        name = scene.name
        session.current.ensure(lambda: opening.open_world(world_id, name, first_camera))
        self.report({"INFO"}, "The world is being loaded")
        return {"FINISHED"}
