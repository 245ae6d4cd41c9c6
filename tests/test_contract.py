"""The contract of service and extension: what both have for themselves is the same on both sides.

The extension imports nothing of the engine's packages, so it keeps limits, choices and names of its own.
"""

import re
import typing
from dataclasses import asdict

import numpy as np
import pytest

from tests.blender.addon import FOLDER, finished, load

bpy = pytest.importorskip("bpy", reason="needs Blender as a Python module")
schemas = pytest.importorskip("backend.api.schemas", reason="needs the engine's environment")

import backend  # noqa: E402
import lyra.depth  # noqa: E402
from backend.api.app import create_app  # noqa: E402
from backend.catalog import WorldCatalog  # noqa: E402
from backend.config import Config  # noqa: E402
from backend.jobs import store  # noqa: E402
from backend.jobs.book import JobBook  # noqa: E402
from backend.service import Backend  # noqa: E402
from lyra.formats import splat_ply  # noqa: E402
from lyra.geometry import cameras, gaussians  # noqa: E402
from lyra.media import images  # noqa: E402
from lyra.pipeline import export  # noqa: E402
from lyra.world import folder, options  # noqa: E402

contract, bodies, resources, engines = (
    load(f"service.{name}") for name in ("contract", "bodies", "resources", "engines")
)
RESOURCES = ("worlds", "jobs", "engines", "licences", "health", "hello", "shutdown", "pictures")
properties, trajectory = load("scene.properties"), load("camera.trajectory")


def choices(annotation):
    return set(typing.get_args(annotation))


def field(model, name):
    """The schema of a field that a client sends: {'minimum': …, 'maximum': …}."""
    schema = model.model_json_schema()["properties"][name]
    return next((part for part in schema.get("anyOf", []) if part.get("type") != "null"), schema)


def test_versions_and_names():
    assert (contract.API_VERSION, contract.SERVICE) == (backend.API_VERSION, backend.SERVICE)


def test_states_of_worlds_and_jobs():
    assert choices(schemas.World.model_fields["state"].annotation) == contract.WORLD_STATES
    assert choices(store.JobState) == contract.JOB_STATES
    assert set(store.ACTIVE) == contract.ACTIVE_STATES and set(store.RESUMABLE) == contract.RESUMABLE_STATES
    assert {contract.BEGIN_JOB, contract.DOWNLOAD_JOB} <= choices(store.JobKind)
    assert set(store.DOWNLOAD_KINDS) == {contract.DOWNLOAD_JOB}
    wording = load("service.wording")
    assert set(wording._STATES) | {"running"} == contract.JOB_STATES


def test_what_an_engine_lacks():
    statuses = choices(schemas.EngineState.model_fields["status"].annotation)
    assert set(engines._LACKS) | {"ready"} == statuses and statuses >= engines.MENDABLE


def test_engine_options():
    """Limits and defaults are those of every engine that has the option, in the sidebar and in the API."""
    numbers = {name for name, option in options.OPTIONS.items() if option.min is not None}
    assert set(contract.ENGINE_OPTIONS) == numbers == {name for name, _ in engines.SETTINGS}
    for name, limits in contract.ENGINE_OPTIONS.items():
        for engine_id in options.OPTIONS[name].defaults:
            assert asdict(limits) == asdict(options.ranges_of(engine_id)[name])
        sent = field(schemas.Options, name)
        assert (limits.min, limits.max) == (sent["minimum"], sent["maximum"])
    assert contract.MEMORY_MODES == options.MEMORY_MODES
    assert tuple(item[0].lower() for item in properties.MEMORY_ITEMS) == ("auto", *options.MEMORY_MODES)


def test_depth():
    assert set(contract.DEPTH_MODELS) == set(lyra.depth.CHOICES)
    for items, wanted, sent in (
        (properties.DEPTH_ITEMS, contract.DEPTH_MODELS, None),
        (properties.DEPTH_VALUE_ITEMS, contract.DEPTH_VALUES, "depth_values"),
        (properties.DEPTH_SCENE_ITEMS, contract.DEPTH_SCENES, "depth_scene"),
    ):
        assert [item[0] for item in items] == list(wanted)
        if sent:
            assert choices(schemas.WorldSettings.model_fields[sent].annotation) == set(wanted)


def test_limits():
    assert trajectory.CHUNK_FRAMES == cameras.CHUNK_FRAMES
    assert trajectory.frame_count(contract.MAX_CHUNKS) == cameras.MAX_FRAMES
    assert field(schemas.WorldSettings, "seed")["maximum"] == contract.MAX_SEED
    assert field(schemas.WorldSettings, "name")["maxLength"] == contract.MAX_NAME
    assert field(schemas.ExtendSettings, "prompt")["maxLength"] == contract.MAX_PROMPT
    assert (contract.SIDE_STEP, contract.MIN_SIDE, contract.MAX_SIDE) == (
        images.SIZE_STEP,
        images.MIN_SIZE,
        images.MAX_SIZE,
    )
    assert contract.LANDSCAPE_SIZE == images.LANDSCAPE_SIZE[::-1] == images.PORTRAIT_SIZE
    # What the extension takes from the wire has room for all that the service may send.
    assert resources.MAX_FRAMES >= cameras.MAX_FRAMES and resources.MAX_SIDE >= images.MAX_SIZE
    assert resources.MAX_CHUNKS >= contract.MAX_CHUNKS


def test_properties_keep_to_the_limits():
    """What Blender lets an artist set is what the service takes."""
    cls = properties.LYRA_PG_settings
    bpy.utils.register_class(properties.LYRA_PG_prompt)
    bpy.utils.register_class(cls)
    try:
        found = {prop.identifier: prop for prop in cls.bl_rna.properties}
        for name, limits in contract.ENGINE_OPTIONS.items():
            prop = found[name]
            assert (prop.default, prop.hard_min, prop.hard_max) == (limits.default, limits.min, limits.max)
        for name in ("seed", "new_seed"):
            assert (found[name].hard_min, found[name].hard_max) == (0, contract.MAX_SEED)
        for name in ("width", "height"):
            assert (found[name].hard_min, found[name].hard_max) == (contract.MIN_SIDE, contract.MAX_SIDE)
        assert (found["width"].default, found["height"].default) == contract.LANDSCAPE_SIZE
        assert found["chunks"].hard_max == contract.MAX_CHUNKS
        # Blender counts the zero at the end.
        lengths = [found[name].length_max - 1 for name in ("name", "prompt")]
        assert lengths == [contract.MAX_NAME, contract.MAX_PROMPT]
        scale = field(schemas.ExtendSettings, "pose_scale")
        assert scale["exclusiveMinimum"] < found["pose_scale"].hard_min
        assert found["pose_scale"].hard_max <= scale["maximum"]
        assert found["engine"].default == schemas.WorldSettings.model_fields["engine"].default
    finally:
        bpy.utils.unregister_class(cls)
        bpy.utils.unregister_class(properties.LYRA_PG_prompt)


def test_files_of_a_world():
    assert contract.WALKTHROUGH == folder.WALKTHROUGH
    results = {contract.SPLATS, contract.MESH, contract.WALKTHROUGH}
    assert {name.removeprefix("results/") for name in results} <= set(export.EXPORT_ITEMS)
    assert choices(schemas.ExportItem) == set(export.EXPORT_ITEMS)


def test_splats(tmp_path):
    """The constant of degree 0, and a file of the engine as the extension's attributes."""
    conversion, splats, ply = load("camera.conversion"), load("importers.splats"), load("importers.ply")
    assert conversion.SH_C0 == gaussians.SH_C0
    rng = np.random.default_rng(0)
    rotations = rng.normal(size=(5, 4)).astype(np.float32)
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    cloud = gaussians.GaussianCloud(
        rng.normal(size=(5, 3)).astype(np.float32),
        rng.normal(size=(5, 3)).astype(np.float32),
        rotations,
        rng.normal(size=5).astype(np.float32),
        rng.normal(size=(5, 4, 3)).astype(np.float32),
    )
    splat_ply.write_ply(cloud, tmp_path / "splats.ply")
    vertices = finished(ply.reading(tmp_path / "splats.ply"))["vertex"]
    attributes = splats.attributes(splats.decode(vertices, tmp_path))
    # The names of Blender 5.3's own splats, as docs/conventions.md has them.
    assert list(attributes) == [
        "position", "scale", "rotation", "radiance:base", "radiance:sh_0", "radiance:sh_1", "radiance:sh_2",
    ]  # fmt: skip
    values = {name: entry[2] for name, entry in attributes.items()}
    np.testing.assert_allclose(values["position"], cloud.means, atol=1e-6)
    np.testing.assert_allclose(values["scale"], np.exp(cloud.log_scales), rtol=1e-5)
    np.testing.assert_allclose(values["rotation"], cloud.rotations, atol=1e-6)
    sigmoid = 1 / (1 + np.exp(-cloud.opacity_logits))
    np.testing.assert_allclose(values["radiance:base"][:, 3], sigmoid, rtol=1e-5)
    np.testing.assert_allclose(values["radiance:base"][:, :3], cloud.sh[:, 0], atol=1e-6)
    for k in range(3):
        np.testing.assert_allclose(values[f"radiance:sh_{k}"], cloud.sh[:, k + 1], atol=1e-6)


def test_cameras_of_a_world(tmp_path):
    """The file format of `Trajectory`, within the size that the extension takes."""
    camera = load("importers.camera")
    for frames in (81, cameras.MAX_FRAMES):
        intrinsics = cameras.intrinsics_from_fov(1.0, 480, 832)
        path = cameras.Trajectory(
            np.tile(np.eye(4), (frames, 1, 1)), np.tile(intrinsics, (frames, 1, 1)), 480, 832
        )
        file = tmp_path / "trajectory.npz"
        path.save(file)
        assert file.stat().st_size <= camera.trajectory_limit(frames)
        world = resources.World.from_json(
            {
                "id": "w", "name": "w", "engine": "preview", "width": 832, "height": 480, "frames": frames,
                "state": "ready", "intrinsics": intrinsics.tolist(), "last_w2c": np.eye(4).tolist(), "scale": 1.0,
                "chunks": [], "files": [],
            }
        )  # fmt: skip
        read = camera.read_trajectory(world, file)
        np.testing.assert_array_equal(read.w2c, path.w2c)
        np.testing.assert_array_equal(read.intrinsics, path.intrinsics)


@pytest.mark.parametrize(
    ("kind", "schema"),
    [("World", "World"), ("Job", "Job"), ("Engine", "Engine"), ("EngineState", "EngineState"), ("Licence", "Licence"),
     ("Chunk", "Chunk"), ("FileEntry", "File"), ("Health", "Health"), ("NewWorld", "NewWorld"), ("Hello", "Hello"),
     ("Picture", "Picture")],
)  # fmt: skip
def test_the_service_sends_what_is_read(kind, schema):
    """Every field that the extension reads is one that the service has."""
    read = set(getattr(resources, kind).__dataclass_fields__)
    assert read <= set(getattr(schemas, schema).model_fields)


@pytest.mark.parametrize(
    ("kind", "schema"),
    [("WorldSettings", "WorldSettings"), ("TrajectoryBody", "TrajectoryBody"), ("EngineOptions", "Options"),
     ("ExtendSettings", "ExtendSettings"), ("ReconstructSettings", "ReconstructSettings"),
     ("RevertBody", "RevertBody"), ("WorldChanges", "WorldChanges"), ("ShutdownBody", "ShutdownBody")],
)  # fmt: skip
def test_the_service_takes_what_is_sent(kind, schema):
    """Every field that the extension sends is one that the service takes, and those that must be there are."""
    sent, taken = getattr(bodies, kind).__dataclass_fields__, getattr(schemas, schema).model_fields
    assert set(sent) <= set(taken)
    assert {name for name, each in taken.items() if each.is_required()} <= set(sent)


def test_the_service_has_what_is_asked_for(tmp_path):
    """Every path that stands in the extension's sources is a route of the service."""
    asked = set()
    for file in FOLDER.rglob("*.py"):
        found = re.findall(rf'f?"(/(?:{"|".join(RESOURCES)})[^" ]*)"', file.read_text("utf-8"))
        asked |= {re.sub(r"\{[^}]*\}", "{}", path).split("?")[0] for path in found}
    config = Config(tmp_path, tmp_path / "state.json", tmp_path / "log")
    config.private_folder.mkdir()
    book = JobBook(config, store.JobStore(config.private_folder / "jobs.sqlite3"))
    app = create_app(Backend(config, book, WorldCatalog(config), None, None))
    book.close()
    routes = {re.sub(r"\{[^}]*\}", "{}", path) for path in app.openapi()["paths"]}
    assert {path.split("/")[1] for path in asked} == set(RESOURCES)
    assert {f"/v1{path}" for path in asked} <= routes
