"""Matte Blender materials that look painted: dabs of colour, hand-drawn masonry, mist.

Everything is a function of the position in the world, never of the camera, so a point has the same colour in every
view, and warped images can be compared with rendered ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy

Color = tuple[float, float, float]


def srgb(code: str) -> Color:
    """Linear RGB of a hexadecimal sRGB colour such as "d9a86c"."""
    channels = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)


@dataclass(frozen=True)
class Mist:
    """Air between the first camera and the distance: `start` and `length` in metres along the view (world +y)."""

    start: float = 14.0
    length: float = 105.0
    ceiling: float = 34.0
    color: str = "e9bd8e"
    strength: float = 0.62


class Graph:
    """Shader nodes as expressions: every method adds a node and returns its output socket."""

    def __init__(self, tree: bpy.types.NodeTree):
        self.tree = tree
        tree.nodes.clear()

    def node(self, kind: str, output: str | int = 0, /, settings: dict | None = None, **inputs):
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for name, value in (settings or {}).items():
            setattr(node, name, value)
        for name, value in inputs.items():
            self._feed(node.inputs[int(name[1:]) if name[1:].isdigit() else name.replace("_", " ")], value)
        return node.outputs[output]

    def _feed(self, socket, value) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif socket.type == "RGBA" and len(value) == 3:
            socket.default_value = (*value, 1)
        else:
            socket.default_value = value

    def math(self, operation: str, a, b=0.0, clamp: bool = False):
        return self.node("Math", settings={"operation": operation, "use_clamp": clamp}, _0=a, _1=b)

    def vector(self, operation: str, a, b=(0, 0, 0)):
        return self.node("VectorMath", settings={"operation": operation}, _0=a, _1=b)

    def mix(self, factor, a, b, blend: str = "MIX"):
        settings = {"data_type": "RGBA", "blend_type": blend, "clamp_factor": True}
        return self.node("Mix", 2, settings=settings, _0=factor, _6=a, _7=b)

    def noise(self, vector, scale: float, detail: float = 3.0, output: str = "Fac"):
        return self.node("TexNoise", output, Vector=vector, Scale=scale, Detail=detail)

    def ramp(self, factor, colors: list[Color], positions: list[float] | None = None):
        node = self.tree.nodes.new("ShaderNodeValToRGB")
        positions = positions or [i / (len(colors) - 1) for i in range(len(colors))]
        elements = node.color_ramp.elements
        while len(elements) < len(colors):
            elements.new(0.5)
        for element, position, color in zip(elements, positions, colors, strict=True):
            element.position, element.color = position, (*color, 1)
        self._feed(node.inputs[0], factor)
        return node.outputs[0]

    def smoothstep(self, value, low: float, high: float):
        settings = {"interpolation_type": "SMOOTHSTEP"}
        return self.node("MapRange", settings=settings, _0=value, _1=low, _2=high, _3=0.0, _4=1.0)

    def dabs(self, position, scale: float, stretch: tuple[float, float, float] = (1, 1, 1)):
        """A random value in [0, 1] per brush dab: one value per cell of a distorted Voronoi pattern."""
        wobble = self.vector("SUBTRACT", self.noise(position, scale * 0.9, 2, "Color"), (0.5, 0.5, 0.5))
        bent = self.vector("MULTIPLY_ADD", position, stretch)
        self._feed(bent.node.inputs[2], self.vector("SCALE", wobble))
        bent.node.inputs[2].links[0].from_node.inputs["Scale"].default_value = 1.3 / scale
        settings = {"feature": "SMOOTH_F1"}
        cells = self.node("TexVoronoi", "Color", settings=settings, Vector=bent, Scale=scale, Smoothness=0.25)
        return self.node("SeparateColor", Color=cells)


def add_mist(graph: Graph, shader, mist: Mist):
    """`shader` seen through mist, whose density depends on the position in the world alone."""
    x, y, z = (graph.node("SeparateXYZ", i, Vector=graph.node("NewGeometry")) for i in range(3))
    deep = graph.math("DIVIDE", graph.math("SUBTRACT", y, mist.start), mist.length)
    depth = graph.math(
        "SUBTRACT",
        1.0,
        graph.math("EXPONENT", graph.math("MULTIPLY", graph.math("MAXIMUM", deep, 0.0), -1.0)),
    )
    low = graph.math("SUBTRACT", 1.0, graph.smoothstep(z, 1.0, mist.ceiling))
    drift = graph.noise(graph.vector("MULTIPLY", graph.node("NewGeometry"), (0.02, 0.012, 0.07)), 1.0, 2)
    thickness = graph.math("MULTIPLY_ADD", low, 0.55)
    graph._feed(thickness.node.inputs[2], graph.math("MULTIPLY_ADD", drift, 0.5))
    amount = graph.math("MULTIPLY", depth, thickness, clamp=True)
    warm = graph.smoothstep(graph.math("DIVIDE", x, graph.math("ADD", y, 10.0)), 0.6, -0.6)
    color = graph.mix(warm, srgb("c9a6a0"), srgb(mist.color))
    glow = graph.node("Emission", Color=color, Strength=mist.strength)
    return graph.node("MixShader", _0=amount, _1=shader, _2=glow)


def finish(material, graph: Graph, color, mist: Mist, bounce: Color, relief=None, height: float = 0.03):
    """Diffuse paint of `color` with an optional relief, seen through the mist.

    Indirect light uses one flat `bounce` colour: it looks the same and renders three times faster.
    """
    material.cycles.emission_sampling = "NONE"  # the mist's emission is not a light source
    shader = graph.node("BsdfDiffuse", Color=color)
    if relief is not None:
        bump = graph.node("Bump", Height=relief, Distance=height, Strength=0.8)
        graph._feed(shader.node.inputs["Normal"], bump)
    output = graph.tree.nodes.new("ShaderNodeOutputMaterial")
    seen = graph.node("LightPath", "Is Camera Ray")
    plain = graph.node("BsdfDiffuse", Color=bounce)
    graph._feed(
        output.inputs[0], graph.node("MixShader", _0=seen, _1=plain, _2=add_mist(graph, shader, mist))
    )
    return material


def _start(name: str) -> tuple[bpy.types.Material, Graph]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    return material, Graph(material.node_tree)


def painted(name: str, palette: list[str], mist: Mist, dab: float = 0.25, stretch=(1, 1, 0.45)):
    """Dabs of about `dab` metres in the colours of the palette, dark to light, with broad drifts of tone."""
    material, graph = _start(name)
    place = graph.node("NewGeometry")
    tone = graph.math("MULTIPLY_ADD", graph.dabs(place, 1 / dab, stretch), 0.55)
    graph._feed(tone.node.inputs[2], graph.math("MULTIPLY", graph.noise(place, 0.22 / dab, 4), 0.5))
    color = graph.ramp(tone, [srgb(code) for code in palette])
    return finish(material, graph, color, mist, srgb(palette[len(palette) // 2]), tone, dab * 0.12)


def masonry(
    name: str, palette: list[str], mist: Mist, block: float = 0.85, seams: float = 0.5, moss: str = "5f6a38"
):
    """Courses of hewn stone with hand-drawn lines, streaks running down, moss at the foot and on ledges.

    `seams` is the darkness of the joints; 0 gives a single piece of stone.
    """
    material, graph = _start(name)
    place = graph.node("NewGeometry")
    normal = graph.node("NewGeometry", "Normal")
    x, y, z = (graph.node("SeparateXYZ", i, Vector=place) for i in range(3))
    facing_x = graph.math(
        "GREATER_THAN", graph.math("ABSOLUTE", graph.node("SeparateXYZ", 0, Vector=normal)), 0.6
    )
    along = graph.node("Mix", 0, _0=facing_x, _2=x, _3=y)
    flat = graph.node("CombineXYZ", X=along, Y=z)
    wobble = graph.vector("SUBTRACT", graph.noise(place, 1.3, 3, "Color"), (0.5, 0.5, 0.5))
    bent = graph.vector("MULTIPLY_ADD", wobble, (0.16, 0.12, 0.0))
    graph._feed(bent.node.inputs[2], flat)
    bricks = graph.node(
        "TexBrick", "Fac", Vector=bent, Scale=1.0, Mortar_Size=0.022, Mortar_Smooth=0.6, Brick_Width=block,
        Row_Height=block * 0.48,
    )  # fmt: skip
    cells = graph.node(
        "TexBrick", "Color", settings={"offset": 0.5}, Vector=bent, Scale=1.0, Mortar_Size=0.0, Brick_Width=block,
        Row_Height=block * 0.48, Color1=(0, 0, 0), Color2=(1, 1, 1),
    )  # fmt: skip
    stone = graph.node("SeparateColor", Color=cells)
    tone = graph.math("MULTIPLY_ADD", graph.dabs(place, 5.0, (1, 1, 0.5)), 0.3)
    broad = graph.math("MULTIPLY_ADD", graph.noise(place, 0.6, 4), 0.5)
    graph._feed(broad.node.inputs[2], graph.math("MULTIPLY", stone, 0.32 if seams else 0.0))
    graph._feed(broad.node.inputs[1], 0.5 if seams else 0.8)
    graph._feed(tone.node.inputs[2], broad)
    color = graph.ramp(graph.math("SUBTRACT", tone, 0.05), [srgb(code) for code in palette])
    stains = graph.noise(graph.vector("MULTIPLY", place, (1.6, 1.6, 0.16)), 1.0, 3)
    color = graph.mix(
        graph.math("MULTIPLY", graph.smoothstep(stains, 0.52, 0.72), 0.45), color, srgb("4a3b36")
    )
    color = graph.mix(graph.math("MULTIPLY", bricks, seams), color, srgb("43332f"))
    up = graph.smoothstep(graph.node("SeparateXYZ", 2, Vector=normal), 0.35, 0.85)
    foot = graph.smoothstep(graph.math("MULTIPLY_ADD", graph.noise(place, 0.9, 4), 3.2), 1.4, 2.4)
    foot = graph.math("MULTIPLY", foot, graph.smoothstep(z, 1.6, 0.2))
    mossy = graph.math(
        "MULTIPLY", graph.math("MAXIMUM", up, foot), graph.smoothstep(graph.noise(place, 2.2, 4), 0.4, 0.6)
    )
    color = graph.mix(graph.math("MULTIPLY", mossy, 0.85), color, srgb(moss))
    relief = graph.math("SUBTRACT", tone, graph.math("MULTIPLY", bricks, seams))
    return finish(material, graph, color, mist, srgb(palette[len(palette) // 2]), relief, 0.05)


def meadow(name: str, mist: Mist):
    """Dry grass with dabs of flowers; flagstones where the mesh attribute `path` is near 1."""
    material, graph = _start(name)
    place = graph.node("NewGeometry")
    x, y = (graph.node("SeparateXYZ", i, Vector=place) for i in range(2))
    flat = graph.node("CombineXYZ", X=x, Y=y)
    tone = graph.math("MULTIPLY_ADD", graph.dabs(flat, 4.0, (1, 0.6, 1)), 0.45)
    graph._feed(tone.node.inputs[2], graph.math("MULTIPLY", graph.noise(flat, 0.35, 4), 0.6))
    grass = graph.ramp(tone, [srgb(c) for c in ("3d4429", "5f6238", "857f47", "a9975a", "c9b276")])
    flowers = graph.math("MULTIPLY", graph.math("GREATER_THAN", graph.dabs(flat, 9.0), 0.93),
                         graph.smoothstep(graph.noise(flat, 0.3, 2), 0.5, 0.62))  # fmt: skip
    grass = graph.mix(graph.math("MULTIPLY", flowers, 0.9), grass, srgb("d9694a"))

    wobble = graph.vector("SUBTRACT", graph.noise(flat, 1.1, 3, "Color"), (0.5, 0.5, 0.5))
    bent = graph.vector("MULTIPLY_ADD", wobble, (0.35, 0.35, 0.0))
    graph._feed(bent.node.inputs[2], flat)
    seams = graph.node(
        "TexVoronoi", "Distance", settings={"feature": "DISTANCE_TO_EDGE"}, Vector=bent, Scale=1.15
    )
    slabs = graph.node("SeparateColor", Color=graph.node("TexVoronoi", "Color", Vector=bent, Scale=1.15))
    slab_tone = graph.math("MULTIPLY_ADD", graph.dabs(flat, 6.0, (1, 0.7, 1)), 0.3)
    graph._feed(slab_tone.node.inputs[2], graph.math("MULTIPLY", slabs, 0.55))
    paving = graph.ramp(slab_tone, [srgb(c) for c in ("6d5546", "96775c", "bd9a74", "dcbf95")])
    seam = graph.smoothstep(seams, 0.07, 0.02)
    paving = graph.mix(graph.math("MULTIPLY", seam, 0.85), paving, srgb("4b452b"))

    path = graph.node("Attribute", "Fac", settings={"attribute_name": "path"})
    ragged = graph.math(
        "ADD", path, graph.math("MULTIPLY", graph.math("SUBTRACT", graph.noise(flat, 2.0, 4), 0.5), 0.9)
    )
    on_path = graph.smoothstep(ragged, 0.42, 0.58)
    color = graph.mix(on_path, grass, paving)
    relief = graph.math("SUBTRACT", tone, graph.math("MULTIPLY", graph.math("MULTIPLY", seam, on_path), 0.8))
    return finish(material, graph, color, mist, srgb("8a7a45"), relief, 0.05)


def painted_sky(world: bpy.types.World, sun: tuple[float, float, float]) -> None:
    """A golden-hour sky as a function of direction: gradient, glow around the sun, brushed cloud banks."""
    world.use_nodes = True
    world.cycles.sampling_method = "NONE"
    graph = Graph(world.node_tree)
    ray = graph.vector("NORMALIZE", graph.node("TexCoord", "Generated"))
    up = graph.node("SeparateXYZ", 2, Vector=ray)
    sky = graph.ramp(
        graph.math("ADD", graph.math("MULTIPLY", up, 1.25), 0.12),
        [srgb(c) for c in ("e7a66a", "f3c488", "e8c9a0", "b9b7ae", "8599ad", "586f92")],
        [0.0, 0.14, 0.26, 0.42, 0.62, 1.0],
    )
    toward = graph.node("VectorMath", "Value", settings={"operation": "DOT_PRODUCT"}, _0=ray, _1=sun)
    toward = graph.math("MAXIMUM", toward, 0.0)
    glow = graph.math("ADD", graph.math("MULTIPLY", graph.math("POWER", toward, 3.0), 0.75),
                      graph.math("MULTIPLY", graph.math("POWER", toward, 24.0), 0.5), clamp=True)  # fmt: skip
    sky = graph.mix(glow, sky, srgb("ffdb9a"))

    flat = graph.vector("DIVIDE", ray, graph.node("CombineXYZ", X=0.22, Y=0.22, Z=0.075))
    brushed = graph.vector(
        "ADD", flat, graph.vector("MULTIPLY", graph.noise(flat, 1.4, 4, "Color"), (0.9, 0.9, 0.5))
    )
    body = graph.math("MULTIPLY_ADD", graph.dabs(brushed, 2.2), 0.16)
    graph._feed(body.node.inputs[2], graph.noise(brushed, 0.62, 6))
    cover = graph.math("MULTIPLY", graph.smoothstep(body, 0.50, 0.68), graph.smoothstep(up, 0.03, 0.16))
    under = graph.noise(graph.vector("ADD", brushed, (0.0, 0.0, 0.35)), 0.62, 6)
    lit = graph.smoothstep(graph.math("SUBTRACT", body, under), -0.06, 0.2)
    cloud = graph.ramp(lit, [srgb(c) for c in ("8f7f92", "d09c86", "f6d3a2", "fff0cf")])
    sky = graph.mix(graph.math("MULTIPLY", cover, 0.88), sky, cloud)
    shown = graph.node("Background", Color=sky, Strength=0.95)

    skylight = graph.ramp(
        graph.math("MULTIPLY_ADD", up, 0.5), [srgb(c) for c in ("6b5a4a", "d8b598", "7c8fc4")]
    )
    graph._feed(skylight.node.inputs[0].links[0].from_node.inputs[2], 0.5)
    light = graph.node("Background", Color=skylight, Strength=1.0)
    camera_ray = graph.node("LightPath", "Is Camera Ray")
    output = graph.tree.nodes.new("ShaderNodeOutputWorld")
    graph._feed(output.inputs[0], graph.node("MixShader", _0=camera_ray, _1=light, _2=shown))
