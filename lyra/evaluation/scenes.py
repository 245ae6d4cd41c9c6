"""Scenes with ground truth: two ray-cast painted ones, and the example rendered in Blender."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import warp as wp
from PIL import Image
from scipy.spatial.transform import Rotation

import lyra.geometry  # noqa: F401  silences Warp before its first launch
from lyra.common.arrays_file import ArrayLimit, read_arrays
from lyra.evaluation import scene_kernels as kernels
from lyra.geometry.cameras import Trajectory, fit_intrinsics, intrinsics_from_fov
from lyra.geometry.views import View

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZE = (480, 832)
SAMPLES = 3


class TrueScene(Protocol):
    """A scene for evaluation: `name`, `first` (view of frame 0), a `trajectory` of 81 cameras, truth at `frames`."""

    @property
    def name(self) -> str: ...

    @property
    def first(self) -> View: ...

    @property
    def trajectory(self) -> Trajectory: ...

    @property
    def frames(self) -> Sequence[int]: ...

    def truth(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 and z-depth (H, W) float32 of one of `frames`."""
        ...


@dataclass(frozen=True)
class PaintedScene:
    """A scene of boxes, columns and balls. Shadows reach `shadow_reach`; `haze` is a density per unit of length."""

    name: str
    things: Sequence[dict]
    light: tuple[float, float, float]
    shadow_reach: float
    haze: float
    fov: float
    motion: np.ndarray
    size: tuple[int, int] = SIZE
    frames: Sequence[int] = (20, 40, 60, 80)

    @property
    def intrinsics(self) -> np.ndarray:
        return fit_intrinsics(intrinsics_from_fov(np.radians(self.fov), *SIZE), SIZE, self.size)

    @property
    def first(self) -> View:
        return View.at_origin(*self.view(np.eye(4)), self.intrinsics)

    @property
    def trajectory(self) -> Trajectory:
        """From the origin to `motion` = (x, y, z, yaw degrees, pitch degrees), eased in and out."""
        share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 81))
        return path([self.motion * s for s in share], self.intrinsics, self.size)

    def truth(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        return self.view(self.trajectory.w2c[frame])

    def view(self, w2c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 and z-depth (H, W) float32 of a camera."""
        wp.init()
        things = []
        for fields in self.things:
            thing = kernels.Thing()
            for name, value in fields.items():
                setattr(thing, name, value)
            things.append(thing)
        image = wp.zeros(self.size, dtype=wp.vec3, device="cpu")
        depth = wp.zeros(self.size, dtype=wp.float32, device="cpu")
        c2w = np.linalg.inv(w2c)
        k = self.intrinsics
        wp.launch(
            kernels.paint,
            self.size,
            [
                wp.array(things, dtype=kernels.Thing, device="cpu"),
                wp.mat33(c2w[:3, :3].astype(np.float32)),
                wp.vec3(*c2w[:3, 3]),
                k[0, 0],
                k[0, 2],
                k[1, 2],
                wp.normalize(wp.vec3(*self.light)),
                self.shadow_reach,
                self.haze,
                SAMPLES,
            ],
            [image, depth],
            device="cpu",
        )
        return np.rint(255 * image.numpy().clip(0, 1)).astype(np.uint8), depth.numpy().copy()


def path(motions: Sequence[np.ndarray], intrinsics: np.ndarray, size: tuple[int, int]) -> Trajectory:
    """Cameras at motions (x, y, z, yaw degrees, pitch degrees) from the origin; yaw turns right, pitch down."""
    c2w = np.tile(np.eye(4), (len(motions), 1, 1))
    for pose, (x, y, z, yaw, pitch) in zip(c2w, motions, strict=True):
        pose[:3, :3] = Rotation.from_euler("YX", [yaw, -pitch], degrees=True).as_matrix()
        pose[:3, 3] = x, y, z
    return Trajectory(np.linalg.inv(c2w), np.tile(intrinsics, (len(motions), 1, 1)), *size)


def _box(low, high, dark, light, block=0.0, dab=0.5) -> dict:
    return {"kind": kernels.BOX, "low": wp.vec3(*low), "high": wp.vec3(*high)} | _look(
        dark, light, block, dab
    )


def _column(x, z, radius, top, bottom, dark, light, dab=0.3) -> dict:
    shape = {
        "kind": kernels.COLUMN,
        "low": wp.vec3(x, top, z),
        "high": wp.vec3(x, bottom, z),
        "radius": radius,
    }
    return shape | _look(dark, light, 0.0, dab)


def _ball(centre, radius, dark, light, dab=0.3) -> dict:
    return {"kind": kernels.BALL, "low": wp.vec3(*centre), "radius": radius} | _look(dark, light, 0.0, dab)


def _look(dark, light, block, dab) -> dict:
    return {"dark": wp.vec3(*dark), "light": wp.vec3(*light), "block": block, "dab": dab}


def hall(size: tuple[int, int] = SIZE) -> PaintedScene:
    """A columned hall without sky; the camera moves in and turns slightly."""
    stone = ((0.45, 0.38, 0.34), (0.85, 0.76, 0.64))
    things = [
        _box((-6, -4.5, -8), (6, 1.7, 22), (0.36, 0.30, 0.30), (0.76, 0.66, 0.55), block=0.8, dab=0.9),
        _box((-1.4, 1.66, -8), (1.4, 1.8, 22), (0.42, 0.10, 0.10), (0.66, 0.22, 0.16), dab=0.4),
        _box((-2.2, 0.9, 19), (2.2, 1.75, 21.9), *stone, block=0.5),
        _ball((0, 0.1, 20), 0.8, (0.25, 0.35, 0.38), (0.55, 0.68, 0.66)),
    ]
    for z in (4.5, 8.5, 12.5, 16.5):
        for x in (-3.2, 3.2):
            things.append(_column(x, z, 0.42, -4.6, 1.8, *stone))
            things.append(_box((x - 0.6, 1.35, z - 0.6), (x + 0.6, 1.8, z + 0.6), *stone, dab=0.3))
    motion = np.array([0.7, 0.0, 1.4, -3.0, 0.0])
    return PaintedScene("hall", things, (0.4, -0.8, -0.45), 3.0, 0.012, 66, motion, size)


def street(size: tuple[int, int] = SIZE) -> PaintedScene:
    """A street of houses under a sky with clouds; the camera rises and moves sideways."""
    plaster = ((0.55, 0.42, 0.34), (0.88, 0.74, 0.56))
    brick = ((0.38, 0.20, 0.16), (0.68, 0.40, 0.29))
    green = ((0.14, 0.20, 0.10), (0.42, 0.50, 0.22))
    things = [
        _box((-90, 1.6, -60), (90, 4, 160), (0.33, 0.30, 0.27), (0.62, 0.55, 0.46), block=0.7, dab=0.8),
        _box((-16, -5, 2), (-5, 1.7, 11), *plaster, block=0.6, dab=0.7),
        _box((-17, -8, 13), (-6, 1.7, 26), *brick, block=0.5, dab=0.8),
        _box((5.5, -4, 5), (17, 1.7, 15), *brick, block=0.5, dab=0.6),
        _box((4.6, -7, 19), (16, 1.7, 34), *plaster, block=0.8, dab=0.9),
        _box((-7, -11, 44), (-1, 1.7, 52), (0.4, 0.36, 0.4), (0.7, 0.64, 0.6), block=1.2, dab=1.5),
        _box((1.5, -3, 62), (40, 1.7, 70), (0.42, 0.40, 0.42), (0.66, 0.60, 0.56), block=1.2, dab=2.0),
        _box((1.8, 0.6, 6.2), (2.9, 1.7, 7.3), (0.3, 0.18, 0.1), (0.6, 0.42, 0.24), dab=0.2),
        _column(-2.6, 8.0, 0.16, -2.6, 1.7, (0.2, 0.17, 0.15), (0.36, 0.3, 0.25), dab=0.2),
        _ball((-2.6, -3.2, 8.0), 1.3, *green, dab=0.35),
        _ball((3.4, 1.1, 13.0), 0.9, *green, dab=0.3),
    ]
    motion = np.array([-1.0, -0.5, 1.0, 4.0, 1.0])
    return PaintedScene("street", things, (-0.5, -0.7, -0.35), 40.0, 0.008, 60, motion, size)


DEPTH = ArrayLimit(800_000_000, "f", (None, None))
LENS = ArrayLimit(1024, "f", (3, 3))


class RenderedScene:
    """The example with its ground truth in `folder`: image.png, depth.npz, trajectory.npz and truth/."""

    def __init__(self, folder: Path):
        self.name = folder.name
        self.folder = folder
        self.trajectory = Trajectory.load(folder / "trajectory.npz")
        self.frames = sorted(int(file.stem.split("_")[1]) for file in (folder / "truth").glob("frame_*.png"))
        data = read_arrays(folder / "depth.npz", {"depth": DEPTH, "intrinsics": LENS})
        self.first = View.at_origin(_read(folder / "image.png"), data["depth"], data["intrinsics"])

    def truth(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        data = read_arrays(self.folder / "truth" / f"depth_{frame:04d}.npz", {"depth": DEPTH})
        return _read(self.folder / "truth" / f"frame_{frame:04d}.png"), data["depth"]


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def all_scenes() -> list[TrueScene]:
    """The painted scenes, and every example with truth (in a source checkout only)."""
    examples = [RenderedScene(file.parents[1]) for file in sorted(EXAMPLES.glob("*/truth/frame_0080.png"))]
    return [*examples, hall(), street()]
