"""A world's mesh with its vertex colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from . import ply

COLOR = "Color"
MATERIAL = "Lyra Mesh"


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3) float32, faces (F, 3) int32 and sRGB colours (V, 4) uint8 of a world's mesh.ply.

    Raises ply.FileError.
    """
    elements = ply.read(path)
    try:
        vertices, faces = elements["vertex"], elements["face"].fields
        triangles = faces["vertex_indices"] if "vertex_indices" in faces else faces["vertex_index"]
        color = np.full((vertices.count, 4), 255, np.uint8)
        for channel, name in enumerate(("red", "green", "blue")):
            color[:, channel] = vertices.fields[name]
        return vertices.stacked("x", "y", "z"), np.ascontiguousarray(triangles, np.int32), color
    except KeyError as error:
        raise ply.FileError(f"{path} has no {error}; it holds no coloured mesh.") from error


def building(vertices: np.ndarray, faces: np.ndarray, color: np.ndarray, name: str) -> list[Callable]:
    """The steps that make a Blender mesh of what `read` gives, each one short: mesh so far or None -> mesh.

    Its material shows the colours as they are in the frames.
    """

    def corners(_mesh: None) -> bpy.types.Mesh:
        mesh = bpy.data.meshes.new(name)
        mesh.vertices.add(len(vertices))
        mesh.attributes["position"].data.foreach_set("vector", vertices.ravel())
        mesh.loops.add(faces.size)
        # The attribute takes the array as it is; mesh.loops would take it number by number.
        corner = mesh.attributes.get(".corner_vert") or mesh.attributes.new(".corner_vert", "INT", "CORNER")
        corner.data.foreach_set("value", faces.ravel())
        return mesh

    def surface(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        mesh.polygons.add(len(faces))
        mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
        attribute = mesh.color_attributes.new(COLOR, "BYTE_COLOR", "POINT")
        attribute.data.foreach_set("color_srgb", (color.astype(np.float32) / 255).ravel())
        mesh.color_attributes.active_color = attribute
        mesh.materials.append(bpy.data.materials.get(MATERIAL) or _material())
        return mesh

    def edges(mesh: bpy.types.Mesh) -> bpy.types.Mesh:
        mesh.update(calc_edges=True)
        return mesh

    return [corners, surface, edges]


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
