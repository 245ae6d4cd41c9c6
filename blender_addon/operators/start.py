"""Step one: choose an image and start a world from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from bpy.props import StringProperty

from ..camera import conversion
from ..jobs import requests
from ..scene import depth_file, worlds
from ..service import engines, pictures, session

# What the engine reads (docs/inputs.md); it says so itself of a file that it does not.
EXTENSIONS = (
    ".png;.jpg;.jpeg;.webp;.avif;.gif;.tif;.tiff;.psd;.psb;.tga;.bmp;.exr;.hdr;.pic;.jp2;.jxl;.dpx;.cin"
)
EXTENSIONS += ";.ppm;.pgm;.pfm;.dds"
EYE_HEIGHT = 1.6
_SIZES = {"MODEL": (832, 480), "DRAFT": (416, 240)}


class LYRA_OT_choose_image(bpy.types.Operator):
    bl_idname = "lyra.choose_image"
    bl_label = "Choose Image"
    bl_description = "Choose the picture the world grows from"
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
                {"INFO"}, "Depth File is empty again: the scene had given depth to the image before this one"
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
        return "Make the world's pictures with this engine"

    def execute(self, context):
        context.scene.lyra.engine = self.engine
        return {"FINISHED"}


class LYRA_OT_start_world(bpy.types.Operator):
    bl_idname = "lyra.start_world"
    bl_label = "Start World"
    bl_description = (
        "Estimate depth and lens of the image and show its points where the scene's camera stands"
    )
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
            cls.poll_message_set("Wait until the engine has the image of the world before")
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


def new_world(context) -> requests.NewWorld:
    """What Start World sends.

    Raises OSError for an image that is not there, CameraError for a camera of no use, and StaleDepthError for depth
    from the scene that belongs to another image or camera.
    """
    scene, settings = context.scene, context.scene.lyra
    image = image_file(settings)
    depth = _file(settings.depth_file) if settings.depth_file else None
    asked = {"engine": settings.engine, "seed": settings.seed, "name": (settings.name or image.stem)[:64]}
    asked |= _asked_of_depth(settings)
    camera = scene.camera
    stands = standpoint(context, camera)
    if depth is not None and settings.depth_origin:
        _check_scene_depth(settings, camera, stands)
    if settings.size == "CUSTOM":
        asked["size"] = picture_size(settings, 0, 0)
    picture, is_draft = sized(settings), settings.size == "DRAFT"
    known = picture_lens(camera) if settings.use_camera_lens else None

    def of_size(size: tuple[int, int]) -> dict:
        target = picture(*size)
        found = {"size": target} if is_draft else {}
        if known is not None:
            # The size goes along, so that the engine can refuse a lens that belongs to another picture.
            found |= {"intrinsics": known.of_image(size, target).tolist(), "intrinsics_size": size}
        return found

    depends = is_draft or known is not None
    return requests.NewWorld(image, depth, asked, scene.name, stands, of_size if depends else None)


def _asked_of_depth(settings) -> dict:
    """The settings that have a part in the depth; the engine refuses some where they have none.

    What is left as it is goes unsaid, so that an engine that does not know it yet has nothing to refuse.
    """
    asked = {}
    if settings.estimates_depth:
        asked["depth"] = settings.depth
        asked["allow_download"] = settings.allow_download and bpy.app.online_access
    if settings.chooses_depth_scene and settings.depth_scene != "auto":
        asked["depth_scene"] = settings.depth_scene
    if settings.depth_is_inverse:
        asked["depth_values"] = settings.depth_values
    elif settings.depth_file and settings.depth_blend:
        asked["depth_blend"] = True
    return asked


def _check_scene_depth(settings, camera: bpy.types.Object | None, stands: np.ndarray) -> None:
    size = depth_file.image_size(settings.depth_origin)
    target = picture_size(settings, *size)
    seen = None if camera is None else picture_lens(camera).of_picture(size, target)
    depth_file.check(settings.depth_origin, settings.image, conversion.opencv_from_blender(stands), seen)


def picture_lens(camera: bpy.types.Object) -> conversion.PictureLens:
    """The camera's lens, for an image whose size need not be known yet. Raises conversion.CameraError."""
    conversion.check_camera(camera.name, camera.data)
    sees_crop = any(map(worlds.is_made_for, camera.users_collection))
    return conversion.PictureLens(conversion.LensSettings.of(camera.data), sees_crop)


def image_intrinsics(settings, camera: bpy.types.Object, width: int, height: int) -> np.ndarray:
    """Intrinsics (3, 3) in pixels of an image of width x height that was seen through the camera.

    Raises conversion.CameraError.
    """
    return picture_lens(camera).of_image((width, height), picture_size(settings, width, height))


def picture_size(settings, width: int, height: int) -> tuple[int, int]:
    """Width and height of a world's pictures, made from an image of width x height."""
    return sized(settings)(width, height)


def sized(settings) -> Callable[[int, int], tuple[int, int]]:
    """What gives the size of a world's pictures for an image of some width and height, by the settings of now."""
    if settings.size == "CUSTOM":
        custom = settings.width, settings.height
        return lambda width, height: custom
    wide = _SIZES[settings.size]
    return lambda width, height: wide[::-1] if height > width else wide


def standpoint(context, camera) -> np.ndarray:
    """Where the first camera of a new world stands (4, 4): at the scene's camera, or at eye height looking along +Y."""
    if camera is not None:
        evaluated = camera.evaluated_get(context.evaluated_depsgraph_get())
        return conversion.rigid(np.array(evaluated.matrix_world), camera.name)
    return np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, EYE_HEIGHT], [0, 0, 0, 1]], np.float64)


def image_file(settings) -> Path:
    """The chosen image. Raises OSError where it is not."""
    return _file(settings.image)


def _file(path: str) -> Path:
    found = Path(bpy.path.abspath(path))
    if not found.is_file():
        raise FileNotFoundError(f"There is no file at {found}. Choose another one.")
    return found


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image, upright, as the engine has measured it.

    Raises pictures.NotMeasuredError where it has not yet, and OSError for a file that is not there.
    """
    return pictures.known(path)


classes = (LYRA_OT_choose_image, LYRA_FH_image, LYRA_OT_choose_engine, LYRA_OT_start_world)


def register() -> None:
    for cls in classes:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
