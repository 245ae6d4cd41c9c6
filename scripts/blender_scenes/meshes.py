"""Solids and terrain of a synthetic scene as Blender meshes. Needs bpy. Frames and shapes are those of
`lyra.synthetic.scene`; vertices are metric and in each solid's own axes, UVs are metres on its faces.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix
from scipy.spatial import ConvexHull

from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.render import Stage
from lyra.synthetic.scene import SOLID

SEGMENTS = 28
LEAVES_PER_METRE2 = 60.0
MAX_LEAVES = 3000
ASINH_REACH = 6.2

Faces = tuple[np.ndarray, list]


def add_solid(row: tuple, materials: list[bpy.types.Material], rng: np.random.Generator) -> bpy.types.Object:
    """One solid (a row of Scene.solids) as an object of the current scene."""
    solid = dict(zip(SOLID.names, row, strict=True))
    half, kind, cut = np.array(solid["half"], float), solid["kind"], solid["cut"]
    smooth = False
    if cut == shapes.FOLIAGE:
        vertices, faces = _leaves(half, kind, solid, rng)
    elif cut in (shapes.BARS, shapes.LATTICE):
        vertices, faces = _bars(half, solid["cut_size"], solid["cut_share"], cut == shapes.LATTICE)
    else:
        vertices, faces = _unit(kind, solid["shape"], rng)
        vertices = vertices * half
        smooth = kind in (shapes.ELLIPSOID, shapes.TORUS, shapes.DOME)
    to_scene = np.eye(4)
    # to_local is the transposed rotation over the half sizes.
    to_scene[:3, :3] = (np.asarray(solid["to_local"]) * half[:, None]).T
    to_scene[:3, 3] = solid["centre"]
    return _object(vertices, faces, materials[solid["material"]], to_scene, smooth)


def add_terrain(stage: Stage, materials: list[bpy.types.Material]) -> bpy.types.Object:
    """The first scene's heightfield as a smooth grid, its steep faces in their own material."""
    terrain = stage.scenes[0].terrain
    grid = stage.arrays.grids.numpy()[0]
    size = len(grid)
    along = terrain["near"] * np.sinh(np.linspace(-ASINH_REACH, ASINH_REACH, size))
    x, y = np.meshgrid(along + terrain["centre"][0], along + terrain["centre"][1])
    vertices = np.stack([x, y, grid], -1).reshape(-1, 3)
    corner = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + size + 1, corner + size], 1)
    low, steep = (materials[terrain[name]] for name in ("low_material", "steep_material"))
    thing = _object(vertices, faces.tolist(), low, np.eye(4), smooth=True)
    thing.data.materials.append(steep)
    normals = np.empty(3 * len(faces), np.float32)
    thing.data.polygons.foreach_get("normal", normals)
    is_steep = (normals[2::3] < terrain["steep_from"]).astype(np.int32)
    thing.data.polygons.foreach_set("material_index", is_steep)
    return thing


def _object(
    vertices: np.ndarray, faces: list, material: bpy.types.Material, to_scene: np.ndarray, smooth: bool
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new("solid")
    mesh.from_pydata(np.asarray(vertices, float).tolist(), [], faces)
    mesh.materials.append(material)
    mesh.update()
    _unwrap(mesh)
    mesh.shade_smooth() if smooth else mesh.shade_flat()
    thing = bpy.data.objects.new("solid", mesh)
    thing.matrix_world = Matrix(to_scene.tolist())
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _unwrap(mesh: bpy.types.Mesh) -> None:
    """Metric UVs by each face's dominant axis."""
    counts = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("loop_total", counts)
    normals = np.empty(3 * len(mesh.polygons), np.float32)
    mesh.polygons.foreach_get("normal", normals)
    axis = np.repeat(np.abs(normals.reshape(-1, 3)).argmax(1), counts)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)[corners]
    u = np.where(axis == 0, points[:, 1], points[:, 0])
    v = np.where(axis == 2, points[:, 1], points[:, 2])
    mesh.uv_layers.new().data.foreach_set("uv", np.stack([u, v], 1).ravel())


def _unit(kind: int, shape: tuple, rng: np.random.Generator) -> Faces:
    if kind == shapes.BOX:
        return _prism(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float))
    if kind == shapes.ELLIPSOID:
        return _revolved(np.array([[np.sin(a), -np.cos(a)] for a in np.linspace(0, np.pi, 15)]))
    if kind == shapes.FRUSTUM:
        return _revolved(np.array([[0, -1], [1, -1], [shape[0], 1], [0, 1]], float))
    if kind == shapes.ROOF:
        ridge = max(shape[0], 1e-3)
        top = [[0, -ridge, 1], [0, ridge, 1]]
        vertices = np.array([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], *top], float)
        return vertices, [[3, 2, 1, 0], [0, 1, 4], [1, 2, 5, 4], [2, 3, 5], [3, 0, 4, 5]]
    if kind == shapes.ROCK:
        points = rng.standard_normal((40, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        points *= rng.uniform(1 - shape[0], 1, (40, 1))
        return points, ConvexHull(points).simplices.tolist()
    if kind == shapes.PORTAL:
        return _portal(shape)
    if kind == shapes.RING:
        floor = max(shape[1], -1.0)
        return _revolved(
            np.array([[0, -1], [1, -1], [1, 1], [shape[0], 1], [shape[0], floor], [0, floor]], float)
        )
    if kind == shapes.DOME:
        start = np.arcsin(np.clip(shape[1], -0.99, 0.99))
        angles = np.linspace(start, 0.5 * np.pi, 10)
        outer = np.stack([np.cos(angles), np.sin(angles)], 1)
        return _revolved(np.concatenate([outer, shape[0] * outer[::-1]]))
    return _torus(shape)


def _revolved(profile: np.ndarray) -> Faces:
    """A profile (P, 2) of (radius, z), turned around z."""
    angles = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    radius, z = profile[:, 0], profile[:, 1]
    vertices = np.stack(
        [
            np.cos(angles)[:, None] * radius,
            np.sin(angles)[:, None] * radius,
            np.broadcast_to(z, (SEGMENTS, len(z))),
        ],
        -1,
    )
    return vertices.reshape(-1, 3), _quads(SEGMENTS, len(profile), closed_rows=True, closed_columns=False)


def _quads(rows: int, columns: int, closed_rows: bool, closed_columns: bool) -> list:
    """Quads over a grid of vertices, numbered row by row."""
    i, j = np.meshgrid(
        np.arange(rows if closed_rows else rows - 1),
        np.arange(columns if closed_columns else columns - 1),
        indexing="ij",
    )
    i2, j2 = (i + 1) % rows, (j + 1) % columns
    return (
        np.stack([i * columns + j, i2 * columns + j, i2 * columns + j2, i * columns + j2], -1)
        .reshape(-1, 4)
        .tolist()
    )


def _prism(outline: np.ndarray) -> Faces:
    """An outline (P, 2) in x and z, between y = -1 and 1."""
    count = len(outline)
    x, z = outline.T
    vertices = np.concatenate([np.stack([x, np.full(count, y), z], 1) for y in (-1.0, 1.0)])
    sides = [[k, (k + 1) % count, count + (k + 1) % count, count + k] for k in range(count)]
    return vertices, [list(range(count))[::-1], list(range(count, 2 * count)), *sides]


def _portal(shape: tuple) -> Faces:
    """A wall with an opening, as two halves that meet above (and below) it."""
    width, sill, spring, rise = shape
    sill = max(sill, -1.0)
    arch = np.linspace(0, 0.5 * np.pi, 9 if rise > 0 else 1)
    curve = np.stack([width * np.cos(arch), spring + max(rise, 0.0) * np.sin(arch)], 1)
    if rise <= 0:
        curve = np.concatenate([curve, [[0.0, spring]]])
    opening = np.concatenate([[[width, sill]], curve])
    if sill > -1:
        half = np.concatenate([[[0, -1], [1, -1], [1, 1], [0, 1]], opening[::-1], [[0, sill]]])
    else:
        half = np.concatenate([[[width, -1], [1, -1], [1, 1], [0, 1]], opening[::-1][:-1]])
    right, faces = _prism(half)
    left = right * (-1, 1, 1)
    offset = len(right)
    return np.concatenate([right, left]), faces + [[k + offset for k in face[::-1]] for face in faces]


def _torus(shape: tuple) -> Faces:
    ratio, gap, taper = shape[0], shape[1], shape[2]
    major = 1 / (1 + ratio)
    turn = np.linspace(gap, 2 * np.pi - gap, 48)
    ring = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    thick = ratio * major * (1 - taper * (0.5 + 0.5 * np.cos(turn)))
    radius = major + thick[:, None] * np.cos(ring)
    vertices = np.stack(
        [radius * np.sin(turn)[:, None], thick[:, None] * np.sin(ring), radius * np.cos(turn)[:, None]], -1
    )
    return vertices.reshape(-1, 3), _quads(48, 14, closed_rows=False, closed_columns=True)


def _bars(half: np.ndarray, size: float, share: float, lattice: bool) -> Faces:
    """Rails and bars, in place of a box with holes."""
    along = int(half[1] > half[0])
    pitch = max(size, 2 * half[along] / 60)
    width = 0.5 * (1 - share) * pitch
    spots = np.arange(-half[along], half[along] + 1e-6, pitch)
    levels = np.arange(-half[2], half[2], size) if lattice else np.array([-0.9, 0.91]) * half[2]
    boxes = [((spot, 0.0), (width, half[2])) for spot in spots]
    boxes += [((0.0, level), (half[along], min(width, 0.1 * half[2]))) for level in levels]
    unit, faces = _prism(np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float))
    vertices, all_faces = [], []
    for (spot, level), (long, high) in boxes:
        sizes, centre = np.array(half), np.zeros(3)
        sizes[along], sizes[2], centre[along], centre[2] = long, high, spot, level
        all_faces += [[k + 8 * len(vertices) for k in face] for face in faces]
        vertices.append(unit * sizes + centre)
    return np.concatenate(vertices), all_faces


def _leaves(half: np.ndarray, kind: int, solid: dict, rng: np.random.Generator) -> Faces:
    """Leaves scattered through the outer part of a crown."""
    area = 4 * np.pi * np.mean([half[0] * half[1], half[0] * half[2], half[1] * half[2]])
    leaf = float(np.clip(0.7 * solid["cut_size"], 0.03, 0.25))
    count = int(np.clip(LEAVES_PER_METRE2 * area * (0.15 / leaf) ** 2, 60, MAX_LEAVES))
    points = rng.standard_normal((count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= rng.uniform(0.55, 1.0, (count, 1))
    if kind == shapes.FRUSTUM:
        high = 1 - np.sqrt(rng.uniform(0, 1, count))
        points[:, :2] *= ((1 - high) / np.maximum(np.linalg.norm(points[:, :2], axis=1), 1e-6))[:, None]
        points[:, :2] *= rng.uniform(0.6, 1.0, (count, 1))
        points[:, 2] = 2 * high - 1
    axes = rng.standard_normal((count, 2, 3))
    axes *= (leaf * np.array([1.0, 0.5]) / np.sqrt(3))[None, :, None]
    corners = np.array([[-1, 0], [0, -1], [1, 0], [0, 1]], float)
    vertices = (points * half)[:, None] + np.einsum("ck,nkd->ncd", corners, axes)
    return vertices.reshape(-1, 3), np.arange(4 * count).reshape(-1, 4).tolist()
