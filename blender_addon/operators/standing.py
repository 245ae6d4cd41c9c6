"""Level, Drop to Floor, Stand Here, Align to Selected Camera: how the chosen world stands in the scene."""

from __future__ import annotations

import bpy
import numpy as np

from ..camera import conversion
from ..scene import reference_image, sampled_path, standing, worlds
from .polls import needs_ready_world


class _Moves:
    """An operator that moves the chosen world with its camera paths, as one undo step."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        return needs_ready_world(cls, context)

    def execute(self, context):
        empty = context.scene.lyra.world
        try:
            standing.move(empty, self.motion(context, empty))
            if sampled_path.shown(context.scene):
                sampled_path.update(context)
        except conversion.CameraError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class LYRA_OT_level(_Moves, bpy.types.Operator):
    bl_idname = "lyra.level"
    bl_label = "Level"
    bl_description = "Turn the world upright about its first camera: gravity in its image points down"

    def motion(self, context, empty) -> np.ndarray:
        c2w = conversion.rigid(np.array(empty.matrix_world), empty.name)
        up = c2w[:3, :3] @ worlds.description(empty).up
        return _about(c2w[:3, 3], conversion.turn_between(up, np.array([0.0, 0.0, 1.0])))


class LYRA_OT_drop_to_floor(_Moves, bpy.types.Operator):
    bl_idname = "lyra.drop_to_floor"
    bl_label = "Drop to Floor"
    bl_description = "Move the world up or down until its floor is at Z = 0"

    def motion(self, context, empty) -> np.ndarray:
        return _moved(np.array([0.0, 0.0, -standing.floor(empty)]))


class LYRA_OT_stand_here(_Moves, bpy.types.Operator):
    bl_idname = "lyra.stand_here"
    bl_label = "Stand Here"
    bl_description = "Move the world so that the floor below its first camera is at the 3D cursor"

    def motion(self, context, empty) -> np.ndarray:
        stands = np.array([*empty.matrix_world.translation[:2], standing.floor(empty)])
        return _moved(np.array(context.scene.cursor.location) - stands)


class LYRA_OT_align_to_camera(_Moves, bpy.types.Operator):
    bl_idname = "lyra.align_to_camera"
    bl_label = "Align to Selected Camera"
    bl_description = "Move and turn the world so that its first camera is where the active camera is"

    @classmethod
    def poll(cls, context):
        if not needs_ready_world(cls, context):
            return False
        camera = context.active_object
        if camera is None or camera.type != "CAMERA" or not camera.select_get():
            cls.poll_message_set("Select the camera that the world's first camera shall stand at")
            return False
        if camera.parent == context.scene.lyra.world or camera.get(worlds.PATH):
            cls.poll_message_set("Select a camera of your own: this one moves along with the world")
            return False
        return True

    def motion(self, context, empty) -> np.ndarray:
        matrix = reference_image.first_camera(context, context.active_object)
        c2w = conversion.rigid(np.array(empty.matrix_world), empty.name)
        return conversion.opencv_from_blender(matrix) @ np.linalg.inv(c2w)


def _moved(offset: np.ndarray) -> np.ndarray:
    motion = np.eye(4)
    motion[:3, 3] = offset
    return motion


def _about(center: np.ndarray, turn: np.ndarray) -> np.ndarray:
    return _moved(center) @ turn @ _moved(-center)
