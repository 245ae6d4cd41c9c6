"""Start World: the choice of the reference image and engine, and the request for a new world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from bpy.props import StringProperty

from ..camera import conversion
from ..jobs import requests
from ..scene import depth_file, standing
from ..scene.reference_image import camera_lens, existing_file, first_camera, frame_size
from ..service import engines, session
from ..service.bodies import NewWorldSettings
from ..service.contract import MAX_NAME

# What the service reads (docs/inputs.md); it says so itself of a file that it does not.
EXTENSIONS = (
    ".png;.jpg;.jpeg;.webp;.avif;.gif;.tif;.tiff;.psd;.psb;.tga;.bmp;.exr;.hdr;.pic;.jp2;.jxl;.dpx;.cin"
)
EXTENSIONS += ";.ppm;.pgm;.pfm;.dds"


class LYRA_OT_choose_image(bpy.types.Operator):
    bl_idname = "lyra.choose_image"
    bl_label = "Choose Image"
    bl_description = "Choose the reference image of the world"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(
        default=";".join(f"*{ext}" for ext in EXTENSIONS.split(";")), options={"HIDDEN"}
    )

    def invoke(self, context, event):
        # A dropped file comes with its path.
        if self.filepath:
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        path = Path(bpy.path.abspath(self.filepath))
        if not path.is_file():
            self.report({"ERROR"}, f"There is no image at {path}. Choose another file.")
            return {"CANCELLED"}
        settings = context.scene.lyra
        had_depth = bool(settings.depth_file)
        settings.image = str(path)
        if had_depth and not settings.depth_file:
            self.report(
                {"INFO"}, "Depth File was cleared: it held depth from the scene for the previous image"
            )
        return {"FINISHED"}


class LYRA_FH_image(bpy.types.FileHandler):
    bl_idname = "LYRA_FH_image"
    bl_label = "Image for a Lyra World"
    bl_import_operator = "lyra.choose_image"
    bl_file_extensions = EXTENSIONS

    @classmethod
    def poll_drop(cls, context):
        return context.area is not None and context.area.type == "VIEW_3D"


class LYRA_OT_choose_engine(bpy.types.Operator):
    bl_idname = "lyra.choose_engine"
    bl_label = "Choose Engine"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    engine: StringProperty(options={"SKIP_SAVE"})

    @classmethod
    def description(cls, context, properties):
        if engine := engines.find(properties.engine):
            return " ".join(filter(None, (engine.needs, engine.license))).rstrip(".")
        return "Generate frames with this engine"

    def execute(self, context):
        context.scene.lyra.engine = self.engine
        return {"FINISHED"}


class LYRA_OT_start_world(bpy.types.Operator):
    bl_idname = "lyra.start_world"
    bl_label = "Start World"
    bl_description = "Estimate depth and lens of the image, and show its points at the scene's camera"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context):
        settings = context.scene.lyra
        if not settings.image:
            cls.poll_message_set("Choose an image first")
            return False
        if settings.use_camera_lens and context.scene.camera is None:
            cls.poll_message_set(
                "Use Camera Lens needs a camera in the scene: add one, or switch the option off"
            )
            return False
        if reason := engines.missing(settings.engine):
            cls.poll_message_set(reason)
            return False
        if session.current.is_asking(requests.NEW_WORLD):
            cls.poll_message_set("Wait until the service has the image of the previous world")
            return False
        return True

    def execute(self, context):
        try:
            new = new_world(context)
        except (OSError, conversion.CameraError, depth_file.StaleDepthError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        session.current.ensure(lambda: requests.start_world(new), requests.NEW_WORLD)
        if session.current.message:
            self.report({"ERROR"}, session.current.message)
            return {"CANCELLED"}
        self.report({"INFO"}, "The world is being started; its points appear when depth is known")
        return {"FINISHED"}


def new_world(context) -> requests.NewWorldRequest:
    """What Start World sends.

    Raises OSError for an image that is not there, CameraError for a camera of no use, and StaleDepthError for depth
    from the scene that belongs to another image or camera.
    """
    scene, settings = context.scene, context.scene.lyra
    image = existing_file(settings.image)
    depth = existing_file(settings.depth_file) if settings.depth_file else None
    camera = scene.camera
    stands = first_camera(context, camera)
    if depth is not None and settings.depth_origin:
        _check_scene_depth(settings, camera, stands)
    asked = _world_settings(settings, image)
    size_for, is_draft = frame_size(settings), settings.size == "DRAFT"
    lens = camera_lens(camera) if settings.use_camera_lens else None

    def of_size(size: tuple[int, int]) -> NewWorldSettings:
        target = size_for(*size)
        found = replace(asked, size=target) if is_draft else asked
        if lens is None:
            return found
        # The size goes along, so that the service can refuse a lens that belongs to another picture.
        return replace(found, intrinsics=lens.of_image(size, target).tolist(), intrinsics_size=size)

    # Depth from the scene holds for its camera alone, which must stay where it is. Any other world stands upright.
    upright = not (depth is not None and settings.depth_origin)
    if upright:
        stands = standing.place_for(context, camera)
    depends = is_draft or lens is not None
    return requests.NewWorldRequest(
        image, depth, asked, scene.name, stands, upright, of_size if depends else None
    )


def _world_settings(settings, image: Path) -> NewWorldSettings:
    """The settings that do not depend on the size of the image.

    The service refuses some settings of depth where they have no part in it, so those go unsaid.
    """
    return NewWorldSettings(
        engine=settings.engine,
        seed=settings.seed,
        name=(settings.name or image.stem)[:MAX_NAME],
        depth=settings.depth if settings.estimates_depth else None,
        allow_download=settings.allow_download and bpy.app.online_access
        if settings.estimates_depth
        else None,
        depth_scene=settings.depth_scene
        if settings.chooses_depth_scene and settings.depth_scene != "auto"
        else None,
        depth_values=settings.depth_values if settings.depth_is_inverse else None,
        depth_blend=True
        if settings.depth_file and settings.depth_blend and not settings.depth_is_inverse
        else None,
        size=(settings.width, settings.height) if settings.size == "CUSTOM" else None,
    )


def _check_scene_depth(settings, camera: bpy.types.Object | None, stands: np.ndarray) -> None:
    size = depth_file.image_size(settings.depth_origin)
    target = frame_size(settings)(*size)
    seen = None if camera is None else camera_lens(camera).of_picture(size, target)
    depth_file.check(settings.depth_origin, settings.image, conversion.opencv_from_blender(stands), seen)
