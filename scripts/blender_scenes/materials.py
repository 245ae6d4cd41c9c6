"""Materials, skies and lamps of a synthetic scene as Blender nodes. Needs bpy."""

from __future__ import annotations

import math

import bpy
import numpy as np

from lyra.synthetic import surface_kernels as patterns
from lyra.synthetic.scene import Scene

BLOCKS = (patterns.BRICKS, patterns.PLANKS, patterns.TILES, patterns.PANELS, patterns.WINDOWS)
# Watts of a lamp per unit of light and square metre of reach, to match the ray caster's lamps.
LAMP_WATTS = 45.0


def material(fields: dict, rng: np.random.Generator) -> bpy.types.Material:
    """A Principled material from the fields of surface_kernels.Material."""
    made = bpy.data.materials.new("surface")
    made.use_nodes = True
    tree = made.node_tree
    shader = tree.nodes["Principled BSDF"]
    where = tree.nodes.new("ShaderNodeTexCoord").outputs["UV"]
    colour, height = _pattern(tree, fields, where)
    stained = _stained(tree, colour, fields, rng)
    tree.links.new(stained, shader.inputs["Base Color"])
    gloss = fields.get("gloss", 0.0)
    shader.inputs["Roughness"].default_value = (
        rng.uniform(0.02, 0.25) if gloss > 0.05 else rng.uniform(0.4, 1.0)
    )
    shader.inputs["Metallic"].default_value = float(gloss > 0.1 and rng.random() < 0.3)
    if fields.get("glow", 0.0) > 0 and fields["pattern"] != patterns.WINDOWS:
        shader.inputs["Emission Color"].default_value = (*fields["base"], 1)
        shader.inputs["Emission Strength"].default_value = fields["glow"]
    bump = tree.nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = min(1.2 * fields.get("relief", 0.2) + 0.1, 1.0)
    bump.inputs["Distance"].default_value = 0.15 * fields.get("grain_size", 1.0)
    tree.links.new(height, bump.inputs["Height"])
    tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return made


def _pattern(tree: bpy.types.NodeTree, fields: dict, where) -> tuple:
    """Sockets of the pattern's colour and of its relief."""
    base, second, joint = ((*fields[name], 1.0) for name in ("base", "second", "joint"))
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 1 / max(fields.get("grain_size", 1.0), 0.02)
    noise.inputs["Detail"].default_value = 8
    tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["Object"], noise.inputs["Vector"])
    cell = fields["cell"]
    if fields["pattern"] in BLOCKS:
        node = tree.nodes.new("ShaderNodeTexBrick")
        node.offset = 0.0 if fields["pattern"] in (patterns.PANELS, patterns.WINDOWS) else 0.5
        node.inputs["Scale"].default_value = 1.0
        node.inputs["Brick Width"].default_value, node.inputs["Row Height"].default_value = cell
        node.inputs["Mortar Size"].default_value = fields["line"] * min(cell)
        node.inputs["Color1"].default_value, node.inputs["Color2"].default_value = base, second
        node.inputs["Mortar"].default_value = joint
        if fields["pattern"] == patterns.WINDOWS:
            node.inputs["Color1"].default_value = node.inputs["Color2"].default_value = joint
            node.inputs["Mortar"].default_value = base
            node.inputs["Mortar Smooth"].default_value = 0.0
        tree.links.new(where, node.inputs["Vector"])
        height = tree.nodes.new("ShaderNodeMath")
        height.operation = "SUBTRACT"
        tree.links.new(noise.outputs["Fac"], height.inputs[0])
        tree.links.new(node.outputs["Fac"], height.inputs[1])
        return node.outputs["Color"], height.outputs[0]
    if fields["pattern"] == patterns.CHECKS:
        node = tree.nodes.new("ShaderNodeTexChecker")
        node.inputs["Scale"].default_value = 1 / cell[0]
        node.inputs["Color1"].default_value, node.inputs["Color2"].default_value = base, second
        tree.links.new(where, node.inputs["Vector"])
        return node.outputs["Color"], noise.outputs["Fac"]
    if fields["pattern"] == patterns.COBBLES:
        node = tree.nodes.new("ShaderNodeTexVoronoi")
        node.feature = "DISTANCE_TO_EDGE"
        node.inputs["Scale"].default_value = 1 / cell[0]
        tree.links.new(where, node.inputs["Vector"])
        return _ramp(
            tree, node.outputs["Distance"], [(0.0, joint), (0.08, base), (0.6, second)]
        ), node.outputs["Distance"]
    if fields["pattern"] in (patterns.STRIPES, patterns.MARBLE):
        node = tree.nodes.new("ShaderNodeTexWave")
        node.inputs["Scale"].default_value = 0.3 / cell[0]
        node.inputs["Distortion"].default_value = 0.0 if fields["pattern"] == patterns.STRIPES else 8.0
        tree.links.new(where, node.inputs["Vector"])
        return _ramp(tree, node.outputs["Fac"], [(0.35, base), (0.65, second)]), noise.outputs["Fac"]
    return _ramp(tree, noise.outputs["Fac"], [(0.3, base), (0.7, second)]), noise.outputs["Fac"]


def _ramp(tree: bpy.types.NodeTree, value, stops: list[tuple[float, tuple]]):
    ramp = tree.nodes.new("ShaderNodeValToRGB").color_ramp
    node = tree.nodes[-1]
    while len(ramp.elements) < len(stops):
        ramp.elements.new(0.5)
    for element, (position, colour) in zip(ramp.elements, stops, strict=True):
        element.position, element.color = position, colour
    tree.links.new(value, node.inputs["Fac"])
    return node.outputs["Color"]


def _stained(tree: bpy.types.NodeTree, colour, fields: dict, rng: np.random.Generator):
    """The colour under broad stains and fine grain."""
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = rng.uniform(0.1, 0.5) / max(fields.get("grain_size", 1.0), 0.02)
    noise.inputs["Detail"].default_value = 10
    tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["Object"], noise.inputs["Vector"])
    dark = max(1 - fields.get("dirt", 0.0) - fields.get("grain", 0.2), 0.2)
    shade = _ramp(tree, noise.outputs["Fac"], [(0.3, (dark, dark, dark, 1)), (0.65, (1, 1, 1, 1))])
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "MULTIPLY"
    mix.inputs["Factor"].default_value = 1.0
    colours = [socket for socket in mix.inputs if socket.type == "RGBA"]
    tree.links.new(colour, colours[0])
    tree.links.new(shade, colours[1])
    return next(socket for socket in mix.outputs if socket.type == "RGBA")


def light(scene: Scene, rng: np.random.Generator) -> None:
    """World, sun and lamps from a scene's air; closed rooms without lamps get some."""
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    tree = world.node_tree
    background = tree.nodes["Background"]
    air = scene.air
    sun = np.array(air["sun"])
    if not scene.indoor and rng.random() < 0.5:
        sky = tree.nodes.new("ShaderNodeTexSky")
        sky.sky_type = "NISHITA"
        sky.sun_elevation = float(math.asin(np.clip(sun[2], -1, 1)))
        sky.sun_rotation = math.atan2(sun[0], sun[1])
        sky.dust_density = rng.uniform(0.2, 6)
        sky.sun_size = rng.uniform(0.01, 0.1)
        tree.links.new(sky.outputs["Color"], background.inputs["Color"])
        background.inputs["Strength"].default_value = 0.2
    else:
        _gradient(tree, background, air, rng)
        if sum(air["sun_light"]) > 0:
            lamp = bpy.data.lights.new("sun", "SUN")
            lamp.color = np.array(air["sun_light"]) / max(air["sun_light"])
            lamp.energy = 2.5 * max(air["sun_light"])
            lamp.angle = rng.uniform(0.005, 0.2)
            lamp_object = bpy.data.objects.new("sun", lamp)
            heading, height = math.atan2(sun[0], sun[1]), math.asin(np.clip(sun[2], -1, 1))
            lamp_object.rotation_euler = (0.5 * math.pi - height, 0.0, math.pi - heading)
            bpy.context.scene.collection.objects.link(lamp_object)
    lamps = list(scene.lamps)
    if scene.indoor:
        eye = np.array(scene.cameras[0].eye)
        tint = np.array(air["above"]) / max(air["above"])
        for ahead in (0.0, 3.0, 8.0):
            lamps.append(
                {"at": tuple(np.add(eye, (0.3, ahead, 0.5))), "light": tuple(0.6 * tint), "reach": 1.5}
            )
    for lamp in lamps:
        _lamp(lamp, rng)


def _gradient(tree: bpy.types.NodeTree, background, air: dict, rng: np.random.Generator) -> None:
    """A sky from horizon to zenith with noise for clouds."""
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    split = tree.nodes.new("ShaderNodeSeparateXYZ")
    tree.links.new(coordinates.outputs["Generated"], split.inputs[0])
    sky = _ramp(tree, split.outputs["Z"], [(0.0, (*air["horizon"], 1)), (0.6, (*air["zenith"], 1))])
    noise = tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = rng.uniform(1.5, 5)
    noise.inputs["Detail"].default_value = 8
    tree.links.new(coordinates.outputs["Generated"], noise.inputs["Vector"])
    bright = (*air.get("cloud_light", air["horizon"]), 1)
    cover = _ramp(tree, noise.outputs["Fac"], [(0.45, (0, 0, 0, 1)), (rng.uniform(0.55, 0.8), (1, 1, 1, 1))])
    mix = tree.nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    colours = [socket for socket in mix.inputs if socket.type == "RGBA"]
    tree.links.new(cover, mix.inputs["Factor"])
    tree.links.new(sky, colours[0])
    colours[1].default_value = bright
    tree.links.new(next(s for s in mix.outputs if s.type == "RGBA"), background.inputs["Color"])


def _lamp(fields: dict, rng: np.random.Generator) -> None:
    colour = np.array(fields["light"])
    lamp = bpy.data.lights.new("lamp", "POINT")
    lamp.color = colour / max(colour.max(), 1e-6)
    lamp.energy = LAMP_WATTS * float(colour.max()) * fields["reach"] ** 2
    lamp.shadow_soft_size = rng.uniform(0.05, 0.4)
    thing = bpy.data.objects.new("lamp", lamp)
    thing.location = fields["at"]
    bpy.context.scene.collection.objects.link(thing)
