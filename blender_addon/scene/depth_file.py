"""What Depth from Scene rendered its depth file for: one image, seen by one camera. For others the file says nothing.

It is kept on the scene beside the depth file, as JSON, and empty for a file that the artist has chosen.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import bpy
import numpy as np

# Float32 matrices and a camera's own lens come back to within this; it is below what a pixel shows.
SAME_POSE = 1e-4
SAME_LENS = 0.5
# A file that nothing in the open .blend refers to may still be wanted by undo or by another .blend.
KEPT_SECONDS = 7 * 24 * 3600
_NEXT = "Press Depth from Scene again, or clear Depth File."


class StaleDepthError(ValueError):
    """A depth file that was rendered for something else than what is chosen now; the message says the next step."""


def origin(image: str, size: tuple[int, int], camera_c2w: np.ndarray, intrinsics: np.ndarray) -> str:
    """What is kept with a rendered depth.

    `image` is the path as the artist's settings have it, `size` the width and height of that image, `camera_c2w` (4, 4)
    the camera's OpenCV matrix in the scene, `intrinsics` (3, 3) its lens in pixels of the depth.
    """
    return json.dumps(
        {
            "image": image,
            "size": size,
            "c2w": np.asarray(camera_c2w).tolist(),
            "intrinsics": np.asarray(intrinsics).tolist(),
        }
    )


def is_for_image(kept: str, image: str) -> bool:
    """Whether a rendered depth belongs to the image of this path; both may be relative to the .blend."""
    rendered_for = json.loads(kept)["image"]
    return Path(bpy.path.abspath(rendered_for)) == Path(bpy.path.abspath(image))


def image_size(kept: str) -> tuple[int, int]:
    """Width and height of the image that a depth was rendered for. Raises StaleDepthError where that was not kept."""
    size = json.loads(kept).get("size")
    if size is None:
        raise StaleDepthError(f"The depth from the scene was rendered by an earlier version. {_NEXT}")
    return tuple(size)


def check(kept: str, image: str, camera_c2w: np.ndarray, intrinsics: np.ndarray | None) -> None:
    """Raises StaleDepthError unless a rendered depth is that of this image, camera and lens; see `origin`.

    `intrinsics` is None in a scene without a camera, whose worlds stand at a place of their own.
    """
    then = json.loads(kept)
    if not is_for_image(kept, image):
        name = Path(bpy.path.abspath(then["image"])).name
        raise StaleDepthError(f"The depth from the scene was rendered for another image, {name}. {_NEXT}")
    c2w = np.array(then["c2w"])
    if np.abs(c2w - camera_c2w).max() > SAME_POSE * max(1.0, np.abs(c2w).max()):
        raise StaleDepthError(
            f"The scene's camera does not stand where the depth from the scene was rendered. {_NEXT}"
        )
    if intrinsics is None or np.abs(np.array(then["intrinsics"]) - intrinsics).max() > SAME_LENS:
        raise StaleDepthError(
            "The lens of the scene's camera or the size of the pictures has changed since the depth from the scene "
            f"was rendered. {_NEXT}"
        )


def remove_unused(folder: Path) -> None:
    """Removes rendered depth that is older than a week and that no scene of the open file refers to."""
    used = {Path(bpy.path.abspath(scene.lyra.depth_file)).resolve() for scene in bpy.data.scenes}
    for file in folder.glob("scene-*.npz"):
        # An engine may be reading it, which on Windows keeps it from being removed.
        with contextlib.suppress(OSError):
            if file.resolve() not in used and time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink()
