"""Gaussian splats as Blender data, under the attribute names of Blender 5.3's native splats.

Blender 5.3 reads the file itself. In 5.2 the splats are a point cloud. 4.5 cannot fill a point cloud from Python, so
there they are the vertices of a mesh; Object > Convert > Point Cloud keeps every attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..scene.attributes import positions, values
from . import ply

# From this version on Blender imports, draws and renders splats itself.
NATIVE = bpy.app.version >= (5, 3, 0)
BASE = "radiance:base"


@dataclass(frozen=True)
class Cloud:
    """M splats as Blender stores them, float32: `position` (M, 3), `scale` (M, 3) linear standard deviations,
    `rotation` (M, 4) quaternions wxyz, `base` (M, 4) the constant coefficient of red, green and blue and the opacity
    in 0 ... 1, `sh` (M, K, 3) the coefficients above it."""

    position: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray
    base: np.ndarray
    sh: np.ndarray

    def __len__(self) -> int:
        return len(self.position)


def decode(vertices: ply.Element, path: Path) -> Cloud:
    """Splats from the vertices of a file in the layout of the 3DGS paper. Raises ply.FileError."""
    try:
        rotation = vertices.stacked(*(f"rot_{i}" for i in range(4)))
        rest = sorted(
            (name for name in vertices.fields if name.startswith("f_rest_")), key=lambda name: int(name[7:])
        )
        # The file has all coefficients of red, then of green, then of blue.
        sh = (
            vertices.stacked(*rest).reshape(len(rotation), 3, -1) if rest else np.zeros((len(rotation), 3, 0))
        )
        opacity = 1 / (1 + np.exp(-vertices.fields["opacity"].astype(np.float32)))
        return Cloud(
            position=vertices.stacked("x", "y", "z"),
            scale=np.exp(vertices.stacked("scale_0", "scale_1", "scale_2")),
            rotation=rotation / np.maximum(np.linalg.norm(rotation, axis=1, keepdims=True), 1e-12),
            base=np.concatenate([vertices.stacked("f_dc_0", "f_dc_1", "f_dc_2"), opacity[:, None]], 1),
            sh=np.ascontiguousarray(sh.transpose(0, 2, 1), np.float32),
        )
    except KeyError as error:
        raise ply.FileError(f"{path} has no {error}; it holds no Gaussian splats.") from error


Attributes = dict[str, tuple[str, str, np.ndarray]]


def attributes(cloud: Cloud) -> Attributes:
    """What a splat object's data holds under Blender's own names: name -> (type, key of foreach_set, values)."""
    float4 = "FLOAT4" in bpy.types.Attribute.bl_rna.properties["data_type"].enum_items
    harmonics = {
        f"radiance:sh_{k}": ("FLOAT_VECTOR", "vector", np.ascontiguousarray(cloud.sh[:, k]))
        for k in range(cloud.sh.shape[1])
    }
    return {
        "position": ("FLOAT_VECTOR", "vector", cloud.position),
        "scale": ("FLOAT_VECTOR", "vector", cloud.scale),
        "rotation": ("QUATERNION", "value", cloud.rotation),
        BASE: ("FLOAT4", "vector", cloud.base) if float4 else ("FLOAT_COLOR", "color", cloud.base),
    } | harmonics


def building(attributes: Attributes, name: str) -> list[Callable]:
    """The steps that make the data of an object, each one short: data so far or None -> data.

    It is a point cloud, or before 5.2 a mesh of vertices only.
    """

    def empty(_data: None) -> bpy.types.ID:
        count = len(attributes["position"][2])
        if "resize" in bpy.types.PointCloud.bl_rna.functions:
            data = bpy.data.pointclouds.new(name)
            data.resize(count)
        else:
            data = bpy.data.meshes.new(name)
            data.vertices.add(count)
        return data

    def adding(attribute: str) -> Callable:
        def add(data: bpy.types.ID) -> bpy.types.ID:
            if attribute not in data.attributes:
                data.attributes.new(attribute, attributes[attribute][0], "POINT")
            return data

        return add

    def filling(attribute: str) -> Callable:
        _, key, values = attributes[attribute]

        def fill(data: bpy.types.ID) -> bpy.types.ID:
            data.attributes[attribute].data.foreach_set(key, np.ascontiguousarray(values, np.float32).ravel())
            data.update_tag()
            return data

        return fill

    # All are made before one is written: adding an attribute may move the others in memory.
    return [empty, *map(adding, attributes), *map(filling, attributes)]


def stored_cloud(data: bpy.types.ID) -> Cloud:
    """The splats an object's data holds, as the viewport draws them; without the higher harmonics."""

    key = "vector" if data.attributes[BASE].data_type == "FLOAT4" else "color"
    position = positions(data)
    return Cloud(
        position=position,
        scale=values(data, "scale", "vector", 3),
        rotation=values(data, "rotation", "value", 4),
        base=values(data, BASE, key, 4),
        sh=np.zeros((len(position), 0, 3), np.float32),
    )


def import_native(path: Path) -> bpy.types.Object:
    """Blender 5.3 and newer: the splats as Blender's importer makes them, in the file's axes, linked to the scene."""
    before = set(bpy.data.objects)
    # A timer has no window, and the operator asks for one.
    with bpy.context.temp_override(window=bpy.context.window or bpy.context.window_manager.windows[0]):
        bpy.ops.wm.ply_import(filepath=str(path), forward_axis="Y", up_axis="Z")
    (new,) = set(bpy.data.objects) - before
    return new
