"""Conversion of axes, units and intrinsics between Blender's cameras and a world's; nothing else converts them.

Worlds use OpenCV axes (x right, y down, z forward) and intrinsics in pixels. Blender's camera looks along its -Z with
+Y up and gives its lens and sensor in millimetres. Needs NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

# Turns a Blender camera's axes into OpenCV's and back; it is its own inverse.
FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])
SH_C0 = 0.28209479177387814
# The largest cosine between two axes of a camera: below it no pixel of a picture 2,048 wide is off by more than one
# with a lens of 90 degrees. A parent whose scale is as uneven as `uniform_scale` allows stays within it.
MAX_SHEAR = 1e-3


@dataclass(frozen=True)
class Lens:
    """Blender's lens settings; `fit` is 'HORIZONTAL' or 'VERTICAL', `focal` in mm on a `sensor` in mm along it."""

    focal: float
    sensor: float
    fit: str
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class LensSettings:
    """Copy of the lens settings of a `bpy.types.Camera`, under the same names."""

    sensor_fit: str
    sensor_width: float
    sensor_height: float
    lens: float
    shift_x: float
    shift_y: float

    @classmethod
    def of(cls, camera) -> LensSettings:
        return cls(*(getattr(camera, field.name) for field in fields(cls)))


@dataclass(frozen=True)
class PictureLens:
    """A camera's lens before the size of the image it belongs to is known.

    The extension's own cameras see a world's pictures, which may be a crop of an image; others see all of it.
    """

    settings: LensSettings
    sees_crop: bool

    def of_image(self, size: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
        """Intrinsics (3, 3) in pixels of an image of `size` (width, height), of which a world shows `target`."""
        if not self.sees_crop:
            return camera_intrinsics(self.settings, *size)
        return uncropped_intrinsics(camera_intrinsics(self.settings, *target), size, target)

    def of_picture(self, size: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
        """Intrinsics (3, 3) in pixels of the `target` that a world shows of an image of `size` (width, height)."""
        return cropped_intrinsics(self.of_image(size, target), size, target)


class CameraError(ValueError):
    """A camera that cannot drive a world; the message says what to change."""


def fit_axis(sensor_fit: str, width: int, height: int, aspect_x: float = 1.0, aspect_y: float = 1.0) -> str:
    """The picture side that the sensor spans: AUTO takes the longer one."""
    if sensor_fit != "AUTO":
        return sensor_fit
    return "HORIZONTAL" if width * aspect_x >= height * aspect_y else "VERTICAL"


def camera_intrinsics(
    camera, width: int, height: int, aspect_x: float = 1.0, aspect_y: float = 1.0
) -> np.ndarray:
    """Intrinsics (3, 3) in pixels of a perspective `bpy.types.Camera`, or its LensSettings, for
    a width x height picture."""
    fit = fit_axis(camera.sensor_fit, width, height, aspect_x, aspect_y)
    # AUTO always measures by the sensor's width, whichever side it spans.
    sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
    lens = Lens(camera.lens, sensor, fit, camera.shift_x, camera.shift_y)
    return lens_intrinsics(lens, width, height, aspect_x, aspect_y)


def lens_intrinsics(
    lens: Lens, width: int, height: int, aspect_x: float = 1.0, aspect_y: float = 1.0
) -> np.ndarray:
    """Intrinsics (3, 3) in pixels of a lens; `aspect_x` : `aspect_y` is the shape of a pixel."""
    fit_px = width * aspect_x if lens.fit == "HORIZONTAL" else height * aspect_y
    focal = lens.focal / lens.sensor * fit_px
    return np.array(
        [
            [focal / aspect_x, 0.0, width / 2 - lens.shift_x * fit_px / aspect_x],
            [0.0, focal / aspect_y, height / 2 + lens.shift_y * fit_px / aspect_y],
            [0.0, 0.0, 1.0],
        ]
    )


def cropped_intrinsics(intrinsics: np.ndarray, size: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Intrinsics (3, 3) of a picture of `size` (width, height) after the centre crop that fills `target`.

    A world's pictures are fitted so: the smaller side decides, nothing is stretched.
    """
    scale, offset = _crop(size, target)
    fitted = np.array(intrinsics, np.float64)
    fitted[:2] *= scale
    fitted[:2, 2] -= offset
    return fitted


def uncropped_intrinsics(
    intrinsics: np.ndarray, size: tuple[int, int], target: tuple[int, int]
) -> np.ndarray:
    """Inverse of `cropped_intrinsics`: those of the picture of `size` whose centre crop to `target` has these."""
    scale, offset = _crop(size, target)
    whole = np.array(intrinsics, np.float64)
    whole[:2, 2] += offset
    whole[:2] /= scale
    return whole


def _crop(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, np.ndarray]:
    """The scale and then the offset (2,) in pixels with which a picture of `size` fills `target`."""
    scale = max(target[0] / size[0], target[1] / size[1])
    return scale, (np.array(size) * scale - np.array(target)) / 2


def intrinsics_lens(intrinsics: np.ndarray, width: int, height: int, sensor: float = 36.0) -> Lens:
    """The lens whose picture has these intrinsics (3, 3), for square pixels.

    The fit is the longer side of the picture, named and not AUTO: so the field of view along that side stays the same
    when the scene renders in another aspect. Blender knows one focal length; that of the fitted side is taken.
    """
    fit = fit_axis("AUTO", width, height)
    fit_px, focal = (width, intrinsics[0, 0]) if fit == "HORIZONTAL" else (height, intrinsics[1, 1])
    return Lens(
        focal=float(focal / fit_px * sensor),
        sensor=sensor,
        fit=fit,
        shift_x=float((width / 2 - intrinsics[0, 2]) / fit_px),
        shift_y=float((intrinsics[1, 2] - height / 2) / fit_px),
    )


def apply_lens(camera, lens: Lens) -> None:
    """Sets a `bpy.types.Camera` to this lens."""
    camera.type = "PERSP"
    camera.sensor_fit = lens.fit
    if lens.fit == "HORIZONTAL":
        camera.sensor_width = lens.sensor
    else:
        camera.sensor_height = lens.sensor
    camera.lens_unit = "MILLIMETERS"
    camera.lens = lens.focal
    camera.shift_x = lens.shift_x
    camera.shift_y = lens.shift_y


def check_camera(name: str, camera) -> None:
    """Raises CameraError unless the camera projects in perspective, as a world is seen."""
    if camera.type != "PERSP":
        kind = {"ORTHO": "orthographic", "PANO": "panoramic"}.get(camera.type, camera.type.lower())
        raise CameraError(
            f"Camera '{name}' is {kind}; a world needs a perspective one. Change Type in the camera's Lens panel."
        )


def rigid(matrices: np.ndarray, name: str = "camera") -> np.ndarray:
    """The pose that Blender sees with through object matrices (..., 4, 4): scale removed, the view direction kept.

    Blender gives the axes of a camera unit length and leaves the angles between them as they are, so a sheared camera
    renders a sheared picture, which no pinhole camera takes. Within `MAX_SHEAR` the direction of view, -Z, is kept
    exactly and the roll is the nearest one.

    Raises CameraError for a matrix that is sheared further, for a mirrored one, and for one of zero size.
    """
    matrices = np.asarray(matrices, np.float64)
    if not np.isfinite(matrices).all():
        raise CameraError(f"'{name}' has a matrix that is not finite. Check its constraints and drivers.")
    linear = matrices[..., :3, :3]
    lengths = np.linalg.norm(linear, axis=-2, keepdims=True)
    if (lengths < 1e-12).any():
        raise CameraError(f"'{name}' is scaled to nothing. Apply or reset its scale.")
    axes = linear / lengths
    shear = _shear(axes)
    if shear > MAX_SHEAR:
        raise CameraError(
            f"'{name}' is sheared: its axes are {90 - np.degrees(np.arcsin(min(shear, 1.0))):.1f} degrees apart "
            "instead of 90, as those of a turned child of an unevenly scaled parent are. Apply the parent's scale "
            "(Ctrl+A, Scale), or clear the parent with Keep Transformation."
        )
    if (np.linalg.det(axes) < 0).any():
        raise CameraError(f"'{name}' is mirrored by a negative scale. Apply or reset its scale.")
    z = axes[..., 2]
    # Of all turns about z, the one that brings x and y nearest to where they are: y x z is where y wants x to be.
    x = axes[..., 0] + np.cross(axes[..., 1], z)
    x -= (x * z).sum(-1, keepdims=True) * z
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    result = np.zeros_like(matrices)
    result[..., :3, :3] = np.stack([x, np.cross(z, x), z], -1)
    result[..., :3, 3] = matrices[..., :3, 3]
    result[..., 3, 3] = 1.0
    return result


def _shear(axes: np.ndarray) -> float:
    """The largest cosine between two of the unit axes (..., 3, 3, in columns); 0 where all are at right angles."""
    cosines = np.swapaxes(axes, -1, -2) @ axes
    return float(np.abs(cosines - np.eye(3)).max(initial=0.0))


def opencv_from_blender(camera_matrix: np.ndarray) -> np.ndarray:
    """c2w (..., 4, 4) in OpenCV axes of a rigid Blender camera matrix; its own inverse."""
    return camera_matrix @ FLIP_YZ


blender_from_opencv = opencv_from_blender


def world_matrix(first_camera: np.ndarray, scale: float) -> np.ndarray:
    """The matrix (4, 4) of the empty that carries a world: its first camera's OpenCV matrix times its scale."""
    return opencv_from_blender(rigid(first_camera)) @ np.diag([scale, scale, scale, 1.0])


def uniform_scale(matrix: np.ndarray, name: str) -> float:
    """The scale of a world's empty. Raises CameraError unless it is the same along all axes."""
    lengths = np.linalg.norm(np.asarray(matrix, np.float64)[:3, :3], axis=0)
    if lengths.min() < 1e-9 or lengths.max() / lengths.min() > 1.001:
        sizes = ", ".join(f"{length:.3g}" for length in lengths)
        raise CameraError(f"'{name}' is scaled unevenly ({sizes}). Give it one scale on all axes.")
    return float(lengths.mean())


def cameras_in_world(camera_matrices: np.ndarray, empty_matrix: np.ndarray, name: str) -> np.ndarray:
    """w2c (N, 4, 4) in a world's frame and units, of Blender camera matrices (N, 4, 4) in the scene.

    `empty_matrix` (4, 4) is that of the world's empty, so the artist may move, turn and scale a world as a whole.
    """
    scale = uniform_scale(empty_matrix, name)
    origin = np.asarray(empty_matrix, np.float64).copy()
    origin[:3, :3] /= scale
    c2w = np.linalg.inv(rigid(origin, name)) @ opencv_from_blender(rigid(camera_matrices, name))
    c2w[:, :3, 3] /= scale
    return np.linalg.inv(c2w)


def cameras_under_empty(w2c: np.ndarray, scale: float) -> np.ndarray:
    """Local matrices (N, 4, 4) of Blender cameras parented to a world's empty, from w2c (N, 4, 4) in world units.

    Their own scale undoes the empty's, so that the cameras in the scene have none.
    """
    return blender_from_opencv(np.linalg.inv(w2c)) @ np.diag([1 / scale, 1 / scale, 1 / scale, 1.0])


def linear_from_srgb(srgb: np.ndarray) -> np.ndarray:
    """Scene-linear values of sRGB ones, held in 0 ... 1 (IEC 61966-2-1), float32.

    By a table of 4096 steps: splats come by the million, and a power of each would stop Blender for a moment.
    """
    steps = np.linspace(0, 1, 4096)
    table = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[(np.clip(srgb, 0, 1) * 4095 + 0.5).astype(np.int32)]


def upright(matrix: np.ndarray) -> np.ndarray:
    """A Blender camera's rigid matrix (4, 4) where it stands, turned level: it keeps its heading and loses pitch and
    roll. One that looks straight up or down heads where the upper edge, or the lower one, of its picture points."""
    forward, up = -matrix[:3, 2], matrix[:3, 1]
    heading = forward if np.hypot(*forward[:2]) > 1e-3 else -np.sign(forward[2]) * up
    heading = np.array([*heading[:2], 0.0]) / np.hypot(*heading[:2])
    level = np.eye(4)
    level[:3, 0], level[:3, 1], level[:3, 2] = np.cross(heading, [0, 0, 1]), [0, 0, 1], -heading
    level[:3, 3] = matrix[:3, 3]
    return level


def turn_between(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The smallest rotation (4, 4) that takes the unit vector `before` (3,) to `after` (3,): Rodrigues' formula."""
    axis, cosine = np.cross(before, after), float(np.dot(before, after))
    turn = np.eye(4)
    if cosine < -1 + 1e-9:
        # Opposite: half a turn about any axis across.
        across = np.cross(before, np.eye(3)[np.abs(before).argmin()])
        across /= np.linalg.norm(across)
        turn[:3, :3] = 2 * np.outer(across, across) - np.eye(3)
        return turn
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn[:3, :3] += skew + skew @ skew / (1 + cosine)
    return turn


def standing(matrix: np.ndarray, up: tuple[float, ...]) -> np.ndarray:
    """Where a world stands upright (4, 4, OpenCV axes, rigid) whose empty is level at `matrix` and whose direction
    against gravity is `up` (3,)."""
    return matrix @ turn_between(np.array(up), np.array([0.0, -1.0, 0.0]))
