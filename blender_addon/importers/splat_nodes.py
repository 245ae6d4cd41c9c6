"""Rendering of splats before Blender 5.3: Geometry Nodes instance a card on every splat, and a material shades it.

A card lies in the plane of a splat's two longer axes, and its opacity falls off as the Gaussian does in that plane.
Reconstructed splats are nearly flat, so little is lost. Cycles and EEVEE both render it.
"""

from __future__ import annotations

import bpy
import numpy as np

from ..camera.conversion import SH_C0, linear_from_srgb
from .splats import Attributes, Cloud

GROUP = "Lyra Splats"
MATERIAL = "Lyra Splats"
# Half the side of a card in standard deviations; exp(-2.5^2 / 2) is 4 percent.
REACH = 2.5
CARD = "lyra_card"
ROTATION = "lyra_rotation"
SIZE = "lyra_size"
COLOR = "lyra_color"
# Cycles stops at 8 see-through surfaces by default and shows black: the last one before is made opaque.
MAX_LAYERS = 7


def attach(obj: bpy.types.Object, group: bpy.types.NodeTree) -> None:
    """Gives a splat object the modifier that renders it. In the viewport the extension's own drawing shows it."""
    if GROUP in obj.modifiers:
        return  # an object that has got other splats keeps what the artist has set there
    modifier = obj.modifiers.new(GROUP, "NODES")
    modifier.node_group = group
    modifier.show_viewport = False
    obj.display_type = "BOUNDS"


def cards(cloud: Cloud) -> Attributes:
    """How the nodes turn and size the card of each splat: attribute name -> (type, key, values)."""
    rotation, size = card_rotations(cloud.scale, cloud.rotation)
    return {ROTATION: ("QUATERNION", "value", rotation), SIZE: ("FLOAT_VECTOR", "vector", size)}


def colors(cloud: Cloud) -> Attributes:
    """The colour of each splat as light, and its opacity: attribute name -> (type, key, values)."""
    # Splats are fitted on screen values and may overshoot; blended as light, as Blender does, that would glare:
    # they are held at white.
    color = linear_from_srgb(0.5 + SH_C0 * cloud.base[:, :3])
    return {COLOR: ("FLOAT_COLOR", "color", np.concatenate([color, cloud.base[:, 3:]], 1))}


def card_rotations(scale: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (M, 4) wxyz and sizes (M, 3) that put the shortest axis of each splat last.

    The turns are cyclic changes of axes, so right-handed axes stay so.
    """
    shortest = scale.argmin(1)
    # Quaternions of the cyclic axis changes that bring x, y or z to the third place.
    turns = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, -0.5, -0.5], [1.0, 0.0, 0.0, 0.0]], np.float32)
    order = np.array([[1, 2, 0], [2, 0, 1], [0, 1, 2]])
    return _quaternion_product(rotation, turns[shortest]), np.take_along_axis(scale, order[shortest], 1)


def _quaternion_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w1, x1, y1, z1 = a.T
    w2, x2, y2, z2 = b.T
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        1,
    )


def node_group() -> bpy.types.NodeTree:
    """The nodes that all splat objects of a file share."""
    return bpy.data.node_groups.get(GROUP) or _make_node_group()


def _make_node_group() -> bpy.types.NodeTree:
    tree = bpy.data.node_groups.new(GROUP, "GeometryNodeTree")
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    build = _Builder(tree)

    source = build.node("NodeGroupInput")
    # Vertices become points; a point cloud passes through untouched.
    points = build.node("GeometryNodeMeshToPoints")
    both = build.node("GeometryNodeJoinGeometry")
    build.link(source, 0, points, "Mesh")
    clouds = build.node("GeometryNodeSeparateComponents")
    build.link(source, 0, clouds, 0)
    build.link(clouds, "Point Cloud", both, 0)
    build.link(points, 0, both, 0)

    card = build.node("GeometryNodeMeshGrid")
    for socket, value in {"Size X": 2 * REACH, "Size Y": 2 * REACH, "Vertices X": 2, "Vertices Y": 2}.items():
        card.inputs[socket].default_value = value
    named = build.store(card, 0, "FLOAT_VECTOR", CARD, build.node("GeometryNodeInputPosition"), 0)
    shaded = build.node("GeometryNodeSetMaterial")
    shaded.inputs["Material"].default_value = bpy.data.materials.get(MATERIAL) or _material()
    build.link(named, 0, shaded, 0)

    instances = build.node("GeometryNodeInstanceOnPoints")
    build.link(both, 0, instances, "Points")
    build.link(shaded, 0, instances, "Instance")
    build.link(build.attribute(ROTATION, "QUATERNION"), 0, instances, "Rotation")
    build.link(build.attribute(SIZE, "FLOAT_VECTOR"), 0, instances, "Scale")
    # Cards that lie in one plane, as on a wall, count for Cycles as a single see-through surface and leave holes:
    # each is moved within its splat's thickness.
    apart = build.node("GeometryNodeTranslateInstances")
    shift = build.node("FunctionNodeRandomValue")
    shift.data_type = "FLOAT_VECTOR"
    shift.inputs["Min"].default_value, shift.inputs["Max"].default_value = (0, 0, -1), (0, 0, 1)
    build.link(instances, 0, apart, "Instances")
    build.link(shift, 0, apart, "Translation")
    build.link(apart, 0, build.node("NodeGroupOutput"), 0)
    return tree


def _material() -> bpy.types.Material:
    material = bpy.data.materials.new(MATERIAL)
    material.use_nodes = True
    material.surface_render_method = "DITHERED"
    material.use_backface_culling = False
    tree = material.node_tree
    tree.nodes.clear()
    build = _Builder(tree)

    base = build.shader_attribute(COLOR, "INSTANCER")
    card = build.shader_attribute(CARD, "GEOMETRY")
    squared = build.vector("DOT_PRODUCT", (card, "Vector"), (card, "Vector"), output="Value")
    falloff = build.math("EXPONENT", build.math("MULTIPLY", squared, -0.5))
    inside = build.math("LESS_THAN", squared, REACH * REACH)
    opacity = build.math("MULTIPLY", build.math("MULTIPLY", falloff, inside), (base, "Alpha"))
    depth = (build.node("ShaderNodeLightPath"), "Transparent Depth")
    last = build.math("MULTIPLY", build.math("GREATER_THAN", depth, MAX_LAYERS - 0.5), inside)
    opacity = build.math("MAXIMUM", opacity, last)

    emission = build.node("ShaderNodeEmission")
    build.link(base, "Color", emission, "Color")
    mix = build.node("ShaderNodeMixShader")
    build.into(opacity, mix.inputs[0])
    build.link(build.node("ShaderNodeBsdfTransparent"), 0, mix, 1)
    build.link(emission, 0, mix, 2)
    build.link(mix, 0, build.node("ShaderNodeOutputMaterial"), "Surface")
    return material


class _Builder:
    """Adds nodes to a tree and links them. A source is a (node, socket) pair or a constant."""

    def __init__(self, tree: bpy.types.NodeTree):
        self._tree = tree

    def node(self, kind: str) -> bpy.types.Node:
        node = self._tree.nodes.new(kind)
        node.location = (200 * (len(self._tree.nodes) // 4), -180 * (len(self._tree.nodes) % 4))
        return node

    def link(self, source, output, target, entry) -> None:
        self._tree.links.new(source.outputs[output], target.inputs[entry])

    def into(self, source, socket) -> None:
        if isinstance(source, tuple) and isinstance(source[0], bpy.types.Node):
            self._tree.links.new(source[0].outputs[source[1]], socket)
        else:
            socket.default_value = source

    def math(self, operation: str, *sources):
        node = self.node("ShaderNodeMath")
        node.operation = operation
        for source, socket in zip(sources, node.inputs, strict=False):
            self.into(source, socket)
        return node, 0

    def vector(self, operation: str, *sources, output="Vector"):
        node = self.node("ShaderNodeVectorMath")
        node.operation = operation
        for source, socket in zip(sources, node.inputs, strict=False):
            self.into(source, socket)
        return node, output

    def shader_attribute(self, name: str, kind: str):
        node = self.node("ShaderNodeAttribute")
        node.attribute_type = kind
        node.attribute_name = name
        return node

    def attribute(self, name: str, data_type: str):
        node = self.node("GeometryNodeInputNamedAttribute")
        node.data_type = data_type
        node.inputs["Name"].default_value = name
        return node

    def store(self, geometry, output, data_type: str, name: str, value, value_output):
        node = self.node("GeometryNodeStoreNamedAttribute")
        node.data_type = data_type
        node.domain = "POINT"
        node.inputs["Name"].default_value = name
        self.link(geometry, output, node, "Geometry")
        self.link(value, value_output, node, "Value")
        return node
