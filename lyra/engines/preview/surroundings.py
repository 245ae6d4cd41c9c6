"""What lies beyond the borders of the source image: a dome, the ground as its plane, and what stands on it.

Everything is in level axes around the source camera, so that elevation alone decides how far the ground is, and what
is copied to another azimuth keeps its distance, its scale and its foot on the ground.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lyra.depth.level_grid import level_rotation
from lyra.depth.place import CEILING, GROUND, find_ground
from lyra.engines.preview.backdrop import Cylinder, quilted, unrolled
from lyra.engines.preview.ground import GroundPlane
from lyra.engines.preview.layers import Layer
from lyra.engines.preview.level import LevelView, about_x, about_y, angles_of, pixel_rays
from lyra.engines.preview.tiles import Example, TiledTexture
from lyra.engines.preview.walls import find_walls
from lyra.geometry.views import View

# Faces towards all sides, one every 45 degrees, reach this high and low; two caps close the rest.
REACH = np.radians(42)
CAP = np.radians(51)
# Resolution of the faces, as a share of the image's: ahead and to the sides, behind, and of the caps. The dome, which
# has little detail and many pixels, has this share of it.
AHEAD, BEHIND, ABOVE, DOME = 0.65, 0.35, 0.35, 0.4
# Ground seen from the camera is squeezed into few rows near the horizon. Between these ranges, in heights of the
# camera, it is stored as seen from above it: from this many heights higher up.
SQUEEZED, LIFT = (5.0, 60.0), 3.0
# Azimuth from which a face counts as behind.
TURNED = np.radians(120)
# Tiles of the dome and of the ground: (elevation, azimuth) and (log range, azimuth) in radians.
DOME_TILE, GROUND_TILE = (np.radians(6), np.radians(10)), (0.16, 0.16)
# Rows of the ground's map per unit of log range, as a share of the columns per radian.
SQUEEZE = 0.5
# Ground is shown by example up to this elevation below the horizon.
NEAR_HORIZON = np.radians(0.7)
# What differs from the ground's plane by less than this share of its disparity lies on it.
ON_PLANE = 0.15
# A picture with less sky than this share of its pixels has a dome at finite distance.
LEAST = 0.01
# What goes on under the image has at most this share of its disparity, so that the image itself is in front.
UNDER = 0.93
# Width of the image's rim, in pixels of a face, that what lies beyond must not hide either.
RIM = 1.5
# Tiles fade out between these azimuths: straight behind, the map's two ends meet.
FADES = np.radians([120, 165])


@dataclass(frozen=True)
class Place:
    """What the source image shows of its place.

    `image` (H, W, 3) float32 in [0, 255] and `disparity` (H, W); `sky` and `ground` (H, W) bool; `nearest` (H, W), the
    disparity that nothing around may hide; `plane`, the ground's; `level`, the source camera; `dome`, the disparity of
    what closes the view above, 0 for sky; `above` (H, W) bool, a ceiling, and `ceiling`, its height above the camera,
    inf where there is none.
    """

    image: np.ndarray
    disparity: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    nearest: np.ndarray
    plane: GroundPlane
    level: LevelView
    dome: float
    above: np.ndarray
    ceiling: float


@dataclass(frozen=True)
class Face:
    """A camera: `w2c` (4, 4), `intrinsics` (3, 3), and its rays (H, W, 3) in level axes, of depth 1."""

    w2c: np.ndarray
    intrinsics: np.ndarray
    rays: np.ndarray


def faces(level: LevelView, detail: float = 1.0, lift: float = 0.0) -> Iterator[Face]:
    """Cameras at the origin of the world, or `lift` units above it, that together see every direction.

    Their resolution is that of AHEAD, BEHIND and ABOVE times `detail`. Lifted ones do not look straight up and down.
    """
    focal = float(level.intrinsics[0, 0]) * detail
    for number in range(-3, 5):
        turn = number * np.pi / 4
        scale = AHEAD if abs(turn) < TURNED else BEHIND
        yield _face(level, about_y(turn).T, focal * scale, np.pi / 8, REACH, lift)
    if lift:
        return
    for tilt in (-np.pi / 2, np.pi / 2):
        yield _face(level, about_x(tilt).T, focal * ABOVE, CAP, CAP)


def _face(
    level: LevelView,
    turn: np.ndarray,
    focal: float,
    half_width: float,
    half_height: float,
    lift: float = 0.0,
) -> Face:
    """`turn` (3, 3) maps level axes to the face's own."""
    half = [int(np.ceil(focal * np.tan(angle))) + 2 for angle in (half_height, half_width)]
    intrinsics = np.array([[focal, 0, half[1]], [0, focal, half[0]], [0, 0, 1.0]])
    w2c = np.eye(4)
    w2c[:3, :3] = turn @ level.axes
    w2c[:3, 3] = turn @ np.array([0.0, lift, 0.0])
    return Face(w2c, intrinsics, pixel_rays(intrinsics, 2 * half[0], 2 * half[1]) @ turn)


class Field:
    """Dome, ground and ceiling of a place: colours and disparities in every direction."""

    def __init__(self, place: Place, seed: int, device="cpu"):
        self.place = place
        level = place.level
        self.density = float(level.intrinsics[0, 0])
        self.scale = 1 / place.plane.height
        self.dome = self._dome_texture(seed, device)
        lies = place.ground & (level.angles()[1] < -NEAR_HORIZON)
        if lies.mean() < LEAST:
            lies = np.zeros_like(lies)
            lies[-max(2, len(lies) // 6) :] = True
        self.ground = self._plane_texture(lies, 1, seed + 1, device)
        self.ceiling = None
        over = place.above & (level.angles()[1] > NEAR_HORIZON)
        if np.isfinite(place.ceiling) and over.mean() > LEAST:
            self.ceiling = self._plane_texture(over, -1, seed + 3, device)

    def _dome_texture(self, seed: int, device) -> TiledTexture:
        place, density = self.place, self.density
        azimuth, elevation = place.level.angles()
        rows = -elevation * density
        source = place.sky
        if place.dome > 0:
            source = ~place.ground & (elevation > np.quantile(elevation, 0.75))
            source = source if source.mean() > LEAST else elevation > np.quantile(elevation, 0.75)
        example = _rectified(place, rows[source], azimuth[source] * density, source, self._to_dome)
        quarter = np.pi / 2 * density
        bounds = (-quarter, 0.35 * quarter, -2 * quarter, 2 * quarter)
        tile = tuple(density * side for side in DOME_TILE)
        return TiledTexture(example, bounds, tile, density * np.radians(0.6), density * 0.04, seed, device)

    def _to_dome(self, rows: np.ndarray, columns: np.ndarray):
        return columns / self.density, -rows / self.density

    def _plane_rows(self, elevation: np.ndarray, side: int) -> np.ndarray:
        """Rows of the map of the ground (`side` 1) or the ceiling (-1): minus the logarithm of the range on it."""
        beyond = np.maximum(-side * elevation, NEAR_HORIZON)
        return np.log(np.tan(np.minimum(beyond, 1.55))) * SQUEEZE * self.density

    def _plane_texture(self, source: np.ndarray, side: int, seed: int, device) -> TiledTexture:
        place, density = self.place, self.density
        azimuth, elevation = place.level.angles()

        def to_plane(rows: np.ndarray, columns: np.ndarray):
            return columns / density, -side * np.arctan(np.exp(rows / (SQUEEZE * density)))

        rows = self._plane_rows(elevation, side)
        example = _rectified(place, rows[source], azimuth[source] * density, source, to_plane)
        extent = [float(self._plane_rows(np.array(e), 1)) for e in (0.0, -np.pi / 2)]
        half = np.pi * density
        tile = (density * SQUEEZE * GROUND_TILE[0], density * GROUND_TILE[1])
        bounds = (extent[0], extent[1], -half, half)
        return TiledTexture(example, bounds, tile, density * np.radians(0.8), tile[0] * 0.6, seed, device)

    def _strength(self, azimuth: np.ndarray) -> np.ndarray:
        return np.clip((FADES[1] - np.abs(azimuth)) / (FADES[1] - FADES[0]), 0, 1)

    def dome_colours(self, rays: np.ndarray) -> np.ndarray:
        """Colours (n, 3) in [0, 255] of the dome in directions (n, 3) in level axes."""
        azimuth, elevation = angles_of(rays)
        painted = self.dome.paint(-elevation * self.density, azimuth * self.density, self._strength(azimuth))
        return painted.clip(0, 255)

    def plane_colours(self, points: np.ndarray) -> np.ndarray:
        """Colours (n, 3) in [0, 255] of ground and ceiling in the directions of `points` (n, 3) in level axes."""
        azimuth, elevation = angles_of(points)
        columns, strength = azimuth * self.density, self._strength(azimuth)
        result = np.empty((len(points), 3), np.float32)
        for texture, side in ((self.ground, 1), (self.ceiling, -1)):
            chosen = points[:, 1] * side > 0
            if texture is not None and chosen.any():
                rows = self._plane_rows(elevation[chosen], side)
                result[chosen] = texture.paint(rows, columns[chosen], strength[chosen])
        return result.clip(0, 255)

    def on_ground(self, rays: np.ndarray) -> np.ndarray:
        """Which directions (...) meet the ground before the dome."""
        return rays[..., 1] * self.scale > self.place.dome * np.linalg.norm(rays, axis=-1)

    def on_ceiling(self, rays: np.ndarray) -> np.ndarray:
        """Which directions (...) meet the ceiling before the dome."""
        if self.ceiling is None:
            return np.zeros(rays.shape[:-1], bool)
        return -rays[..., 1] / self.place.ceiling > self.place.dome * np.linalg.norm(rays, axis=-1)

    def on_plane(self, rays: np.ndarray) -> np.ndarray:
        """Which directions (...) meet ground or ceiling before the dome."""
        return self.on_ground(rays) | self.on_ceiling(rays)

    def disparity(self, rays: np.ndarray) -> np.ndarray:
        """Disparity (...) where `rays` (..., 3), in level axes and of depth 1, meet ground or ceiling; 0 elsewhere."""
        over = 0.0 if self.ceiling is None else -rays[..., 1] / self.place.ceiling
        flat = np.maximum(rays[..., 1] * self.scale, over)
        return np.where(self.on_plane(rays), flat, 0).astype(np.float32)


def _rectified(place: Place, rows: np.ndarray, columns: np.ndarray, source: np.ndarray, to_angles) -> Example:
    """The part `source` (H, W) bool of the image on a map, on which its pixels lie at `rows` and `columns` (n,)."""
    top, left = np.floor(rows.min()), np.floor(columns.min())
    shape = (int(rows.max() - top) + 2, int(columns.max() - left) + 2)
    at_rows = top + np.arange(shape[0])[:, None] + np.zeros(shape[1])
    at_columns = left + np.arange(shape[1]) + np.zeros((shape[0], 1))
    y, x, inside = place.level.pixels(*to_angles(at_rows, at_columns))
    y, x = (np.where(inside, values, 0).astype(np.float32) for values in (y, x))
    # Pixels at the rim of the source are mixed with what lies behind or in front.
    pure = ndimage.binary_erosion(source, iterations=2, border_value=1)
    pure = pure if pure.any() else source
    colours = [
        ndimage.map_coordinates(np.ascontiguousarray(place.image[..., c]), [y, x], order=1, mode="nearest")
        for c in range(3)
    ]
    valid = inside & (
        ndimage.map_coordinates(pure.astype(np.float32), [y, x], order=1, mode="nearest") > 0.99
    )
    if not valid.any():
        valid = inside
    return Example(np.stack(colours, -1).astype(np.float32), valid, (float(top), float(left)))


def surround(
    place: Place, made_up: np.ndarray, seed: int, tick: Callable[[], None] = lambda: None, device="cpu"
) -> list[Layer]:
    """Layers that show the place in every direction beyond the borders of its image.

    `made_up` (H, W) bool are the pixels of the place's image that no camera saw.
    """
    field = Field(place, seed, device)
    tick()
    backdrop = _backdrop(place, made_up, seed + 2, device)
    tick()
    walls = find_walls(
        place.level,
        place.image,
        place.disparity,
        ~place.sky & ~place.ground & ~place.above,
        ~made_up,
        place.ceiling,
        seed + 4,
        device,
    )
    tick()
    layers: list[Layer] = []
    for face in faces(place.level, DOME):
        tick()
        _, _, inside, limit = _before_image(place, field, face)
        # The dome does not go on under the image: it would show through houses.
        open_air = ndimage.binary_dilation(~field.on_plane(face.rays), iterations=2)
        drawn = open_air & (~inside | (limit == 0))
        far = np.minimum(place.dome * np.linalg.norm(face.rays, axis=-1), limit)
        _add(layers, face, far, drawn, field.dome_colours)
    for face in faces(place.level, lift=LIFT * place.plane.height):
        tick()
        _add_distant_ground(layers, place, field, face)
    for face in faces(place.level):
        tick()
        nearest, flat, inside, limit = _before_image(place, field, face)
        ranges = 1 / np.maximum(
            np.abs(face.rays[..., 1]) / np.hypot(face.rays[..., 0], face.rays[..., 2]), 1e-9
        )
        squeezed = (ranges > SQUEEZED[0] * 1.2) & (ranges < SQUEEZED[1] / 1.2) & (face.rays[..., 1] > 0)
        # Ground goes on under the image, wherever it lies behind it.
        _add(layers, face, np.minimum(nearest, limit), flat & (inside | ~squeezed), field.plane_colours)
        free = np.ones(flat.shape, bool)
        for wall in walls:
            there = wall.disparity(face.rays)
            up = free & (there > nearest) & (there * UNDER < 1.05 * limit)
            _add(layers, face, np.minimum(there, limit), up, wall.colours)
            free &= ~up
        if backdrop is not None:
            image, there, stands = backdrop.look_up(face.rays)
            stands &= (there < limit) & free
            if stands.any():
                layers.append(Layer.cut(image, there, stands, face.w2c, face.intrinsics))
    return layers


def _add(
    layers: list[Layer],
    face: Face,
    disparity: np.ndarray,
    drawn: np.ndarray,
    colours: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray | None = None,
) -> None:
    """Adds the pixels `drawn` (H, W) of a face; `colours` gives those (n, 3) of its rays, or of `points` (H, W, 3)."""
    if drawn.any():
        image = np.zeros((*drawn.shape, 3), np.float32)
        image[drawn] = colours((face.rays if points is None else points)[drawn])
        layers.append(Layer.cut(image, disparity, drawn, face.w2c, face.intrinsics))


def _add_distant_ground(layers: list[Layer], place: Place, field: Field, face: Face) -> None:
    """Adds what a lifted face sees of the ground that is squeezed for the camera, beside its image."""
    eye = place.plane.height
    lift = LIFT * eye
    down = face.rays[..., 1]
    disparity = np.where(down > 1e-6, down / (eye + lift), 0).astype(np.float32)
    points = face.rays / np.maximum(disparity, 1e-9)[..., None] - np.array([0.0, lift, 0.0])
    ranges = np.hypot(points[..., 0], points[..., 2]) / eye
    drawn = (disparity > 0) & (ranges > SQUEEZED[0]) & (ranges < SQUEEZED[1])
    drawn &= field.on_ground(points)
    inside, _ = _behind_image(place, points, RIM)
    drawn &= ~inside
    _add(layers, face, disparity, drawn, field.plane_colours, points)


def _before_image(place: Place, field: Field, face: Face) -> tuple[np.ndarray, ...]:
    """Disparity of ground and ceiling along a face's rays, where they are, and what `_behind_image` says of them."""
    rim = RIM / min(1.0, face.intrinsics[0, 0] / field.density)
    return field.disparity(face.rays), field.on_plane(face.rays), *_behind_image(place, face.rays, rim)


def _behind_image(place: Place, rays: np.ndarray, rim: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of `rays` (H, W, 3) meet the image within its rim, and the largest disparity that hides neither.

    Both (H, W); the camera of the rays is where the image's is, and the rim `rim` pixels wide.
    """
    rows, columns, front = place.level.positions(rays)
    height, width = place.nearest.shape
    y, x = (np.where(front, axis, -1e6) for axis in (rows, columns))
    # By how many pixels a ray misses the image.
    beside = np.maximum(np.maximum(-0.5 - y, y - height + 0.5), np.maximum(-0.5 - x, x - width + 0.5))
    y, x = (np.rint(axis).clip(0, side - 1).astype(np.int64) for axis, side in ((y, height), (x, width)))
    # Disparity is relative to each camera's own axis.
    limit = UNDER * place.nearest[y, x] * (rays @ place.level.axes[:, 2])
    return beside < -rim, np.where(beside < rim, limit, np.inf).astype(np.float32)


def _backdrop(place: Place, made_up: np.ndarray, seed: int, device) -> Cylinder | None:
    """What stands around the place; None where nothing does."""
    stands = ~place.sky & ~place.ground & ~_too_near(place)
    stands = ndimage.binary_opening(stands, iterations=2)
    if stands.mean() < LEAST:
        return None
    density = float(place.level.intrinsics[0, 0]) * AHEAD
    source = unrolled(place.level, place.image, place.disparity, stands, made_up, density)
    return quilted(source, seed, device)


def _too_near(place: Place) -> np.ndarray:
    """Pixels (H, W) nearer than the ground at the image's lower border, which cuts what stands there."""
    rays = pixel_rays(place.level.intrinsics, *place.disparity.shape) @ place.level.axes.T
    ranges = np.hypot(rays[..., 0], rays[..., 2])
    lowest = rays[-1, rays.shape[1] // 2]
    limit = lowest[1] / np.hypot(lowest[0], lowest[2]) / place.plane.height
    return place.disparity / ranges > 0.8 * max(limit, 0)


def place_of(view: View, disparity: np.ndarray, fallback: GroundPlane | None) -> Place:
    """The place that `view` shows with `disparity` (H, W).

    Gravity and ground are those of lyra.depth.place. Where the image does not tell them, the ground is the plane
    `fallback`, without its roll, and where there is none either, a level plane below the lower border.
    """
    found = find_ground(view.image, view.depth, view.intrinsics)
    sky = disparity <= 0
    if np.isfinite(found.height):
        down = -found.up
        level = LevelView(level_rotation(-down), view.intrinsics, *disparity.shape)
        plane = GroundPlane(down, found.height)
        lies = found.labels == GROUND
        above = found.labels == CEILING
    else:
        tilt = 0.0 if fallback is None else np.arctan2(fallback.normal[2], fallback.normal[1])
        down = np.array([0.0, np.cos(tilt), np.sin(tilt)])
        level = LevelView(level_rotation(-down), view.intrinsics, *disparity.shape)
        plane = _assumed_ground(disparity, level) if fallback is None else GroundPlane(down, fallback.height)
        lies = _on_plane(disparity, plane, view.intrinsics)
        above = np.zeros_like(lies)
    ceiling = _ceiling(disparity, above, level)
    dome = 0.0 if sky.mean() > LEAST else 0.5 * float(np.quantile(disparity[~sky], 0.1))
    # Between two pixels of different depth the farther one counts.
    nearest = ndimage.minimum_filter(disparity, 3)
    return Place(
        view.image.astype(np.float32),
        disparity,
        sky,
        lies & ~sky,
        nearest,
        plane,
        level,
        dome,
        above,
        ceiling,
    )


def _ceiling(disparity: np.ndarray, above: np.ndarray, level: LevelView) -> float:
    """Height of the ceiling `above` (H, W) bool over the camera, in units of depth; inf where there is none."""
    known = above & (disparity > 0)
    if known.mean() < LEAST:
        return np.inf
    rays = pixel_rays(level.intrinsics, level.height, level.width) @ level.axes.T
    height = float(np.median(-rays[known, 1] / disparity[known]))
    return height if height > 0 else np.inf


def without_things(place: Place, image: np.ndarray, disparity: np.ndarray, filled: np.ndarray) -> Place:
    """The place with the background `image` (H, W, 3) and `disparity` (H, W) where it is `filled` (H, W) bool."""
    sky = disparity <= 0
    lies = np.where(filled, _on_plane(disparity, place.plane, place.level.intrinsics), place.ground)
    return replace(place, image=image, disparity=disparity, sky=sky, ground=lies & ~sky)


def _on_plane(disparity: np.ndarray, plane: GroundPlane, intrinsics: np.ndarray) -> np.ndarray:
    floor = plane.disparity(np.eye(4), intrinsics, *disparity.shape)
    return (floor > 0) & (np.abs(disparity - floor) < ON_PLANE * np.maximum(disparity, floor))


def _assumed_ground(disparity: np.ndarray, level: LevelView) -> GroundPlane:
    """A level plane through what the middle of the image's lower border shows; for sky alone, far below."""
    height, width = disparity.shape
    lowest = disparity[-max(1, height // 20) :, width // 4 : max(width // 4 + 1, 3 * width // 4)]
    _, elevation = level.angles()
    steep = max(float(np.tan(-elevation[-1, width // 2])), 0.05)
    nearest = float(np.median(lowest))
    return GroundPlane(level.axes[1], steep / nearest if nearest > 0 else 1e4)
