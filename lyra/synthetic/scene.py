"""A scene under construction: solids, materials, lamps, air and terrain, in plain numbers.

Scene frame: z up, x right, y forward, metres; rotations are given as yaw (around z, counter-clockwise seen from
above), then pitch (around the turned x axis) and roll (around the turned y axis), in radians.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

import lyra.geometry  # noqa: F401  silences Warp before its first launch
from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.shape_kernels import Solid
from lyra.synthetic.surface_kernels import Material
from lyra.synthetic.tracing_kernels import Lamp

SOLID = np.dtype(Solid.numpy_dtype())
MATERIAL = np.dtype(Material.numpy_dtype())
LAMP = np.dtype(Lamp.numpy_dtype())
# Solids larger than this are not culled by their bounding ball.
WIDE = 400.0

Vec = tuple[float, float, float]


def vector(values: Iterable[float]) -> Vec:
    """Three numbers as a vector."""
    x, y, z = values
    return x, y, z


def turn(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation (3, 3) from an object's own axes into the scene."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (math.cos, math.sin))
    return np.array(
        [
            [cy * cr - sy * sp * sr, -sy * cp, cy * sr + sy * sp * cr],
            [sy * cr + cy * sp * sr, cy * cp, sy * sr - cy * sp * cr],
            [-cp * sr, sp, cp * cr],
        ]
    )


@dataclass
class Pose:
    """A camera pose: `eye`, and direction as yaw (0 is +y, positive turns left), pitch (up) and roll, in radians."""

    eye: Vec
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) from OpenCV camera axes into the scene frame."""
        own = turn(self.yaw, self.pitch, self.roll)
        return np.stack([own[:, 0], -own[:, 2], own[:, 1]], 1)

    @property
    def up(self) -> np.ndarray:
        """(3,) the unit vector against gravity, in OpenCV camera axes."""
        return self.rotation[2]


@dataclass
class Scene:
    """A procedural scene. `rng` is its only source of randomness; `kind` is the layout that filled it.

    `cameras` are the layout's intended viewpoints, `fov` the horizontal angle in radians. Ambient occlusion reaches
    `open_reach` metres.
    """

    kind: str
    rng: np.random.Generator
    solids: list = field(default_factory=list)
    bounds: list = field(default_factory=list)
    materials: list = field(default_factory=list)
    lamps: list = field(default_factory=list)
    cameras: list[Pose] = field(default_factory=list)
    air: dict = field(default_factory=dict)
    terrain: dict = field(default_factory=dict)
    fov: float = 1.1
    indoor: bool = False
    open_reach: float = 2.5
    torch: Vec = (0.0, 0.0, 0.0)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def pick(self, options):
        return options[int(self.rng.random() * len(options))]

    def weighted(self, weights: dict[str, float]) -> str:
        """A key drawn in proportion to its weight."""
        edges = list(itertools.accumulate(weights.values()))
        return list(weights)[min(bisect.bisect(edges, self.rng.random() * edges[-1]), len(edges) - 1)]

    def material(self, **fields) -> int:
        """Adds a material (fields of surface_kernels.Material) and returns its index."""
        self.materials.append(fields)
        return len(self.materials) - 1

    def lamp(self, at: Vec, light: Vec, reach: float) -> None:
        self.lamps.append({"at": at, "light": light, "reach": reach})

    def solid(
        self,
        kind: int,
        centre: Vec,
        half: Vec,
        material: int,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        shape: tuple = (0.0, 0.0, 0.0, 0.0),
        cut: int = 0,
        cut_size: float = 1.0,
        cut_share: float = 0.5,
    ) -> None:
        """Adds one solid; `half` are its half sizes along its own axes, the rest as in shape_kernels.Solid."""
        own = turn(yaw, pitch, roll)
        to_local = own.T / np.array(half)[:, None]
        seed = int(self.rng.random() * 65536)
        shape = (*shape, 0.0, 0.0, 0.0, 0.0)[:4]
        self.solids.append((kind, material, cut, seed, to_local, centre, half, shape, cut_size, cut_share))
        if kind == shapes.ELLIPSOID or kind == shapes.ROCK or kind == shapes.DOME:
            radius = max(half)
        elif kind in (shapes.FRUSTUM, shapes.RING, shapes.TORUS):
            across = max(half[0], half[1]) if kind != shapes.TORUS else max(half)
            widest = max(1.0, shape[0]) if kind == shapes.FRUSTUM else 1.0
            radius = math.hypot(across * widest, half[2]) if kind != shapes.TORUS else across
        else:
            radius = math.sqrt(half[0] ** 2 + half[1] ** 2 + half[2] ** 2)
        self.bounds.append((*centre, -1.0 if radius > WIDE else radius * 1.001))

    def box(self, centre: Vec, half: Vec, material: int, yaw: float = 0.0, **more) -> None:
        self.solid(shapes.BOX, centre, half, material, yaw, **more)

    def block(self, low: Vec, high: Vec, material: int, **more) -> None:
        """A box between two corners."""
        pairs = tuple(zip(low, high, strict=True))
        centre = vector(0.5 * (a + b) for a, b in pairs)
        half = vector(max(0.5 * abs(b - a), 1e-3) for a, b in pairs)
        self.solid(shapes.BOX, centre, half, material, **more)

    def ball(self, centre: Vec, radius: float | Vec, material: int, yaw: float = 0.0, **more) -> None:
        half = (radius,) * 3 if isinstance(radius, int | float) else radius
        self.solid(shapes.ELLIPSOID, centre, half, material, yaw, **more)

    def column(
        self, foot: Vec, height: float, radius: float, material: int, top: float = 1.0, **more
    ) -> None:
        """An upright frustum; `top` is the radius there over `radius`."""
        centre = (foot[0], foot[1], foot[2] + 0.5 * height)
        self.solid(shapes.FRUSTUM, centre, (radius, radius, 0.5 * height), material, shape=(top,), **more)

    def roof(self, centre: Vec, half: Vec, material: int, ridge: float = 1.0, yaw: float = 0.0) -> None:
        """A roof with eaves at centre z - half z and its ridge, along its own y, at centre z + half z."""
        self.solid(shapes.ROOF, centre, half, material, yaw, shape=(ridge,))

    def rock(self, centre: Vec, half: Vec, material: int, depth: float = 0.45, **more) -> None:
        self.solid(shapes.ROCK, centre, half, material, shape=(depth,), **more)

    def portal(
        self,
        foot: Vec,
        half: Vec,
        material: int,
        opening: tuple[float, float, float, float],
        yaw: float = 0.0,
    ) -> None:
        """A wall standing at `foot` with a passage along its own y.

        `opening` in metres: half width, sill, spring line and rise of its head, heights above the foot.
        """
        height = 2 * half[2]
        width, sill, spring, rise = opening
        shape = (width / half[0], 2 * sill / height - 1, 2 * spring / height - 1, 2 * rise / height)
        if sill <= 0:
            shape = (shape[0], -2.0, *shape[2:])
        self.solid(shapes.PORTAL, (foot[0], foot[1], foot[2] + half[2]), half, material, yaw, shape=shape)

    def see_from(self, eye: Vec, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> None:
        """Adds a viewpoint."""
        self.cameras.append(Pose(eye, yaw, pitch, roll))
