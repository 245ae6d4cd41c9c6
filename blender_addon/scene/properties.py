"""Properties that a .blend keeps: settings on the scene, and each world on its empty."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..service import engines
from ..service.contract import (
    ENGINE_OPTIONS,
    LANDSCAPE_SIZE,
    MAX_CHUNKS,
    MAX_NAME,
    MAX_PROMPT,
    MAX_SEED,
    MAX_SIDE,
    MIN_SIDE,
    SIDE_STEP,
)
from . import depth_file, worlds

DEPTH_ITEMS = [
    ("auto", "Automatic", "The best estimator that is ready on the service's machine"),
    ("builtin", "Built In", "A small network that comes with the service; nothing to download"),
    ("depth-anything-v2", "Depth Anything V2", "Metric depth by a learned model"),
    ("depth-anything-v2-large", "Depth Anything V2 Large", "The same, larger; non-commercial"),
    ("depth-anything-3", "Depth Anything 3", "The most accurate, on a GPU; non-commercial"),
    ("layout", "Layout", "Ground, horizon and sky estimated from the image; the simplest"),
    # Behind the others, whose numbers are in .blend files.
    ("joined", "MoGe-2 and Depth Anything", "In metres, with lens and sky; one download, no PyTorch"),
    ("moge-2", "MoGe-2", "The former's metres, lens and sky alone"),
    ("depth-anything-v2-onnx", "Depth Anything V2 Relative", "The former's edges; the scale is a guess"),
]
DEPTH_SCENE_ITEMS = [
    ("auto", "Automatic", "Outdoor where the image shows sky, else indoor"),
    ("indoor", "Indoor", "For rooms"),
    ("outdoor", "Outdoor", "For streets and landscapes"),
]
DEPTH_VALUE_ITEMS = [
    ("metres", "Metres", "z-depth along the view; a .png of 16 bits in millimetres"),
    ("inverse", "Inverse", "Relative depth in which near is bright; its scale is estimated"),
]
# In capitals the service's own names, and AUTO for none of them.
MEMORY_ITEMS = [
    ("AUTO", "Automatic", "The first of these that fits the free device memory"),
    ("RESIDENT", "Resident", "All weights on the GPU: the fastest"),
    ("FP8", "8 Bit", "On the GPU with weights of 8 bits: half the device memory"),
    ("OFFLOAD", "Offload", "In main memory, a part at a time on the GPU: the least device memory, slow"),
]


def _limits(option: str) -> dict:
    limits = ENGINE_OPTIONS[option]
    return {"default": limits.default, "min": limits.min, "max": limits.max}


def _is_camera(_settings, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


def _is_world(_settings, candidate: bpy.types.Object) -> bool:
    return worlds.is_world(candidate)


def _show(settings, _context) -> None:
    if settings.world:
        worlds.show(settings.world, settings.show)
        if settings.show == "MESH":
            worlds.show_vertex_colors()


def _other_world(settings, _context) -> None:
    """The path of one world is not that of another, and each keeps what is shown of it."""
    empty = settings.world
    if empty is None:
        return
    if settings.camera and worlds.is_camera_of_another(settings.camera, empty):
        settings.camera = worlds.newest_path(settings.id_data, empty)
    shown = worlds.shown(empty)
    if shown and shown != settings.show:
        settings.show = shown


def _other_image(settings, _context) -> None:
    """Depth that the scene gave to one image is not that of another. A file the artist chose is left to them."""
    if settings.depth_origin and not depth_file.is_for_image(settings.depth_origin, settings.image):
        settings.depth_file = ""


def _other_depth(settings, _context) -> None:
    """What was said of one depth file does not hold for another."""
    settings.depth_blend, settings.depth_known, settings.depth_origin = False, 0.0, ""
    settings.depth_values = "metres"


def _own(name: str):
    """An update function: a setting that the artist takes over begins at the default of the world's engine."""

    def begin(settings, _context) -> None:
        if settings.world and getattr(settings, f"use_{name}"):
            limits = engines.setting(worlds.description(settings.world).engine, name)
            if limits:
                setattr(settings, name, type(getattr(settings, name))(limits.default))

    return begin


class LYRA_PG_prompt(bpy.types.PropertyGroup):
    """A text for a part of a world."""

    chunk: IntProperty(
        name="From Chunk",
        description="The chunk of 80 frames, counted from 1 over the whole world, from which the text holds",
        default=1,
        min=1,
        max=MAX_CHUNKS,
    )
    text: StringProperty(name="Text", description="What is seen from that chunk on", maxlen=MAX_PROMPT)


class LYRA_PG_world(bpy.types.PropertyGroup):
    """A world, on the empty it hangs under. What the service says is kept as it was said, in JSON."""

    world_id: StringProperty(name="World ID", description="The world's id: the name of its folder")
    world: StringProperty(name="World", description="The world as the service last described it")
    job: StringProperty(name="Job", description="The job in progress when the file was saved")
    depth: FloatProperty(
        name="Depth", description="Median depth of the first view in world units", default=1.0
    )
    reach: FloatProperty(
        name="Reach", description="Largest distance from a camera of the path to a splat, in world units"
    )
    first_frame: IntProperty(
        name="First Frame", description="Scene frame of the world's first frame", default=1
    )
    stands_up: BoolProperty(
        name="Stands Upright",
        description="The world is turned upright once the direction against gravity is known",
        default=False,
    )
    prompts: CollectionProperty(name="Prompts", description="Prompts by chunk", type=LYRA_PG_prompt)
    prompt_index: IntProperty(name="Prompt", description="The chosen text", default=0)


class LYRA_PG_settings(bpy.types.PropertyGroup):
    """What the artist sets before each step."""

    image: StringProperty(
        name="Image",
        description="The reference image of the world",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_other_image,
    )
    depth_file: StringProperty(
        name="Depth File",
        description="Known depth of the image (.npz, .npy, .exr, .pfm or .png); empty: it is estimated",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_other_depth,
    )
    depth_values: EnumProperty(
        name="Values",
        description="What the depth file holds",
        items=DEPTH_VALUE_ITEMS,
        default="metres",
    )
    depth_blend: BoolProperty(
        name="Estimate the Rest",
        description="Estimate depth where the depth file has none, and blend it in without a step",
        default=False,
    )
    depth_known: FloatProperty(
        name="Known", description="Part of the image that depth from the scene covers", default=0.0
    )
    depth_origin: StringProperty(name="Origin", description="Image and camera of the depth from the scene")
    depth: EnumProperty(
        name="Depth",
        description="How depth is estimated",
        items=DEPTH_ITEMS,
        default="auto",
    )
    depth_scene: EnumProperty(
        name="Kind of Scene",
        description="Which weights of Depth Anything V2 are taken",
        items=DEPTH_SCENE_ITEMS,
        default="auto",
    )
    allow_download: BoolProperty(
        name="Allow Download",
        description="Let the service download the depth estimator's weights when they are missing",
        default=False,
    )
    use_camera_lens: BoolProperty(
        name="Use Camera Lens",
        description="Take the field of view from the scene's camera instead of estimating it",
        default=False,
    )
    name: StringProperty(
        name="Name",
        description="Name of the world; empty: that of the image",
        maxlen=MAX_NAME,
    )
    engine: StringProperty(name="Engine", description="What makes the world's frames", default="preview")
    seed: IntProperty(
        name="Seed", description="Another seed gives another world", default=0, min=0, max=MAX_SEED
    )
    size: EnumProperty(
        name="Size",
        description="Frame size of the world",
        items=[
            ("MODEL", "832 x 480", "The size the models were trained at; 480 x 832 for an upright image", 0),
            ("DRAFT", "416 x 240", "For quick tests; 240 x 416 for an upright image", 1),
            ("CUSTOM", "Custom", "Any multiple of 16", 2),
        ],
        default="MODEL",
    )
    width: IntProperty(
        name="Width", default=LANDSCAPE_SIZE[0], min=MIN_SIDE, max=MAX_SIDE, step=SIDE_STEP, subtype="PIXEL"
    )
    height: IntProperty(
        name="Height", default=LANDSCAPE_SIZE[1], min=MIN_SIDE, max=MAX_SIDE, step=SIDE_STEP, subtype="PIXEL"
    )
    match_render_size: BoolProperty(
        name="Set Render Size",
        description="Set the scene's resolution to the world's frame size",
        default=False,
    )

    world: PointerProperty(
        name="World",
        description="The world that the panels below work on",
        type=bpy.types.Object,
        poll=_is_world,
        update=_other_world,
    )
    camera: PointerProperty(
        name="Camera",
        description="The animated camera whose path the world follows; any perspective camera will do",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    own_camera: PointerProperty(
        name="Own Camera",
        description="The scene's camera before that of a world took its place",
        type=bpy.types.Object,
    )
    range: EnumProperty(
        name="Frames",
        description="Which part of the camera's animation is the path",
        items=[
            ("PATH", "Path", "First and last frame as set below; Add Camera Path sets them", 0),
            ("SCENE", "Scene Range", "The scene's frame range", 1),
        ],
        default="SCENE",
    )
    first_frame: IntProperty(name="First Frame", description="Frame at which the path begins", default=1)
    last_frame: IntProperty(name="Last Frame", description="Frame at which the path ends", default=81)
    show_path: BoolProperty(
        name="Show Path",
        description="Show the path that will be sent: a tick every 10 frames, a camera at each chunk's border",
        default=True,
    )
    chunks: IntProperty(
        name="Length",
        description="How many chunks of 80 frames are made along the path",
        default=1,
        min=1,
        soft_max=10,
        max=MAX_CHUNKS,
    )
    prompt: StringProperty(
        name="Prompt",
        description="What is seen along the path; the preview engine ignores it",
        maxlen=MAX_PROMPT,
    )
    use_steps: BoolProperty(
        name="Own Steps",
        description="Set the number of steps instead of the engine's own",
        update=_own("steps"),
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps; fewer are faster and coarser",
        **_limits("steps"),
    )
    use_guidance: BoolProperty(
        name="Own Guidance",
        description="Set the guidance instead of the engine's own",
        update=_own("guidance"),
    )
    guidance: FloatProperty(
        name="Guidance",
        description="How strictly the prompt is followed",
        **_limits("guidance"),
    )
    use_styles: BoolProperty(
        name="Own Styles",
        description="Merge the published style files into the network",
        update=_own("styles"),
    )
    styles: FloatProperty(
        name="Styles",
        description="Strength of the published style files, realism and detail; they are a separate download",
        **_limits("styles"),
    )
    memory_mode: EnumProperty(
        name="Device Memory",
        description="How the network is kept in device memory while it runs",
        items=MEMORY_ITEMS,
        default="AUTO",
    )
    use_new_seed: BoolProperty(
        name="Own Seed", description="Use another seed than the world's for new frames"
    )
    new_seed: IntProperty(
        name="Seed", description="Another seed gives other frames", default=0, min=0, max=MAX_SEED
    )
    pose_scale: FloatProperty(
        name="Path Scale",
        description="Factor on how far the camera moves, relative to the scene",
        default=1.0,
        min=0.01,
        soft_max=10.0,
        max=100.0,
    )
    reconstruct: BoolProperty(
        name="Splats", description="Make Gaussian splats when the frames are done", default=True
    )
    mesh: BoolProperty(name="Mesh", description="Make a mesh as well", default=True)
    show: EnumProperty(
        name="Show",
        description="Which form of the world is shown and rendered",
        items=[
            ("POINTS", "Points", "The coloured points of the first view", 0),
            ("SPLATS", "Splats", "The Gaussian splats", 1),
            ("MESH", "Mesh", "The mesh", 2),
            ("ALL", "All", "Points, splats and mesh", 3),
        ],
        default="POINTS",
        update=_show,
    )

    @property
    def depth_is_inverse(self) -> bool:
        """Whether the depth file is a relative one. What the scene gave never is."""
        return bool(self.depth_file) and not self.depth_origin and self.depth_values == "inverse"

    @property
    def estimates_depth(self) -> bool:
        """Whether an estimator has a part in the depth: all of it, the rest of a file's, or the scale of a file."""
        return not self.depth_file or self.depth_blend or self.depth_is_inverse

    @property
    def chooses_depth_scene(self) -> bool:
        """Whether the estimator may be one with weights for indoor and outdoor."""
        return self.estimates_depth and (self.depth == "auto" or self.depth.startswith("depth-anything-v2"))


def attach() -> None:
    """Gives scenes and objects their settings."""
    bpy.types.Scene.lyra = PointerProperty(type=LYRA_PG_settings)
    bpy.types.Object.lyra = PointerProperty(type=LYRA_PG_world)


def detach() -> None:
    """Takes them away again."""
    del bpy.types.Object.lyra
    del bpy.types.Scene.lyra


def take_over_earlier_names() -> None:
    """After loading a file: an earlier version kept the chunk of a prompt as `piece`."""
    for empty in worlds.all_worlds():
        for entry in empty.lyra.prompts:
            # From Blender 5.0 on, properties that are registered are not kept among the artist's own.
            system = getattr(entry, "bl_system_properties_get", None)
            kept = system() if system else entry
            if kept is not None and "piece" in kept:
                entry.chunk = kept["piece"]
                del kept["piece"]
