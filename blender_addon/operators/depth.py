"""Depth from Scene: rasterizes the scene's geometry as the depth of the reference image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np

from ..camera import conversion, depth_raster
from ..jobs import tasks
from ..scene import blockout, depth_file, worlds
from ..scene.reference_image import camera_lens, existing_file, first_camera, frame_size
from ..service import pictures, preferences, session

# What the session knows the question for the size of the image by.
MEASURING = "the size of an image"


class LYRA_OT_depth_from_scene(bpy.types.Operator):
    bl_idname = "lyra.depth_from_scene"
    bl_label = "Depth from Scene"
    bl_description = (
        "Take the depth of what stands before the scene's camera for the picture; where nothing stands, it is "
        "estimated and joined on"
    )
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        if not context.scene.lyra.image:
            cls.poll_message_set("Choose an image first")
            return False
        if context.scene.camera is None:
            cls.poll_message_set("Add a camera to the scene, and place it at the image's viewpoint")
            return False
        if session.current.is_asking(MEASURING):
            cls.poll_message_set("Wait until the service has measured the image")
            return False
        return True

    def execute(self, context):
        scene, camera = context.scene, context.scene.camera
        try:
            image = existing_file(scene.lyra.image)
            lens = camera_lens(camera)
            c2w = conversion.opencv_from_blender(first_camera(context, camera))
        except (OSError, conversion.CameraError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        surfaces = blockout.surfaces(context, c2w)
        if not surfaces:
            self.report({"ERROR"}, "There is no visible surface in the scene. Add boxes and planes first.")
            return {"CANCELLED"}
        name, path, near, size_for = (
            scene.name,
            scene.lyra.image,
            camera.data.clip_start,
            frame_size(scene.lyra),
        )

        def render(size: tuple[int, int]) -> None:
            target = size_for(*size)
            intrinsics = lens.of_picture(size, target)
            origin = depth_file.DepthOrigin(path, size, c2w, intrinsics).to_text()
            tasks.begin(_rasterizing(name, surfaces, intrinsics, target, near, origin))

        session.current.ensure(lambda: pictures.measure(image, render, MEASURING), MEASURING)
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        self.report({"INFO"}, f"The depth of {len(surfaces):,} surfaces is being rendered")
        return {"FINISHED"}


def _rasterizing(
    scene_name: str,
    surfaces: list[depth_raster.Surface],
    intrinsics: np.ndarray,
    size: tuple[int, int],
    near: float,
    origin: str,
) -> Iterator[None]:
    """Renders in short steps, then keeps the depth as a file and has the scene use it."""
    width, height = size
    depth = yield from depth_raster.rasterizing(surfaces, intrinsics, height, width, near)
    known = np.isfinite(depth).mean()
    if not known:
        session.current.say("The camera sees no surface. Move it, or the blockout, and try again.")
        return
    scene = bpy.data.scenes.get(scene_name)
    if scene is None:
        return  # another file was loaded meanwhile
    settings = scene.lyra
    if not depth_file.is_for_image(origin, settings.image):
        session.current.say(
            "The image has changed while its depth was rendered. Press Depth from Scene again."
        )
        return
    file = _new_file()
    np.savez(file, depth=depth * np.float32(scene.unit_settings.scale_length), intrinsics=intrinsics)
    settings.depth_file = str(file)  # which puts the others back to what holds for any file
    settings.depth_blend, settings.depth_known, settings.depth_origin = True, float(known), origin
    depth_file.remove_unused(file.parent)
    worlds.push_undo("Depth from Scene")


def _new_file() -> Path:
    """A name of its own for each rendering: undo may lead back to an earlier one."""
    folder = preferences.user_folder("depth")
    numbers = [int(path.stem[6:]) for path in folder.glob("scene-*.npz") if path.stem[6:].isdecimal()]
    return folder / f"scene-{max(numbers, default=0) + 1:04d}.npz"
