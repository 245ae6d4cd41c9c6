"""Simple solids in Blender, carved and weathered by modifiers."""

from __future__ import annotations

import math

import bmesh
import bpy
from mathutils import Euler, Matrix


def new_object(name: str, mesh: bpy.types.Mesh, material) -> bpy.types.Object:
    """Adds the mesh to the scene, with one material."""
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    mesh.materials.append(material)
    return thing


class Solid:
    """Simple solids collected into one mesh."""

    def __init__(self):
        self.bm = bmesh.new()

    def box(self, center, size, turn=(0, 0, 0)) -> Solid:
        matrix = Matrix.Translation(center) @ Euler(turn).to_matrix().to_4x4() @ Matrix.Diagonal((*size, 1))
        bmesh.ops.create_cube(self.bm, size=1, matrix=matrix)
        return self

    def cylinder(self, base, radius, height, top=None, turn=(0, 0, 0), sides=28) -> Solid:
        matrix = (
            Matrix.Translation(base)
            @ Euler(turn).to_matrix().to_4x4()
            @ Matrix.Translation((0, 0, height / 2))
        )
        top = radius if top is None else top
        bmesh.ops.create_cone(
            self.bm, cap_ends=True, segments=sides, radius1=radius, radius2=top, depth=height, matrix=matrix
        )
        return self

    def ball(self, center, size, turn=(0, 0, 0), subdivisions=3) -> Solid:
        matrix = Matrix.Translation(center) @ Euler(turn).to_matrix().to_4x4() @ Matrix.Diagonal((*size, 1))
        bmesh.ops.create_icosphere(self.bm, subdivisions=subdivisions, radius=1, matrix=matrix)
        return self

    def mesh(self, name: str) -> bpy.types.Mesh:
        mesh = bpy.data.meshes.new(name)
        self.bm.to_mesh(mesh)
        self.bm.free()
        return mesh


def weather(thing, voxel: float, amount: float, grain: float = 0.5, minus: Solid | None = None) -> None:
    """Subtracts `minus`, remeshes all parts at `voxel` metres and displaces the surface by `amount` metres."""
    if minus is not None:
        cutter = bpy.data.objects.new("cutter", minus.mesh("cutter"))
        bpy.context.scene.collection.objects.link(cutter)
        cutter.hide_render = True
        carve = thing.modifiers.new("carve", "BOOLEAN")
        carve.operation, carve.solver, carve.object, carve.use_self = "DIFFERENCE", "EXACT", cutter, True
    skin = thing.modifiers.new("skin", "REMESH")
    skin.mode, skin.voxel_size, skin.use_smooth_shade = "VOXEL", voxel, True
    for scale, strength in ((grain * 3, amount), (grain, amount * 0.6)):
        clouds = bpy.data.textures.new("wear", "CLOUDS")
        clouds.noise_scale = scale
        wear = thing.modifiers.new("wear", "DISPLACE")
        wear.texture, wear.texture_coords, wear.strength = clouds, "GLOBAL", strength


def arch_hole(holes: Solid, center, radius: float, spring: float, depth: float, along_y: bool) -> None:
    """A round-headed opening through a wall: `spring` metres of upright, then half a circle."""
    x, y, z = center
    size = (depth, 2 * radius, spring + 1) if along_y else (2 * radius, depth, spring + 1)
    holes.box((x, y, z + spring / 2 - 0.5), size)
    turn = (0, math.pi / 2, 0) if along_y else (math.pi / 2, 0, 0)
    offset = (-depth / 2, 0, 0) if along_y else (0, depth / 2, 0)
    holes.cylinder((x + offset[0], y + offset[1], z + spring), radius, depth, turn=turn, sides=40)
