"""The reference image of a new world, by the scene's settings: file, frame size, lens and first camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from ..camera import conversion
from ..service.contract import LANDSCAPE_SIZE
from . import worlds

# Above the ground, in metres: where a first camera stands in a scene without one.
EYE_HEIGHT = 1.6
_SIZES = {"MODEL": LANDSCAPE_SIZE, "DRAFT": (LANDSCAPE_SIZE[0] // 2, LANDSCAPE_SIZE[1] // 2)}


def existing_file(path: str) -> Path:
    """A file that the settings name, perhaps relative to the .blend. Raises FileNotFoundError where there is none."""
    found = Path(bpy.path.abspath(path))
    if not found.is_file():
        raise FileNotFoundError(f"There is no file at {found}. Choose another one.")
    return found


def frame_size(settings) -> Callable[[int, int], tuple[int, int]]:
    """A function from width and height of an image to those of a world's frames, by the settings of now."""
    if settings.size == "CUSTOM":
        custom = settings.width, settings.height
        return lambda width, height: custom
    wide = _SIZES[settings.size]
    return lambda width, height: wide[::-1] if height > width else wide


def camera_lens(camera: bpy.types.Object) -> conversion.PictureLens:
    """The camera's lens, for an image whose size need not be known yet. Raises conversion.CameraError."""
    conversion.check_camera(camera.name, camera.data)
    sees_crop = any(map(worlds.is_made_for, camera.users_collection))
    return conversion.PictureLens(conversion.LensSettings.of(camera.data), sees_crop)


def first_camera(context, camera: bpy.types.Object | None) -> np.ndarray:
    """The matrix (4, 4) of a new world's first camera: the given one's, or at eye height looking along +Y.

    Raises conversion.CameraError for a camera that is sheared, mirrored or scaled to nothing.
    """
    if camera is not None:
        evaluated = camera.evaluated_get(context.evaluated_depsgraph_get())
        return conversion.rigid(np.array(evaluated.matrix_world), camera.name)
    return np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, EYE_HEIGHT], [0, 0, 0, 1]], np.float64)
