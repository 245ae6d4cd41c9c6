"""Preset camera paths as control points, scaled by the depth of what the camera sees. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class PathStart:
    """Where a path begins, in the scene: `position` (3,), unit axes `right`, `up`, `forward` (3,) of the camera, and
    the `depth` of what it looks at, in scene units."""

    position: np.ndarray
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    depth: float

    @classmethod
    def of_camera(cls, matrix: np.ndarray, depth: float) -> PathStart:
        """From a rigid Blender camera matrix (4, 4)."""
        return cls(matrix[:3, 3], matrix[:3, 0], matrix[:3, 1], -matrix[:3, 2], depth)

    @property
    def target(self) -> np.ndarray:
        """The point in the middle of the picture, (3,)."""
        return self.position + self.forward * self.depth

    @property
    def level_forward(self) -> np.ndarray:
        """Forward in the horizontal plane, (3,); straight forward for a camera that looks straight up or down."""
        level = self.forward - UP * (self.forward @ UP)
        length = np.linalg.norm(level)
        return level / length if length > 1e-3 else self.forward


@dataclass(frozen=True)
class PathShape:
    """`points` (K, 3) in the scene, the first at the start; whether the camera keeps `tracking` the target; `turns`
    are (moment in 0 ... 1, yaw in radians) pairs of a camera that looks about instead."""

    points: np.ndarray
    tracking: bool = False
    turns: tuple[tuple[float, float], ...] = ()


def push_in(start: PathStart, amount: float) -> PathShape:
    return _straight(start, start.forward * amount)


def pull_out(start: PathStart, amount: float) -> PathShape:
    return _straight(start, -start.forward * amount)


def orbit(start: PathStart, amount: float) -> PathShape:
    """An arc about the vertical axis through the target; `amount` is its angle in radians."""
    arm = start.position - start.target
    steps = np.linspace(0, amount, 7)
    upright = UP * (arm @ UP)
    level = arm - upright
    side = np.cross(UP, level)
    points = start.target + upright + np.cos(steps)[:, None] * level + np.sin(steps)[:, None] * side
    return PathShape(points, tracking=True)


def crane(start: PathStart, amount: float) -> PathShape:
    rise = np.linspace(0, 1, 4)[:, None]
    lead = start.level_forward * (0.25 * amount * start.depth)
    return PathShape(start.position + rise * UP * (amount * start.depth) + rise**2 * lead, tracking=True)


def walk(start: PathStart, amount: float) -> PathShape:
    """Forward on the level, swaying a little to either side."""
    along = np.linspace(0, 1, 6)[:, None]
    sway = np.sin(2 * np.pi * along) * start.right * 0.06
    return PathShape(start.position + start.depth * amount * (along * start.level_forward + sway))


def look_around(start: PathStart, amount: float) -> PathShape:
    """A few steps forward while the view turns to one side, to the other and back; `amount` is the angle."""
    turns = ((0.0, 0.0), (0.25, amount), (0.75, -amount), (1.0, 0.0))
    return PathShape(_straight(start, start.level_forward * 0.05).points, turns=turns)


def _straight(start: PathStart, motion: np.ndarray) -> PathShape:
    return PathShape(start.position + np.linspace(0, 1, 3)[:, None] * motion * start.depth)


@dataclass(frozen=True)
class Preset:
    label: str
    description: str
    make: Callable[[PathStart, float], PathShape]
    amount: float


PRESETS = {
    "PUSH_IN": Preset("Push In", "Straight ahead", push_in, 0.25),
    "PULL_OUT": Preset("Pull Out", "Straight back", pull_out, 0.25),
    "ORBIT": Preset("Orbit", "Around the centre of the view, facing it", orbit, 0.35),
    "CRANE": Preset("Crane", "Up, facing the centre of the view", crane, 0.25),
    "WALK": Preset("Walk", "Forward at constant height, swaying slightly", walk, 0.35),
    "LOOK_AROUND": Preset("Look Around", "Turning to either side, with little movement", look_around, 0.4),
}
