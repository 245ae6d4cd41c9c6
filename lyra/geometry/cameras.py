"""Camera trajectories. Axes, pixels and units are those of docs/conventions.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, overload

import numpy as np

from lyra.common.arrays_file import ArrayLimit, read_arrays
from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place, value
from lyra.geometry.camera import Camera
from lyra.geometry.lens import NARROWEST, WIDEST, check_lens, check_pinhole
from lyra.geometry.poses import check_poses

CHUNK_FRAMES = 80
MAX_FRAMES = 1 + 100 * CHUNK_FRAMES
MAX_SIDE = 65536
# Far more than MAX_FRAMES cameras take, so that a longer path is refused by its number of frames.
MAX_BYTES = 64_000_000
FIELDS = {
    "w2c": ArrayLimit(MAX_BYTES),
    "intrinsics": ArrayLimit(MAX_BYTES),
    "image_height": ArrayLimit(1024),
    "image_width": ArrayLimit(1024),
}
ADVICE = "save w2c, intrinsics in pixels, and the picture's image_height and image_width with numpy.savez"


def cover_transform(source_hw: tuple[int, int], target_hw: tuple[int, int]) -> tuple[float, float, float]:
    """Scale and crop offsets (x, y in scaled pixels) with which a source image covers the target, centred.

    A source point p lands at p * scale - offset; nothing is stretched.
    """
    (source_h, source_w), (target_h, target_w) = source_hw, target_hw
    scale = max(target_h / source_h, target_w / source_w)
    return scale, (source_w * scale - target_w) / 2, (source_h * scale - target_h) / 2


def fit_intrinsics(
    intrinsics: np.ndarray, source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> np.ndarray:
    """Intrinsics (..., 3, 3) of the source image after `cover_transform` to the target size."""
    scale, offset_x, offset_y = cover_transform(source_hw, target_hw)
    fitted = np.array(intrinsics, np.float64)
    fitted[..., :2, :] *= scale
    fitted[..., 0, 2] -= offset_x
    fitted[..., 1, 2] -= offset_y
    return fitted


def intrinsics_from_fov(horizontal_fov: float, height: int, width: int) -> np.ndarray:
    """Centred pinhole intrinsics (3, 3) of a horizontal field of view in radians.

    Raises InvalidInputError for one that no lens has, such as degrees.
    """
    low, high = np.radians((NARROWEST, WIDEST))
    if not low <= horizontal_fov <= high:
        raise InvalidInputError(
            f"The field of view is {horizontal_fov:.4g} rad; {low:.3g} to {high:.3g} are possible. Give degrees as "
            "numpy.radians(degrees)."
        )
    focal = width / 2 / np.tan(horizontal_fov / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Trajectory:
    """A camera path: `w2c` (N, 4, 4), `intrinsics` (N, 3, 3) in pixels of a `height` x `width` image.

    World-to-camera in OpenCV axes (x right, y down, z forward), float64. Build it from outside data with
    `checked` or `load`; the bare constructor trusts its arguments.
    """

    w2c: np.ndarray
    intrinsics: np.ndarray
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.w2c)

    @overload
    def __getitem__(self, frames: int) -> Camera: ...

    @overload
    def __getitem__(self, frames: slice | Sequence[int] | np.ndarray) -> Trajectory: ...

    def __getitem__(self, frames):
        kind = Camera if isinstance(frames, int | np.integer) else Trajectory
        return kind(self.w2c[frames], self.intrinsics[frames], self.height, self.width)

    @property
    def c2w(self) -> np.ndarray:
        """Camera-to-world matrices (N, 4, 4)."""
        return np.linalg.inv(self.w2c)

    @property
    def centers(self) -> np.ndarray:
        """Camera centres in the world (N, 3)."""
        return self.c2w[:, :3, 3]

    @property
    def chunks(self) -> int:
        return (len(self) - 1) // CHUNK_FRAMES

    @classmethod
    def checked(cls, w2c, intrinsics, height, width, *, fitted: bool = False) -> Trajectory:
        """A trajectory from untrusted arrays; one lens (3, 3) or (1, 3, 3) counts for all frames.

        A path that is `fitted` was checked before it was fitted to a world: a crop may have cut its principal point
        off. Raises InvalidInputError that names the first bad frame.
        """
        height, width = _side("image_height", height), _side("image_width", width)
        w2c, intrinsics = _numbers("w2c", w2c), _numbers("intrinsics", intrinsics)
        if w2c.ndim != 3 or w2c.shape[1:] != (4, 4):
            raise InvalidInputError(
                f"w2c has shape {w2c.shape}; a trajectory needs (frames, 4, 4), each with 0, 0, 0, 1 as its last row."
            )
        if not 1 <= len(w2c) <= MAX_FRAMES:
            raise InvalidInputError(_frames_message(len(w2c)))
        if intrinsics.shape in ((3, 3), (1, 3, 3)):
            intrinsics = np.tile(intrinsics.reshape(1, 3, 3), (len(w2c), 1, 1))
        if intrinsics.shape != (len(w2c), 3, 3):
            raise InvalidInputError(
                f"intrinsics have shape {intrinsics.shape}; {len(w2c)} poses need ({len(w2c)}, 3, 3), each "
                "[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."
            )
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise InvalidInputError(
                f"The trajectory's image size is {width}x{height}; give the size in pixels."
            )
        check_poses(w2c)
        if fitted:
            check_pinhole(intrinsics, "frame {}".format)
        else:
            check_lens(intrinsics, height, width, "frame {}".format)
        return cls(w2c, intrinsics, height, width)

    @classmethod
    def load(cls, path: str | Path, *, fitted: bool = False) -> Trajectory:
        """Reads the published `.npz` format (w2c, intrinsics, image_height, image_width).

        `fitted` as for `checked`: for the files in a world's folder.
        """
        path = Path(path)
        if not path.exists():
            raise InvalidInputError(f"There is no trajectory file at {place(path)}.")
        try:
            arrays = read_arrays(path, FIELDS, name="It", advice=ADVICE)
        except InvalidInputError as error:
            raise InvalidInputError(
                one_line(f"{place(path)} is no trajectory file (.npz): {error}")
            ) from error
        try:
            return cls.checked(*(arrays[key] for key in FIELDS), fitted=fitted)
        except InvalidInputError as error:
            raise InvalidInputError(one_line(f"{place(path)}: {error}")) from error

    def save(self, target: str | Path | IO[bytes]) -> None:
        """Writes the published `.npz` format to a path ending in .npz, or into an open file."""
        np.savez(
            target,
            w2c=self.w2c,
            intrinsics=self.intrinsics,
            image_height=np.int64(self.height),
            image_width=np.int64(self.width),
        )

    def require_world_length(self) -> Trajectory:
        """This trajectory if it has 1 + 80k frames, k >= 1; otherwise InvalidInputError."""
        if len(self) <= 1 or (len(self) - 1) % CHUNK_FRAMES:
            nearest = 1 + CHUNK_FRAMES * max(1, round((len(self) - 1) / CHUNK_FRAMES))
            raise InvalidInputError(
                f"The trajectory has {len(self)} frames; a world needs 1 + 80k (81, 161, ...). "
                f"Export the path with {nearest} frames."
            )
        return self

    def longest_world_prefix(self) -> Trajectory:
        """The longest leading part of 1 + 80k frames."""
        if self.chunks < 1:
            return self.require_world_length()
        return self[: 1 + CHUNK_FRAMES * self.chunks]

    def rebased(self, first_w2c: np.ndarray | None = None) -> Trajectory:
        """The same motion with its first camera at `first_w2c` (4, 4), the world's origin by default."""
        target = np.eye(4) if first_w2c is None else first_w2c
        w2c = self.w2c @ (np.linalg.inv(self.w2c[0]) @ target)
        w2c[0] = target
        return Trajectory(w2c, self.intrinsics, self.height, self.width)

    def scaled(self, factor: float) -> Trajectory:
        """All translations multiplied by `factor`."""
        w2c = self.w2c.copy()
        w2c[:, :3, 3] *= factor
        return Trajectory(w2c, self.intrinsics, self.height, self.width)

    def fitted(self, height: int, width: int) -> Trajectory:
        """The intrinsics after the centre crop that fits an image of this size to height x width."""
        fitted = fit_intrinsics(self.intrinsics, (self.height, self.width), (height, width))
        return Trajectory(self.w2c, fitted, height, width)

    @staticmethod
    def joined(parts: list[Trajectory]) -> Trajectory:
        """Several trajectories of one size, one after the other."""
        return Trajectory(
            np.concatenate([part.w2c for part in parts]),
            np.concatenate([part.intrinsics for part in parts]),
            parts[0].height,
            parts[0].width,
        )


def _numbers(name: str, values) -> np.ndarray:
    """`values`, nested lists or an array, as float64. Raises InvalidInputError for too many, or for no numbers."""
    try:
        if len(values) > MAX_FRAMES:
            raise InvalidInputError(_frames_message(len(values)))
        if isinstance(values, np.ndarray) and values.dtype.kind not in "fiu":
            raise TypeError(f"type {values.dtype}")
        return np.asarray(values, np.float64)
    except InvalidInputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"{name} holds something that is no number ({one_line(error, 80)}); give arrays of numbers."
        ) from error


def _frames_message(frames: int) -> str:
    return (
        f"The trajectory has {frames} frames; between 1 and {MAX_FRAMES} are possible. Export a shorter path."
    )


def _side(name: str, given) -> int:
    """A whole number from a number or an array of one. Raises InvalidInputError."""
    array = np.asarray(given)
    if array.size != 1 or array.dtype.kind not in "fiu" or array.item() != np.floor(array.item()):
        raise InvalidInputError(f"{name} is {value(given)}; one whole number of pixels is needed.")
    return int(min(array.item(), 2 * MAX_SIDE))
