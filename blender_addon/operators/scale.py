"""Set Scale: the scale of the chosen world from the true length between two of its points."""

from __future__ import annotations

import bpy
import gpu
import numpy as np
from bpy.props import EnumProperty, FloatProperty, FloatVectorProperty, StringProperty
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from ..camera import conversion
from ..jobs import changes
from ..scene import scaling, worlds
from ..service import session
from .polls import needs_idle_world, needs_ready_world

MARK = (1.0, 0.6, 0.1, 1.0)
MARK_SIZE = 9.0
SMALLEST = 1e-6


def _can_scale(cls, context) -> bool:
    return needs_ready_world(cls, context) and needs_idle_world(cls, context)


class LYRA_OT_pick_scale(bpy.types.Operator):
    bl_idname = "lyra.pick_scale"
    bl_label = "Set Scale"
    bl_description = "Click two points of the world, then give the true length between them"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return _can_scale(cls, context)

    def invoke(self, context, event):
        # The button lies in the sidebar; the clicks fall into the viewport beside it.
        self._region = next(
            (region for region in context.area.regions if region.type == "WINDOW"), context.region
        )
        self._view = context.space_data.region_3d
        self._points = scaling.points_in_scene(context.scene.lyra.world)
        self._picked: list[np.ndarray] = []
        self._handler = bpy.types.SpaceView3D.draw_handler_add(self._draw, (), "WINDOW", "POST_PIXEL")
        self._say(context)
        context.window.cursor_modal_set("CROSSHAIR")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        context.area.tag_redraw()
        if event.type in {"ESC", "RIGHTMOUSE"}:
            self._end(context)
            return {"CANCELLED"}
        mouse = event.mouse_x - self._region.x, event.mouse_y - self._region.y
        inside = 0 <= mouse[0] < self._region.width and 0 <= mouse[1] < self._region.height
        if event.type != "LEFTMOUSE" or event.value != "PRESS" or not inside:
            return {"PASS_THROUGH"}
        point = scaling.under_mouse(
            self._points,
            np.array(self._view.view_matrix),
            np.array(self._view.window_matrix),
            self._region.width,
            self._region.height,
            mouse,
        )
        if point is None:
            self.report({"WARNING"}, "The world has no point there; click on one of its surfaces")
            return {"RUNNING_MODAL"}
        self._picked.append(point)
        self._say(context)
        if len(self._picked) < 2:
            return {"RUNNING_MODAL"}
        self._end(context)
        bpy.ops.lyra.set_scale("INVOKE_DEFAULT", point_a=self._picked[0], point_b=self._picked[1])
        return {"FINISHED"}

    def cancel(self, context):
        self._end(context)

    def _say(self, context):
        which = ("first", "second")[min(len(self._picked), 1)]
        context.workspace.status_text_set(f"Click the {which} point of a known length    Esc: cancel")

    def _end(self, context):
        bpy.types.SpaceView3D.draw_handler_remove(self._handler, "WINDOW")
        context.workspace.status_text_set(None)
        context.window.cursor_modal_restore()
        context.area.tag_redraw()

    def _draw(self):
        if not self._picked or bpy.context.region != self._region:
            return
        clip = [self._view.perspective_matrix @ Vector((*point, 1.0)) for point in self._picked]
        size = Vector((self._region.width, self._region.height)) / 2
        seen = [(v.xy / v.w + Vector((1, 1))) * size for v in clip if v.w > 0]
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        shader.uniform_float("color", MARK)
        gpu.state.point_size_set(MARK_SIZE)
        batch_for_shader(shader, "POINTS", {"pos": [(x, y, 0.0) for x, y in seen]}).draw(shader)
        gpu.state.point_size_set(1.0)


class LYRA_OT_set_scale(bpy.types.Operator):
    bl_idname = "lyra.set_scale"
    bl_label = "Set Scale"
    bl_description = "Scale the world about its first camera until two points of it are a true length apart"
    bl_options = {"REGISTER", "UNDO"}

    point_a: FloatVectorProperty(name="First Point", subtype="XYZ", options={"HIDDEN", "SKIP_SAVE"})
    point_b: FloatVectorProperty(name="Second Point", subtype="XYZ", options={"HIDDEN", "SKIP_SAVE"})
    by: EnumProperty(
        name="True Length",
        items=[
            ("LENGTH", "Length", "Give the length between the two points"),
            ("HEIGHT", "Object's Height", "Make the two points as far apart as an object is high"),
        ],
    )
    length: FloatProperty(
        name="Length", description="The true length between the points", unit="LENGTH", default=1.0, min=0.0
    )
    object: StringProperty(
        name="Object", description="The object whose height is that between the points", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context):
        return _can_scale(cls, context)

    def invoke(self, context, event):
        self.length = self._measured()
        active = context.active_object
        if active is not None and worlds.ROLE not in active and active.type == "MESH":
            self.object = active.name
        return context.window_manager.invoke_props_dialog(self, confirm_text="Set Scale")

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "by")
        if self.by == "LENGTH":
            layout.prop(self, "length")
        else:
            layout.prop_search(self, "object", context.scene, "objects")

    def execute(self, context):
        empty = context.scene.lyra.world
        measured = self._measured()
        if measured < SMALLEST:
            self.report({"ERROR"}, "The two points are the same; pick two different ones")
            return {"CANCELLED"}
        true = self.length
        if self.by == "HEIGHT":
            obj = context.scene.objects.get(self.object)
            if obj is None:
                self.report({"ERROR"}, f"There is no object '{self.object}' in the scene; choose another")
                return {"CANCELLED"}
            true = scaling.object_height(obj)
        if true < SMALLEST:
            self.report({"ERROR"}, f"A length of {true:g} is not valid; give one above 0")
            return {"CANCELLED"}
        try:
            scale = scaling.apply(empty, true / measured)
        except conversion.CameraError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        _send_scale(empty.lyra.world_id, scale)
        self.report({"INFO"}, f"The world is {true / measured:.3g} times as large as before")
        return {"FINISHED"}

    def _measured(self) -> float:
        return (Vector(self.point_a) - Vector(self.point_b)).length


# The scale of each world as the service was last told.
_sent_scales: dict[str, float] = {}


def _send_scale(world_id: str, scale: float) -> None:
    _sent_scales[world_id] = scale
    session.current.ensure(lambda: changes.set_scale(world_id, scale))


@bpy.app.handlers.persistent
def after_undo(_scene) -> None:
    """Undo and redo change the scale in the file; the service is told as well."""
    for world_id, told in list(_sent_scales.items()):
        empty = worlds.find(world_id)
        scale = worlds.description(empty).scale if empty else None
        if scale and scale != told:
            _send_scale(world_id, scale)
