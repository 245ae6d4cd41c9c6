"""Mesh files: binary glTF, and PLY in the world frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
import trimesh.exchange.gltf

from lyra.common.files import whole_file
from lyra.formats.ply_writer import COLORED, write_elements
from lyra.geometry.meshes import Mesh, vertex_normals

# The world frame's x right, y down, z forward as glTF's x right, y up, z backward.
WORLD_TO_GLTF = np.array([1, -1, -1], np.float32)

_COLORS = "_COLORS"


def srgb_to_linear(colors: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] of sRGB colours in [0, 1] (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def save_glb(mesh: Mesh, path: str | Path) -> None:
    """Writes glTF 2.0 binary, y up: world frame times diag(1, -1, -1). The file is whole or not there.

    COLOR_0 is linear, as glTF has it, in 16 bits, because 8 linear bits would band the shadows. The material is
    rough, no metal and seen from both sides.
    """
    linear = np.round(srgb_to_linear(mesh.colors / 255.0) * 65535).astype(np.uint16)
    opaque = np.concatenate([linear, np.full((len(linear), 1), 65535, np.uint16)], 1)
    vertices = mesh.vertices * WORLD_TO_GLTF
    normals = vertex_normals(vertices, mesh.faces)
    # glTF asks for unit length, also where a vertex has faces without area only, or faces that cancel out.
    normals[~normals.any(1)] = (0, 1, 0)
    surface = trimesh.Trimesh(
        vertices,
        mesh.faces,
        vertex_normals=normals,
        vertex_attributes={_COLORS: opaque},
        process=False,
    )
    data = trimesh.exchange.gltf.export_glb(
        trimesh.Scene({"mesh": surface}), include_normals=True, tree_postprocessor=_finish_tree
    )
    with whole_file(Path(path)) as temporary:
        temporary.write_bytes(data)


def _finish_tree(tree: dict) -> None:
    """Turns the custom attribute into COLOR_0, which trimesh itself writes in 8 bits only, and adds the material."""
    tree["materials"] = [
        {
            "name": "mesh",
            "doubleSided": True,
            "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0},
        }
    ]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            accessor = primitive["attributes"].pop(_COLORS)
            tree["accessors"][accessor]["normalized"] = True
            primitive["attributes"]["COLOR_0"] = accessor
            primitive["material"] = 0


def save_ply(mesh: Mesh, path: str | Path) -> None:
    """Writes a binary PLY in the world frame with sRGB colours; the file is whole or not there."""
    vertices = np.empty(len(mesh.vertices), COLORED)
    for axis, name in enumerate("xyz"):
        vertices[name] = mesh.vertices[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = mesh.colors[:, channel]
    faces = np.empty(len(mesh.faces), [("vertex_indices", "<i4", (3,))])
    faces["vertex_indices"] = mesh.faces
    write_elements(path, vertex=vertices, face=faces)
