"""Camera Path: adds a curve and a camera that follows it, and samples the path that is shown."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty
from mathutils import Matrix, Quaternion

from ..camera import conversion, trajectory
from ..camera.presets import PRESETS, PathShape, PathStart
from ..scene import sampled_path, worlds
from ..scene.scaling import see_far
from .polls import needs_camera, needs_ready_world

# A camera that leans less than this to a side keeps the horizon level while it tracks.
LEVEL = 1e-4


class LYRA_OT_add_path(bpy.types.Operator):
    bl_idname = "lyra.add_path"
    bl_label = "Add Camera Path"
    bl_description = "Add a curve and a camera that follows it, from the newest frame of the world"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        name="Path",
        items=[(key, preset.label, preset.description) for key, preset in PRESETS.items()],
        default="PUSH_IN",
    )
    use_amount: BoolProperty(name="Own Amount", description="Change how far the path goes", default=False)
    amount: FloatProperty(
        name="Amount",
        description="Length of the path relative to the depth of the view; for arcs and turns the angle in radians",
        default=0.25,
        min=0.001,
        soft_max=1.5,
        max=20.0,
    )
    set_scene_range: BoolProperty(
        name="Set Scene Range", description="Set the scene's frame range to the path's", default=False
    )

    @classmethod
    def description(cls, context, properties):
        return f"Add a camera path from the world's newest frame. {PRESETS[properties.preset].description}"

    @classmethod
    def poll(cls, context):
        return needs_ready_world(cls, context)

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "preset")
        row = layout.row(heading="Own Amount")
        row.prop(self, "use_amount", text="")
        sub = row.row()
        sub.active = self.use_amount
        sub.prop(self, "amount", text="")
        layout.prop(self, "set_scene_range")

    def execute(self, context):
        scene, settings = context.scene, context.scene.lyra
        empty = settings.world
        preset = PRESETS[self.preset]
        try:
            matrix = newest_camera(empty)
            scale = conversion.uniform_scale(np.array(empty.matrix_world), empty.name)
        except conversion.CameraError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        start = PathStart.of_camera(matrix, empty.lyra.depth * scale)
        shape = preset.make(start, self.amount if self.use_amount else preset.amount)
        first, last = _frames(scene, empty, settings.chunks)
        camera = _build(empty, f"{empty.name} {preset.label}", shape, matrix, start, first, last)
        _copy_lens(worlds.part(empty, worlds.FIRST_CAMERA), camera, start.depth)
        see_far(camera.data, start.depth, empty.lyra.reach * scale)
        settings.camera = camera
        worlds.take_camera(scene, camera)
        settings.range, settings.first_frame, settings.last_frame = "PATH", first, last
        if self.set_scene_range:
            scene.frame_start, scene.frame_end = first, last
        sampled_path.update(context)
        return {"FINISHED"}


class LYRA_OT_update_path(bpy.types.Operator):
    bl_idname = "lyra.update_path"
    bl_label = "Update Path"
    bl_description = "Show the path as it would be sent now: steps through its frames once, and back"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        return needs_ready_world(cls, context) and needs_camera(cls, context)

    def execute(self, context):
        try:
            sampled_path.update(context)
        except conversion.CameraError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


def newest_camera(empty: bpy.types.Object) -> np.ndarray:
    """The rigid Blender matrix (4, 4) of the camera of a world's newest frame, as the world stands now."""
    last_w2c = np.array(worlds.description(empty).last_w2c)
    c2w = np.array(empty.matrix_world) @ np.linalg.inv(last_w2c)
    return conversion.blender_from_opencv(conversion.rigid(c2w, empty.name))


def _frames(scene, empty, chunks: int) -> tuple[int, int]:
    """The scene frames of a path of so many chunks that goes on where the world ends."""
    frames = worlds.description(empty).frames
    first = empty.lyra.first_frame + frames - 1 if frames > 1 else scene.frame_start
    return first, first + trajectory.CHUNK_FRAMES * chunks


def _build(
    empty: bpy.types.Object, name: str, shape: PathShape, matrix, start: PathStart, first: int, last: int
) -> bpy.types.Object:
    curve = _curve(f"{name} Path", shape.points)
    camera = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    for obj in (curve, camera):
        worlds.add_to_path(empty, obj)
    rotation = Matrix(matrix.tolist()).to_quaternion()
    follow = camera.constraints.new("FOLLOW_PATH")
    follow.target = curve
    follow.use_fixed_location = True
    follow.use_curve_follow = False
    for value, frame in ((0.0, first), (1.0, last)):
        follow.offset_factor = value
        follow.keyframe_insert("offset_factor", frame=frame)
    _make_linear(camera, "offset_factor")
    if shape.turns:
        camera.rotation_mode = "QUATERNION"
        for moment, yaw in shape.turns:
            camera.rotation_quaternion = Quaternion((0, 0, 1), yaw) @ rotation
            camera.keyframe_insert("rotation_quaternion", frame=first + moment * (last - first))
    else:
        camera.rotation_euler = rotation.to_euler()
    if shape.tracking:
        _track(empty, camera, f"{name} Target", start)
    return camera


def _curve(name: str, points: np.ndarray) -> bpy.types.Object:
    data = bpy.data.curves.new(name, "CURVE")
    data.dimensions = "3D"
    data.resolution_u = 24
    data.use_path = True
    spline = data.splines.new("BEZIER")
    spline.bezier_points.add(len(points) - 1)
    for knot, point in zip(spline.bezier_points, points - points[0], strict=True):
        knot.co = point
        knot.handle_left_type = knot.handle_right_type = "AUTO"
    obj = bpy.data.objects.new(name, data)
    obj.location = points[0]
    return obj


def _track(empty: bpy.types.Object, camera: bpy.types.Object, name: str, start: PathStart) -> None:
    """Keeps the camera on an empty. Track To holds the horizon level; a camera that leans would jump upright with it
    at its first frame, so that one gets a Damped Track, which turns it no further than it must."""
    target = bpy.data.objects.new(name, None)
    target.empty_display_type = "SPHERE"
    target.empty_display_size = 0.05 * start.depth
    target.location = start.target
    worlds.add_to_path(empty, target)
    if abs(start.right[2]) < LEVEL and start.up[2] > LEVEL:
        track = camera.constraints.new("TRACK_TO")
        track.up_axis = "UP_Y"
    else:
        track = camera.constraints.new("DAMPED_TRACK")
    track.track_axis = "TRACK_NEGATIVE_Z"
    track.target = target


def _make_linear(obj: bpy.types.Object, channel: str) -> None:
    for layer in obj.animation_data.action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                for curve in bag.fcurves:
                    if curve.data_path.endswith(channel):
                        for key in curve.keyframe_points:
                            key.interpolation = "LINEAR"


def _copy_lens(source: bpy.types.Object, camera: bpy.types.Object, depth: float) -> None:
    for setting in ("sensor_fit", "sensor_width", "sensor_height", "lens", "shift_x", "shift_y"):
        setattr(camera.data, setting, getattr(source.data, setting))
    camera.data.display_size = 0.1 * depth
