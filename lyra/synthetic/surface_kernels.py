"""Surface appearance: patterns, wear and small relief. Colours are linear, in [0, 1], higher where they glow."""

import warp as wp

from lyra.synthetic.noise_kernels import turbulence, unit_hash

wp.set_module_options({"max_unroll": 4, "enable_backward": False, "fast_math": True})

PLAIN, CHECKS, BRICKS, WINDOWS, STRIPES, PLANKS, COBBLES, MARBLE, LEAVES, GRADIENT, STROKES, TILES, PANELS = (
    range(13)
)

_CHECKS = wp.constant(CHECKS)
_BRICKS = wp.constant(BRICKS)
_WINDOWS = wp.constant(WINDOWS)
_STRIPES = wp.constant(STRIPES)
_PLANKS = wp.constant(PLANKS)
_COBBLES = wp.constant(COBBLES)
_MARBLE = wp.constant(MARBLE)
_LEAVES = wp.constant(LEAVES)
_GRADIENT = wp.constant(GRADIENT)
_STROKES = wp.constant(STROKES)
_TILES = wp.constant(TILES)
_PANELS = wp.constant(PANELS)


@wp.struct
class Material:
    """`pattern` of `cell` (u, v) metres between `base`, `second` and `joint` (lines of width `line`, a share).

    `grain` is the strength of noise of size `grain_size` metres, `dirt` that of broad stains; `relief` perturbs
    normals; `gloss` is the specular reflectance at normal incidence; `glow` is the emission of windows or of the whole
    surface; `soft` is wrap lighting, as on leaves; `cover` is the amount of snow or moss on top.
    """

    pattern: int
    base: wp.vec3
    second: wp.vec3
    joint: wp.vec3
    cell: wp.vec2
    line: float
    vary: float
    grain: float
    grain_size: float
    dirt: float
    relief: float
    gloss: float
    glow: float
    lit: float
    soft: float
    cover: float


@wp.struct
class Look:
    """A surface at one point: its colour, glow and normal."""

    colour: wp.vec3
    glow: wp.vec3
    normal: wp.vec3
    gloss: float


@wp.func
def mix(a: wp.vec3, b: wp.vec3, share: float):
    return (1.0 - share) * a + share * b


@wp.func
def fade(size: float, footprint: float):
    """The remaining contrast of detail of this size when a pixel covers `footprint`."""
    return wp.smoothstep(0.4, 2.5, size / wp.max(footprint, 1.0e-6))


@wp.func
def surface(
    material: Material,
    noise: wp.array3d(dtype=wp.vec3),
    p: wp.vec3,
    uv: wp.vec2,
    n: wp.vec3,
    seed: int,
    footprint: float,
):
    """The look at `p` (metres in the surface's own frame), pattern coordinates uv (metres), scene normal n."""
    look = Look()
    look.gloss = material.gloss
    glow = float(0.0)
    colour = material.base
    u = uv[0] / material.cell[0]
    v = uv[1] / material.cell[1]
    seen = fade(material.grain_size, footprint)
    detail = fade(wp.min(material.cell[0], material.cell[1]), footprint)
    pattern = material.pattern
    shift = wp.vec3(0.311 * float(seed & 31), 0.173 * float(seed & 15), 0.71)
    broad = turbulence(noise, 0.013 * p / wp.max(material.grain_size, 0.01) + shift)
    fine = turbulence(noise, 0.11 * p / wp.max(material.grain_size, 0.01) + shift)
    joint = float(0.0)
    tint = float(0.5)
    tilt = float(0.0)
    if pattern == _CHECKS:
        even = (int(wp.floor(u)) + int(wp.floor(v))) & 1
        colour = mix(material.base, material.second, 0.5 + detail * (float(even) - 0.5))
        a = u - wp.floor(u)
        b = v - wp.floor(v)
        joint = detail * wp.step(wp.min(wp.min(a, 1.0 - a), wp.min(b, 1.0 - b)) - material.line)
        tint = unit_hash(int(wp.floor(u)), int(wp.floor(v)), seed)
    elif pattern == _BRICKS or pattern == _TILES or pattern == _PLANKS or pattern == _PANELS:
        row = wp.floor(v)
        if pattern == _PLANKS:
            u = u + 3.7 * unit_hash(int(row), 5, seed)
        elif pattern != _PANELS:
            u = u + 0.5 * (row - 2.0 * wp.floor(0.5 * row))
        a = u - wp.floor(u)
        b = v - row
        tint = unit_hash(int(wp.floor(u)), int(row), seed)
        edge = wp.min(wp.min(a, 1.0 - a) * material.cell[0] / material.cell[1], wp.min(b, 1.0 - b))
        joint = detail * (1.0 - wp.smoothstep(0.6 * material.line, 1.4 * material.line, edge))
        colour = mix(material.base, material.second, 0.5 + detail * (tint - 0.5))
        if pattern == _TILES:
            colour = colour * (1.0 - 0.45 * detail * b)
            tilt = 0.5 * (a - 0.5)
        if pattern == _PLANKS:
            streak = turbulence(noise, wp.vec3(0.05 * u, 0.9 * v, tint))
            colour = mix(colour, material.second, 0.5 * detail * streak[0])
    elif pattern == _WINDOWS:
        a = u - wp.floor(u)
        b = v - wp.floor(v)
        tint = unit_hash(int(wp.floor(u)), int(wp.floor(v)), seed)
        inside = wp.step(wp.abs(a - 0.5) - material.line) * wp.step(wp.abs(b - 0.5) - 1.3 * material.line)
        colour = mix(material.base, material.joint, inside * wp.max(detail, 0.25) * (0.6 + 0.4 * tint))
        frame = wp.step(wp.abs(a - 0.5) - 1.3 * material.line) * wp.step(
            wp.abs(b - 0.5) - 1.5 * material.line
        )
        colour = mix(colour, material.second, detail * (frame - inside) * 0.8)
        if inside > 0.5:
            if tint < material.lit:
                glow = material.glow * (0.4 + tint / wp.max(material.lit, 0.01))
            look.gloss = wp.max(material.gloss, 0.12)
    elif pattern == _STRIPES:
        wave = 0.5 + 0.5 * wp.sin(6.2831853 * u)
        colour = mix(material.base, material.second, 0.5 + detail * (wp.smoothstep(0.35, 0.65, wave) - 0.5))
    elif pattern == _COBBLES:
        i = int(wp.floor(u))
        j = int(wp.floor(v))
        first = float(9.0)
        next = float(9.0)
        for dx in range(-1, 2):
            for dy in range(-1, 2):
                cx = float(i + dx) + 0.15 + 0.7 * unit_hash(i + dx, j + dy, seed)
                cy = float(j + dy) + 0.15 + 0.7 * unit_hash(i + dx, j + dy, seed + 7)
                far = wp.sqrt((u - cx) * (u - cx) + (v - cy) * (v - cy))
                if far < first:
                    next = first
                    first = far
                    tint = unit_hash(i + dx, j + dy, seed + 13)
                elif far < next:
                    next = far
        joint = detail * (1.0 - wp.smoothstep(0.4 * material.line, 2.0 * material.line, next - first))
        colour = mix(material.base, material.second, 0.5 + detail * (tint - 0.5)) * (
            1.1 - 0.3 * detail * first
        )
    elif pattern == _MARBLE:
        vein = wp.abs(wp.sin(3.0 * (u + v) + 9.0 * (broad[0] - 0.5) + 4.0 * (fine[1] - 0.5)))
        colour = mix(material.second, material.base, wp.pow(vein, 0.4))
    elif pattern == _LEAVES:
        tuft = wp.clamp(0.5 + 1.8 * seen * (fine[1] - 0.5) + 1.6 * (broad[1] - 0.5), 0.0, 1.0)
        colour = mix(material.base, material.second, tuft)
    elif pattern == _GRADIENT:
        colour = mix(material.base, material.second, wp.clamp(v + 0.3 * (broad[2] - 0.5), 0.0, 1.0))
    elif pattern == _STROKES:
        angle = 6.0 * broad[2]
        along = u * wp.cos(angle) + v * wp.sin(angle)
        across = v * wp.cos(angle) - u * wp.sin(angle)
        stroke = turbulence(noise, wp.vec3(0.05 * along, 0.4 * across, 0.3 + broad[0]))
        colour = mix(material.base, material.second, wp.clamp(0.5 + 2.0 * (stroke[0] - 0.5), 0.0, 1.0))
    colour = colour * (1.0 + material.vary * detail * (tint - 0.5))
    grain = (broad[0] - 0.5) + seen * (fine[0] - 0.5)
    colour = colour * wp.max(1.0 + 2.2 * material.grain * grain, 0.15)
    stain = wp.clamp(1.8 * broad[1] - 0.5, 0.0, 1.0)
    colour = colour * (1.0 - material.dirt * stain)
    colour = mix(colour, material.joint, joint)
    if pattern != _WINDOWS and material.glow > 0.0:
        glow = material.glow
    look.colour = colour
    look.glow = glow * mix(material.base, material.second, 0.3)
    if pattern == _WINDOWS:
        look.glow = glow * wp.vec3(1.0, 0.72, 0.38)
    bump = seen * wp.vec3(fine[0] - 0.5 + tilt, fine[1] - 0.5, fine[2] - 0.5) + 0.4 * (
        broad - wp.vec3(0.5, 0.5, 0.5)
    )
    bump = bump + 0.5 * joint * wp.vec3(tint - 0.5, 0.0, 0.5 - tint)
    # Reflective surfaces are polished or still, without relief.
    rough = 2.0 * material.relief * (1.0 - 0.85 * wp.min(8.0 * look.gloss, 1.0))
    look.normal = wp.normalize(n + rough * bump)
    return look
