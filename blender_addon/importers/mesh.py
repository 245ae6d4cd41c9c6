"""Import of a world's mesh with its vertex colours."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import ply, triangles

COLOR = "Color"
MATERIAL = "Lyra Mesh"


def reading(path: Path) -> Generator[None, None, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Vertices (V, 3) float32, faces (F, 3) int32 and sRGB colours (V, 4) uint8 of a world's mesh.ply.

    Returned when they are whole. Raises ply.FileError.
    """
    elements = yield from ply.reading(path)
    try:
        vertices, faces = elements["vertex"], elements["face"].fields
        triangles = faces["vertex_indices"] if "vertex_indices" in faces else faces["vertex_index"]
        color = np.full((vertices.count, 4), 255, np.uint8)
        for channel, name in enumerate(("red", "green", "blue")):
            color[:, channel] = vertices.fields[name]
        return vertices.stacked("x", "y", "z"), np.ascontiguousarray(triangles, np.int32), color
    except KeyError as error:
        raise ply.FileError(f"{path} has no {error}; it holds no coloured mesh.") from error


@dataclass(frozen=True)
class MeshData:
    """What a mesh is made of: `vertices` (V, 3) float32, `faces` (F, 3) int32, `color` (V, 4) uint8 sRGB, `edges`
    (E, 2) int32, and `corner_edges` (3 F,) int32, the edge that leads on from each corner."""

    vertices: np.ndarray
    faces: np.ndarray
    color: np.ndarray
    edges: np.ndarray
    corner_edges: np.ndarray


def preparing(path: Path) -> Generator[None, None, MeshData]:
    """The MeshData of a world's mesh.ply, in short steps; returned when it is whole. Raises ply.FileError."""
    vertices, faces, color = yield from reading(path)
    # Blender does not check the corners that it is given, and would read beyond the vertices.
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise ply.FileError(f"{path} has faces without vertices. Import the results again.")
    yield
    faces = yield from triangles.without_duplicates(faces)
    edges, corner_edges = yield from triangles.edges(faces)
    return MeshData(vertices, faces, color, edges, corner_edges)


def building(surface: MeshData, name: str) -> list[Callable]:
    """The steps that make a Blender mesh, each one short: mesh so far or None -> mesh.

    Its material shows the colours as they are in the frames.
    """
    corner_count = surface.faces.size

    def points(_mesh: None) -> bpy.types.Mesh:
        mesh = bpy.data.meshes.new(name)
        mesh.vertices.add(len(surface.vertices))
        mesh.edges.add(len(surface.edges))
        mesh.loops.add(corner_count)
        mesh.polygons.add(len(surface.faces))
        return mesh

    def polygons(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        mesh.polygons.foreach_set("loop_start", np.arange(0, corner_count, 3, dtype=np.int32))
        return mesh

    def topology(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        for attribute, kind, domain in (
            (".edge_verts", "INT32_2D", "EDGE"),
            (".corner_vert", "INT", "CORNER"),
            (".corner_edge", "INT", "CORNER"),
        ):
            if attribute not in mesh.attributes:
                mesh.attributes.new(attribute, kind, domain)
        return mesh

    def filling(attribute: str, key: str, values: np.ndarray) -> Callable:
        # Attributes take arrays as they are; mesh.edges and mesh.loops would take them number by number.
        def fill(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
            mesh.attributes[attribute].data.foreach_set(key, values.ravel())
            return mesh

        return fill

    def update(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        mesh.update()
        return mesh

    def colors(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        attribute = mesh.color_attributes.new(COLOR, "BYTE_COLOR", "POINT")
        attribute.data.foreach_set("color_srgb", (surface.color.astype(np.float32) / 255).ravel())
        mesh.color_attributes.active_color = attribute
        return mesh

    def material(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        mesh.materials.append(bpy.data.materials.get(MATERIAL) or _material())
        return mesh

    return [
        points,
        polygons,
        topology,
        filling("position", "vector", surface.vertices),
        filling(".edge_verts", "value", surface.edges),
        filling(".corner_vert", "value", surface.faces),
        filling(".corner_edge", "value", surface.corner_edges),
        update,
        colors,
        material,
    ]


def _material() -> bpy.types.Material:
    """The frames hold the light already, so the colours are emitted and no lamp changes them."""
    material = bpy.data.materials.new(MATERIAL)
    material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    color = tree.nodes.new("ShaderNodeVertexColor")
    color.layer_name = COLOR
    emission = tree.nodes.new("ShaderNodeEmission")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    emission.location, output.location = (200, 0), (400, 0)
    tree.links.new(color.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material
