"""The walkthrough camera: the cameras of all frames as keyframes, and the walkthrough as its background."""

from __future__ import annotations

import zlib
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
# A camera is two matrices of 25 numbers in all; the rest is room for the names of the arrays.
CAMERA_BYTES, HEAD_BYTES = 25 * 8, 1 << 14
# What numpy and zipfile raise for a file that is no archive of arrays.
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, MemoryError)
_UNREADABLE += (BadZipFile, zlib.error)
_FIELDS = ("w2c", "intrinsics", "image_width", "image_height")
_LENS_CHANNELS = {"lens": "focal", "shift_x": "shift_x", "shift_y": "shift_y"}


@dataclass(frozen=True)
class CameraPath:
    """`w2c` (N, 4, 4) in the world's frame and units and `intrinsics` (N, 3, 3) in pixels of width x height."""

    w2c: np.ndarray
    intrinsics: np.ndarray
    width: int
    height: int


def read_trajectory(world: World, file: Path) -> CameraPath:
    """The cameras of all frames of a world from a trajectory file: w2c, intrinsics, image_height, image_width.

    Raises FileError for a file that holds something else.
    """
    arrays = _arrays(file, world.frames)
    w2c, intrinsics = _checked(file, arrays, world.frames)
    size = tuple(arrays.get(f"image_{side}", np.zeros(())).ravel().tolist() for side in ("width", "height"))
    if size != ([world.width], [world.height]):
        raise FileError(
            f"{file} was made for another frame size than {world.width} x {world.height}. Import the results again."
        )
    return CameraPath(w2c, intrinsics, world.width, world.height)


def read_chunk_trajectories(world: World, files: list[Path]) -> CameraPath:
    """The same from the files of a world's chunks, each with the cameras of its own frames, as an earlier service
    gives them. The first camera is the world's origin. Raises FileError."""
    chunks = [_checked(file, _arrays(file, CHUNK_FRAMES), CHUNK_FRAMES) for file in files]
    w2c = [np.eye(4)[None], *(poses for poses, _ in chunks)]
    intrinsics = [np.array(world.intrinsics, np.float64)[None], *(lenses for _, lenses in chunks)]
    return CameraPath(np.concatenate(w2c), np.concatenate(intrinsics), world.width, world.height)


def trajectory_limit(frames: int) -> int:
    """The most bytes that the file of so many cameras has."""
    return HEAD_BYTES + CAMERA_BYTES * frames


def _arrays(file: Path, frames: int) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as data:
            # What is packed may be small; what comes out is measured before it is read.
            sizes = {entry.filename: entry.file_size for entry in data.zip.infolist()}
            if sum(sizes.values()) > trajectory_limit(frames):
                raise ValueError(f"{sum(sizes.values()):,} bytes")
            return {name: data[name] for name in _FIELDS if name in data}
    except _UNREADABLE as error:
        raise _not_cameras(file, str(error)) from error


def _checked(file: Path, arrays: dict[str, np.ndarray], frames: int) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for name, side in (("w2c", 4), ("intrinsics", 3)):
        values = arrays.get(name, np.zeros(0))
        if values.shape != (frames, side, side) or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise _not_cameras(file, f"{name} is {values.dtype} of shape {values.shape}")
        found.append(values)
    return found[0], found[1]


def _not_cameras(file: Path, why: str) -> FileError:
    return FileError(f"{file} holds no cameras of a world ({why[:80]}). Import the results again.")


@dataclass(frozen=True)
class Keys:
    """What is keyed on each of N frames: `location` (N, 3) in world units, `rotation` (N, 4) wxyz, `lenses`."""

    location: np.ndarray
    rotation: np.ndarray
    lenses: list[conversion.Lens]


def keys(path: CameraPath) -> Keys:
    """The path as keyframes; each quaternion has the sign of its predecessor, so that none turns the long way."""
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


def reach(path: CameraPath, positions: np.ndarray) -> float:
    """Upper bound of the distance from any camera of the path to any splat at `positions` (M, 3), in world units."""
    cameras = np.linalg.norm(np.linalg.inv(path.w2c)[:, :3, 3], axis=1)
    return float(np.linalg.norm(positions, axis=1).max(initial=0.0) + cameras.max())


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
