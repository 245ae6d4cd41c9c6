"""What a .blend remembers: the settings on the scene, and each world on its empty."""

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
from . import depth_file, worlds


def _is_camera(_settings, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


def _is_world(_settings, candidate: bpy.types.Object) -> bool:
    return worlds.is_world(candidate)


def _show(settings, _context) -> None:
    if settings.world:
        worlds.show(settings.world, settings.show)
        if settings.show == "MESH":
            worlds.show_vertex_colors()


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

    piece: IntProperty(
        name="From Piece",
        description="The piece of 80 frames, counted from 1 over the whole world, from which the text holds",
        default=1,
        min=1,
        max=100,
    )
    text: StringProperty(name="Text", description="What the camera finds there")


class LYRA_PG_world(bpy.types.PropertyGroup):
    """A world, on the empty it hangs under. What the backend says is kept as it was said, in JSON."""

    world_id: StringProperty(name="World ID", description="The world's name in the engine's folder")
    world: StringProperty(name="World", description="The world as the engine last described it")
    job: StringProperty(name="Job", description="The job under way when the file was saved, to find it again")
    depth: FloatProperty(
        name="Depth", description="Median depth of the first picture in world units", default=1.0
    )
    reach: FloatProperty(
        name="Reach", description="How far from a camera of the path a splat is at most, in world units"
    )
    first_frame: IntProperty(
        name="First Frame", description="Scene frame of the world's first picture", default=1
    )
    prompts: CollectionProperty(
        name="Prompts", description="Texts for parts of the world", type=LYRA_PG_prompt
    )
    prompt_index: IntProperty(name="Prompt", description="The chosen text", default=0)


class LYRA_PG_settings(bpy.types.PropertyGroup):
    """What the artist sets before each step."""

    image: StringProperty(
        name="Image",
        description="The picture the world grows from",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_other_image,
    )
    depth_file: StringProperty(
        name="Depth File",
        description="Known depth of the picture (.npz, .npy, .exr, .pfm or .png); empty: it is estimated",
        subtype="FILE_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_other_depth,
    )
    depth_values: EnumProperty(
        name="Values",
        description="What the depth file holds",
        items=[
            ("metres", "Metres", "Distance along the view; a .png of 16 bits in millimetres"),
            ("inverse", "Inverse", "Relative depth in which near is bright; its scale is estimated"),
        ],
        default="metres",
    )
    depth_blend: BoolProperty(
        name="Estimate the Rest",
        description="Where the depth file knows nothing, estimate depth and join it on without a step",
        default=False,
    )
    depth_known: FloatProperty(
        name="Known", description="The part of the picture in which the scene gave depth", default=0.0
    )
    depth_origin: StringProperty(
        name="Origin", description="The image and the camera that the scene gave depth for"
    )
    depth: EnumProperty(
        name="Depth",
        description="How depth is estimated",
        items=[
            ("auto", "Automatic", "The best estimator that is ready on the engine's machine"),
            ("builtin", "Built In", "A small network that is shipped; nothing to download"),
            ("depth-anything-v2", "Depth Anything V2", "Metric depth by a learned model"),
            ("depth-anything-v2-large", "Depth Anything V2 Large", "The same, larger; non-commercial"),
            ("depth-anything-3", "Depth Anything 3", "The strongest, on a GPU; non-commercial"),
            ("layout", "Layout", "Ground, horizon and sky guessed from the picture; the plainest"),
        ],
        default="auto",
    )
    depth_scene: EnumProperty(
        name="Kind of Scene",
        description="Which weights of Depth Anything V2 are taken",
        items=[
            ("auto", "Automatic", "Outdoor where the picture shows sky, else indoor"),
            ("indoor", "Indoor", "For rooms"),
            ("outdoor", "Outdoor", "For streets and landscapes"),
        ],
        default="auto",
    )
    allow_download: BoolProperty(
        name="Allow Download",
        description="Let the engine download the depth estimator's weights when they are missing",
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
        maxlen=64,
    )
    engine: StringProperty(name="Engine", description="What makes the world's pictures", default="preview")
    seed: IntProperty(name="Seed", description="Another seed gives another world", default=0, min=0)
    size: EnumProperty(
        name="Size",
        description="Size of the world's pictures",
        items=[
            ("MODEL", "832 x 480", "What the models were trained on; 480 x 832 for an upright image", 0),
            ("DRAFT", "416 x 240", "A quick look; 240 x 416 for an upright image", 1),
            ("CUSTOM", "Custom", "Any multiple of 16", 2),
        ],
        default="MODEL",
    )
    width: IntProperty(name="Width", default=832, min=64, max=2048, step=16, subtype="PIXEL")
    height: IntProperty(name="Height", default=480, min=64, max=2048, step=16, subtype="PIXEL")
    match_render_size: BoolProperty(
        name="Set Render Size",
        description="Set the scene's resolution to the size of the world's pictures",
        default=False,
    )

    world: PointerProperty(
        name="World",
        description="The world that the panels below work on",
        type=bpy.types.Object,
        poll=_is_world,
    )
    camera: PointerProperty(
        name="Camera",
        description="The animated camera whose path the world follows; any perspective camera will do",
        type=bpy.types.Object,
        poll=_is_camera,
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
        description="Show the path that will be sent: a tick every 10 frames, a camera at each piece's border",
        default=True,
    )
    chunks: IntProperty(
        name="Length",
        description="How many pieces of 80 frames are made along the path",
        default=1,
        min=1,
        soft_max=10,
        max=100,
    )
    prompt: StringProperty(
        name="Prompt", description="What the camera finds on its way; the preview engine ignores it"
    )
    use_steps: BoolProperty(
        name="Own Steps",
        description="Set the number of steps instead of the engine's own",
        update=_own("steps"),
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps; fewer are quicker and coarser",
        default=35,
        min=1,
        max=1000,
    )
    use_guidance: BoolProperty(
        name="Own Guidance",
        description="Set the guidance instead of the engine's own",
        update=_own("guidance"),
    )
    guidance: FloatProperty(
        name="Guidance", description="How strictly the prompt is followed", default=5.0, min=0.0, max=100.0
    )
    use_styles: BoolProperty(
        name="Own Styles",
        description="Merge the published style files into the network",
        update=_own("styles"),
    )
    styles: FloatProperty(
        name="Styles",
        description="Strength of the published style files, realism and detail; they are a download of their own",
        default=0.0,
        min=0.0,
        max=1.0,
    )
    memory_mode: EnumProperty(
        name="Memory",
        description="Where the network lies while it works",
        items=[
            ("AUTO", "Automatic", "What fits into the memory that is free"),
            ("RESIDENT", "Resident", "All of it on the GPU: the quickest"),
            ("FP8", "8 Bit", "On the GPU with weights of 8 bits: half the memory"),
            ("OFFLOAD", "Offload", "In main memory, a part at a time on the GPU: the least memory, slow"),
        ],
        default="AUTO",
    )
    use_new_seed: BoolProperty(
        name="Own Seed", description="Use another seed than the world's for new frames"
    )
    new_seed: IntProperty(name="Seed", description="Another seed gives other frames", default=0, min=0)
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
            ("POINTS", "Points", "The coloured points of the first picture", 0),
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
