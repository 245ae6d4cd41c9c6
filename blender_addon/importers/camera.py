"""The camera a world was made with: one pose and lens per frame, and the walkthrough behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import bpy
import numpy as np
from mathutils import Matrix

from ..camera import conversion
from ..camera.trajectory import CHUNK_FRAMES
from ..service.resources import World
from .ply import FileError

# Lens settings that change by less than this are not keyed.
STILL = 1e-5
# The sky mostly stands some hundred median depths away, and so much farther than the farthest splat at most.
SKY = 1000.0
BEYOND = 1.1
_LENS_CHANNELS = {"lens": "focal", "shift_x": "shift_x", "shift_y": "shift_y"}


@dataclass(frozen=True)
class Path3D:
    """`w2c` (N, 4, 4) in the world's frame and units and `intrinsics` (N, 3, 3) in pixels of width x height."""

    w2c: np.ndarray
    intrinsics: np.ndarray
    width: int
    height: int


def read_path(world: World, chunk_files: list[Path]) -> Path3D:
    """The cameras of all frames of a world: its first picture's, then those of the chunks, each (80, ...).

    Raises FileError for a file that holds something else.
    """
    w2c, intrinsics = [np.eye(4)[None]], [np.array(world.intrinsics, np.float64)[None]]
    for file in chunk_files:
        try:
            with np.load(file, allow_pickle=False) as data:
                w2c.append(_checked(data["w2c"], 4))
                intrinsics.append(_checked(data["intrinsics"], 3))
        except (ValueError, KeyError, EOFError, BadZipFile) as error:
            raise FileError(
                f"{file} holds no cameras of a chunk ({error}). Import the results again."
            ) from error
    return Path3D(np.concatenate(w2c), np.concatenate(intrinsics), world.width, world.height)


def _checked(matrices: np.ndarray, side: int) -> np.ndarray:
    if (
        matrices.shape != (CHUNK_FRAMES, side, side)
        or matrices.dtype.kind != "f"
        or not np.isfinite(matrices).all()
    ):
        raise ValueError(f"{matrices.dtype} of shape {matrices.shape}")
    return matrices


@dataclass(frozen=True)
class Keys:
    """What is keyed on each of N frames: `location` (N, 3) in world units, `rotation` (N, 4) wxyz, `lenses`."""

    location: np.ndarray
    rotation: np.ndarray
    lenses: list[conversion.Lens]


def keys(path: Path3D) -> Keys:
    """The path as Blender keys it; each quaternion is on its predecessor's side, so that none turns the long way."""
    matrices = conversion.cameras_under_empty(path.w2c, 1.0)
    rotations = []
    for matrix in matrices:
        rotation = Matrix(matrix.tolist()).to_quaternion()
        if rotations:
            rotation.make_compatible(rotations[-1])
        rotations.append(rotation)
    lenses = [conversion.intrinsics_lens(k, path.width, path.height) for k in path.intrinsics]
    return Keys(matrices[:, :3, 3], np.array([tuple(rotation) for rotation in rotations]), lenses)


def key(obj: bpy.types.Object, keys: Keys, first_frame: int) -> None:
    """Keys a camera on every frame, in place of the keys it had; whatever else the artist has set on it stays."""
    conversion.apply_lens(obj.data, keys.lenses[0])
    obj.rotation_mode = "QUATERNION"
    frames = first_frame + np.arange(len(keys.lenses), dtype=np.float64)
    _animate(obj, "OBJECT", frames, {"location": keys.location, "rotation_quaternion": keys.rotation})
    settings = {
        name: np.array([[getattr(lens, key)] for lens in keys.lenses]) for name, key in _LENS_CHANNELS.items()
    }
    moving = {path: values for path, values in settings.items() if np.ptp(values) > STILL}
    _remove_keys(obj.data, set(settings))
    if moving:
        _animate(obj.data, "CAMERA", frames, moving)


def reach(path: Path3D, positions: np.ndarray) -> float:
    """How far from a camera of the path a splat of those at `positions` (M, 3) may be at most, in world units."""
    cameras = np.linalg.norm(np.linalg.inv(path.w2c)[:, :3, 3], axis=1)
    return float(np.linalg.norm(positions, axis=1).max(initial=0.0) + cameras.max())


def see_far(camera: bpy.types.Camera, depth: float, reach: float) -> None:
    """Moves the far plane behind a world's sky, if it is not there: `depth` of its picture, `reach` of its splats.

    Both are in the scene's units, the median depth and what the function `reach` tells; 0 without splats.
    """
    camera.clip_end = max(camera.clip_end, 1000.0, SKY * depth, BEYOND * reach)


def local_scale(scale: float) -> np.ndarray:
    """The keyed camera's own matrix (4, 4) before its keys: the scale that undoes the empty's."""
    return np.diag([1 / scale, 1 / scale, 1 / scale, 1.0])


def load_clip(file: Path) -> bpy.types.MovieClip:
    """The clip of a video; one that the file has already is read anew, as it may have been gone meanwhile."""
    clip = bpy.data.movieclips.load(str(file), check_existing=True)
    clip.filepath = clip.filepath
    return clip


def load_image(file: Path) -> bpy.types.Image:
    """A picture that is packed into the .blend.

    Packed from its bytes: it is decoded when it is first drawn. Loading it here would hold Blender up for a tenth
    of a second in a session that has read no image yet.
    """
    data = file.read_bytes()
    image = bpy.data.images.new(file.name, 8, 8)
    image.pack(data=data, data_len=len(data))
    image.source = "FILE"
    image.filepath_raw = str(file)
    return image


def put_clip_behind(camera: bpy.types.Camera, clip: bpy.types.MovieClip, first_frame: int) -> None:
    """Shows a walkthrough behind what the camera sees, its first picture on scene frame `first_frame`.

    It takes the place of the one that the camera showed before.
    """
    clip.frame_start = first_frame
    shown = (entry for entry in camera.background_images if entry.source == "MOVIE_CLIP")
    background = next((entry for entry in shown if _is_walkthrough(entry.clip)), None) or _background(camera)
    background.source = "MOVIE_CLIP"
    background.clip = clip


def _is_walkthrough(clip: bpy.types.MovieClip | None) -> bool:
    return clip is None or bpy.path.basename(clip.filepath).startswith("walkthrough")


def put_image_behind(camera: bpy.types.Camera, image: bpy.types.Image) -> None:
    background = _background(camera)
    background.source = "IMAGE"
    background.image = image


def _background(camera: bpy.types.Camera) -> bpy.types.CameraBackgroundImage:
    camera.show_background_images = True
    background = camera.background_images.new()
    background.alpha = 1.0
    background.display_depth = "BACK"
    background.frame_method = "CROP"
    return background


def _animate(owner: bpy.types.ID, kind: str, frames: np.ndarray, channels: dict[str, np.ndarray]) -> None:
    """Keys properties of an ID linearly: data path -> values (N, components). Layered actions, as 5.0 asks for.

    An action that keyed one of them before gives way, whatever else it keyed.
    """
    _remove_keys(owner, set(channels))
    action = bpy.data.actions.new(owner.name)
    slot = action.slots.new(kind, owner.name)
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    curves = strip.channelbag(slot, ensure=True).fcurves
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    for data_path, values in channels.items():
        for index in range(values.shape[1]):
            curve = curves.new(data_path, index=index)
            points = curve.keyframe_points
            points.add(len(frames))
            points.foreach_set("co", np.stack([frames, values[:, index]], 1).astype(np.float32).ravel())
            points.foreach_set("interpolation", np.full(len(frames), linear, np.int32))
            curve.update()
    animation = owner.animation_data_create()
    animation.action = action
    animation.action_slot = slot


def _remove_keys(owner: bpy.types.ID, channels: set[str]) -> None:
    """Takes the action off an ID that keys one of its channels, and out of the file when nothing else uses it."""
    animation = owner.animation_data
    action = animation.action if animation else None
    if action is None:
        return
    strips = (strip for layer in action.layers for strip in layer.strips)
    bags = (bag for strip in strips for bag in strip.channelbags)
    if channels.isdisjoint(curve.data_path for bag in bags for curve in bag.fcurves):
        return
    animation.action = None
    if action.users == 0:
        bpy.data.actions.remove(action)
