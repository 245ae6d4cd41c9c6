"""Packing of scenes and cameras into Warp arrays, and kernel launches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

import lyra.geometry  # noqa: F401  silences Warp before its first launch
from lyra.synthetic import render_kernels as kernels
from lyra.synthetic import shape_kernels, surface_kernels, terrain_kernels, tracing_kernels
from lyra.synthetic.noise import noise_table
from lyra.synthetic.scene import LAMP, MATERIAL, SOLID, Pose, Scene

WORLD = np.dtype(tracing_kernels.KernelWorld.numpy_dtype())
VIEW = np.dtype(tracing_kernels.KernelView.numpy_dtype())
TILE = 16
GRID = 160


@dataclass(frozen=True)
class Shot:
    """One camera in one of the packed scenes: `scene` is its index, `fov` the horizontal angle in radians."""

    scene: int
    camera: Pose
    fov: float


class Stage:
    """Scenes packed on `device`, for rendering from any number of cameras."""

    def __init__(self, scenes: list[Scene], device: str = "cpu"):
        wp.init()
        self.device = wp.get_device(device)
        self.scenes = scenes
        self._bounds = [np.array(s.bounds, np.float32).reshape(-1, 4) for s in scenes]
        self._first = np.cumsum([0, *(len(s.solids) for s in scenes)])
        worlds, terrains = self._worlds()
        arrays = tracing_kernels.Arrays()
        arrays.worlds = self._array(worlds, tracing_kernels.KernelWorld)
        arrays.solids = self._array(self._solids(), shape_kernels.Solid)
        arrays.bounds = self._array(np.concatenate([*self._bounds, np.zeros((1, 4), np.float32)]), wp.vec4)
        arrays.materials = self._array(
            _rows([m for s in scenes for m in s.materials], MATERIAL), surface_kernels.Material
        )
        arrays.lamps = self._array(_rows([m for s in scenes for m in s.lamps], LAMP), tracing_kernels.Lamp)
        arrays.noise = self._array(noise_table(), wp.vec3)
        arrays.grids = wp.zeros((max(len(terrains), 1), GRID, GRID), dtype=float, device=self.device)
        arrays.tile = TILE
        self.arrays = arrays
        if len(terrains):
            self._raise(terrains, worlds)

    def _array(self, values: np.ndarray, dtype) -> wp.array:
        return wp.array(values, dtype=dtype, device=self.device)

    def _solids(self) -> np.ndarray:
        rows = [row for scene in self.scenes for row in scene.solids]
        solids = np.zeros(len(rows) + 1, SOLID)
        for place, name in enumerate(SOLID.names or ()):
            solids[name][: len(rows)] = [row[place] for row in rows] or 0
        offsets = np.cumsum([0, *(len(s.materials) for s in self.scenes)])[:-1]
        solids["material"][:-1] += np.repeat(offsets, np.diff(self._first)).astype(np.int32)
        return solids

    def _worlds(self) -> tuple[np.ndarray, np.ndarray]:
        worlds = np.zeros(len(self.scenes), WORLD)
        materials = lamps = layer = 0
        for index, (world, scene) in enumerate(zip(worlds, self.scenes, strict=True)):
            world["first_solid"], world["solids"] = self._first[index], len(scene.solids)
            world["first_lamp"], world["lamps"] = lamps, len(scene.lamps)
            world["seed"] = int(scene.rng.random() * 65536)
            world["shadows"] = 1
            world["open_reach"] = scene.open_reach
            for name, value in scene.air.items():
                world["air"][name] = value
            world["terrain"]["layer"] = -1
            if scene.terrain:
                for name, value in scene.terrain.items():
                    world["terrain"][name] = value + materials if name.endswith("_material") else value
                world["terrain"]["layer"] = layer
                layer += 1
            materials += len(scene.materials)
            lamps += len(scene.lamps)
        return worlds, worlds["terrain"][worlds["terrain"]["layer"] >= 0].copy()

    def _raise(self, terrains: np.ndarray, worlds: np.ndarray) -> None:
        wp.launch(
            terrain_kernels.raise_terrain,
            (len(terrains), GRID, GRID),
            [self._array(terrains, terrain_kernels.Terrain), self.arrays.noise],
            [self.arrays.grids],
            device=self.device,
        )
        grids = self.arrays.grids.numpy()
        for world in worlds:
            layer = world["terrain"]["layer"]
            if layer >= 0:
                world["terrain"]["lowest"] = grids[layer].min()
                world["terrain"]["highest"] = grids[layer].max()
        self.arrays.worlds = self._array(worlds, tracing_kernels.KernelWorld)

    def _views(self, shots: list[Shot], height: int, width: int) -> np.ndarray:
        views = np.zeros(len(shots), VIEW)
        for view, shot in zip(views, shots, strict=True):
            view["world"] = shot.scene
            view["rotation"] = shot.camera.rotation
            view["centre"] = shot.camera.eye
            view["focal"] = 0.5 * width / np.tan(0.5 * shot.fov)
            view["torch"] = self.scenes[shot.scene].torch
        views["cx"], views["cy"] = width / 2, height / 2
        return views

    def _aim(self, shots: list[Shot], height: int, width: int) -> None:
        views = self._views(shots, height, width)
        starts, listed = _tile_lists(views, self._bounds, self._first, height, width)
        self.arrays.views = self._array(views, tracing_kernels.KernelView)
        self.arrays.tile_starts = self._array(starts, wp.int32)
        self.arrays.tile_solids = self._array(listed, wp.int32)

    def probe(self, shots: list[Shot], height: int, width: int) -> np.ndarray:
        """Z-depth (V, H, W) float32 of the shots, span_kernels.FAR for the sky."""
        self._aim(shots, height, width)
        depth = wp.empty((len(shots), height, width), dtype=float, device=self.device)
        wp.launch(kernels.probe, depth.shape, [self.arrays], [depth], device=self.device)
        return depth.numpy()

    def render(self, shots: list[Shot], height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Linear colour (V, H, W, 3), z-depth (V, H, W) with inf for sky, normals (V, H, W, 3) in camera axes."""
        self._aim(shots, height, width)
        size = (len(shots), height, width)
        depth = wp.empty(size, dtype=float, device=self.device)
        which = wp.empty(size, dtype=int, device=self.device)
        normals = wp.empty(size, dtype=wp.vec3, device=self.device)
        open_share = wp.empty(size, dtype=float, device=self.device)
        image = wp.empty(size, dtype=wp.vec3, device=self.device)
        wp.launch(kernels.trace, size, [self.arrays], [depth, which, normals, open_share], device=self.device)
        wp.launch(
            kernels.paint, size, [self.arrays, depth, which, normals, open_share], [image], device=self.device
        )
        return image.numpy(), depth.numpy(), normals.numpy()

    def clearance(self, scene: int, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Distance (P, D) from scene points (P, 3) to the first surface in unit directions (D, 3)."""
        distance = wp.empty((len(points), len(directions)), dtype=float, device=self.device)
        inputs = [
            self.arrays,
            self._array(np.full(len(points), scene, np.int32), wp.int32),
            self._array(np.asarray(points, np.float32), wp.vec3),
            self._array(np.asarray(directions, np.float32), wp.vec3),
        ]
        wp.launch(kernels.clearance, distance.shape, inputs, [distance], device=self.device)
        return distance.numpy()


def intrinsics_of(shots: list[Shot], height: int, width: int) -> np.ndarray:
    """(V, 3, 3) in continuous pixels."""
    k = np.zeros((len(shots), 3, 3))
    k[:, 0, 0] = k[:, 1, 1] = [0.5 * width / np.tan(0.5 * shot.fov) for shot in shots]
    k[:, :, 2] = width / 2, height / 2, 1
    return k


def _rows(entries: list[dict], dtype: np.dtype) -> np.ndarray:
    """A structured array from dictionaries, with one empty row if there are none."""
    rows = np.zeros(max(len(entries), 1), dtype)
    for row, entry in zip(rows, entries, strict=False):
        for name, value in entry.items():
            row[name] = value
    return rows


def _tile_lists(
    views: np.ndarray, bounds: list[np.ndarray], first: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The solids that may be visible in each tile of each view, nearest first.

    A bounding ball is listed if its cone of directions intersects the tile's cone. Returns starts (V, rows, columns +
    1) into the list of solid indices.
    """
    rows, columns = -(-height // TILE), -(-width // TILE)
    top = np.arange(rows)[:, None] * TILE
    left = np.arange(columns)[None] * TILE
    corners = [
        np.stack(np.broadcast_arrays(left + a, top + b), -1).reshape(-1, 2)
        for a, b in ((0, 0), (TILE, 0), (0, TILE), (TILE, TILE))
    ]
    starts = np.zeros((len(views), rows, columns + 1), np.int32)
    listed, count = [], 0
    for index, view in enumerate(views):
        ball = bounds[view["world"]]
        rays = [
            _unit(np.concatenate([(c - (view["cx"], view["cy"])) / view["focal"], np.ones((len(c), 1))], 1))
            for c in corners
        ]
        axis = _unit(np.sum(rays, 0))
        tile_cos = np.min([(axis * ray).sum(1) for ray in rays], axis=0)
        tile_angle = np.arccos(np.clip(tile_cos, -1, 1))
        away = (ball[:, :3] - view["centre"]) @ view["rotation"]
        distance = np.linalg.norm(away, axis=1)
        always = (ball[:, 3] <= 0) | (distance <= ball[:, 3] * 1.01)
        spread = np.arcsin(np.clip(ball[:, 3] / np.maximum(distance, 1e-6), 0, 1))
        angle = np.arccos(np.clip(away @ axis.T / np.maximum(distance, 1e-6)[:, None], -1, 1))
        meets = always[:, None] | (angle <= spread[:, None] + tile_angle + 1e-3)
        order = np.argsort(np.where(always, -1.0, distance - ball[:, 3]))
        tile, rank = np.nonzero(meets[order].T)
        listed.append(order[rank] + first[view["world"]])
        ends = count + np.cumsum(np.bincount(tile, minlength=rows * columns)).reshape(rows, columns)
        starts[index, :, 1:] = ends
        starts[index, 0, 0] = count
        starts[index, 1:, 0] = ends[:-1, -1]
        count += len(tile)
    return starts, np.concatenate([*listed, [0]]).astype(np.int32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
