"""The depth file of Depth from Scene: the image and camera it was rasterized for, and removal of unused files.

The origin is kept on the scene beside the depth file, as JSON; it is empty for a file that the user has chosen.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
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


@dataclass(frozen=True)
class DepthOrigin:
    """The view that a depth was rasterized for.

    `image` is the path of an image as the artist's settings have it, `size` its width and height, `c2w` (4, 4) the
    camera's OpenCV matrix in the scene, `intrinsics` (3, 3) its lens in pixels of the depth.
    """

    image: str
    size: tuple[int, int] | None
    c2w: np.ndarray
    intrinsics: np.ndarray

    def to_text(self) -> str:
        """What is kept on the scene."""
        facts = {"image": self.image, "size": self.size}
        return json.dumps(facts | {"c2w": self.c2w.tolist(), "intrinsics": self.intrinsics.tolist()})

    @classmethod
    def from_text(cls, text: str) -> DepthOrigin:
        """From what is kept; `size` is None in what an earlier version kept. Raises StaleDepthError."""
        try:
            facts = json.loads(text)
            size = None if facts.get("size") is None else tuple(facts["size"])
            c2w, intrinsics = np.array(facts["c2w"], np.float64), np.array(facts["intrinsics"], np.float64)
            if c2w.shape != (4, 4) or intrinsics.shape != (3, 3):
                raise ValueError("wrong shapes")
            return cls(str(facts["image"]), size, c2w, intrinsics)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StaleDepthError(
                f"What this file says of its depth from the scene is damaged. {_NEXT}"
            ) from error


def is_for_image(kept: str, image: str) -> bool:
    """Whether a rasterized depth belongs to the image of this path; both may be relative to the .blend."""
    with contextlib.suppress(StaleDepthError):
        return _is_same_file(DepthOrigin.from_text(kept).image, image)
    return False


def _is_same_file(one: str, other: str) -> bool:
    return Path(bpy.path.abspath(one)) == Path(bpy.path.abspath(other))


def image_size(kept: str) -> tuple[int, int]:
    """Width and height of the image of a rasterized depth. Raises StaleDepthError where that was not kept."""
    size = DepthOrigin.from_text(kept).size
    if size is None:
        raise StaleDepthError(f"The depth from the scene was rasterized by an earlier version. {_NEXT}")
    return size


def check(kept: str, image: str, camera_c2w: np.ndarray, intrinsics: np.ndarray | None) -> None:
    """Raises StaleDepthError unless a rasterized depth is that of this image, camera and lens; see DepthOrigin.

    `intrinsics` is None in a scene without a camera, whose worlds stand at a place of their own.
    """
    then = DepthOrigin.from_text(kept)
    if not _is_same_file(then.image, image):
        name = Path(bpy.path.abspath(then.image)).name
        raise StaleDepthError(f"The depth from the scene belongs to another image, {name}. {_NEXT}")
    if np.abs(then.c2w - camera_c2w).max() > SAME_POSE * max(1.0, np.abs(then.c2w).max()):
        raise StaleDepthError(
            f"The scene's camera has moved since the depth from the scene was rasterized. {_NEXT}"
        )
    if intrinsics is None or np.abs(then.intrinsics - intrinsics).max() > SAME_LENS:
        raise StaleDepthError(
            "The lens of the scene's camera or the frame size has changed since the depth from the scene was "
            f"rasterized. {_NEXT}"
        )


def remove_unused(folder: Path) -> None:
    """Removes rendered depth that is older than a week and that no scene of the open file refers to."""
    used = {Path(bpy.path.abspath(scene.lyra.depth_file)).resolve() for scene in bpy.data.scenes}
    for file in folder.glob("scene-*.npz"):
        # A service may be reading it, which on Windows keeps it from being removed.
        with contextlib.suppress(OSError):
            if file.resolve() not in used and time.time() - file.stat().st_mtime > KEPT_SECONDS:
                file.unlink()
