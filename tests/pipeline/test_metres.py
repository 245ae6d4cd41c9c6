"""What leaves a world is in metres; what lies in its folder keeps the world's units."""

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import trimesh
from plyfile import PlyData

from lyra.common.errors import InvalidInputError
from lyra.common.files import whole_file
from lyra.formats.mesh_files import save_glb, save_ply
from lyra.formats.splat_ply import read_ply, write_ply
from lyra.geometry.cameras import Trajectory
from lyra.geometry.gaussians import GaussianCloud
from lyra.geometry.meshes import Mesh
from lyra.geometry.views import View
from lyra.pipeline import export as results
from lyra.pipeline import metres
from lyra.pipeline.create import seed_points
from lyra.pipeline.export import export_world
from lyra.pipeline.metres import copy_in_metres
from lyra.world.chunks import Chunk
from lyra.world.folder import World
from lyra.world.settings import WorldSettings
from tests.mesh.test_surface import sheet

SCALE = 3.0
LENS = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
FILES = ("splats.ply", "mesh.ply", "mesh.glb")


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A world of one frame and of cameras along x, with results, at three metres a unit."""
    # Several blocks of each file, the last one not whole.
    monkeypatch.setattr(metres, "BLOCK", 7)
    monkeypatch.setattr(metres, "COPIED", 50)
    rng = np.random.default_rng(0)
    view = View.at_origin(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), np.float32), LENS)
    (tmp_path / "image.png").write_bytes(b"as it was given")
    settings = WorldSettings("world-1", "World", "preview", 64, 64, 0, "a file", "", "now")
    world = World.create(tmp_path / "world", settings, view, tmp_path / "image.png", seed_points(view))
    w2c = np.tile(np.eye(4), (80, 1, 1))
    w2c[:, 0, 3] = -np.linspace(0.1, 2, 80)
    chunk = world.folder / "chunks" / "0001"
    chunk.mkdir()
    Trajectory(w2c, np.tile(view.intrinsics, (80, 1, 1)), 64, 64).save(chunk / "trajectory.npz")
    facts = {"prompt": "", "seed": 0, "seconds": 1.0}
    (chunk / "chunk.json").write_text(json.dumps(facts))
    world.chunks.append(Chunk.open(chunk))
    random = [
        rng.normal(size=shape).astype(np.float32) for shape in ((40, 3), (40, 3), (40, 4), 40, (40, 4, 3))
    ]
    random[2] /= np.linalg.norm(random[2], axis=1, keepdims=True)
    write_ply(GaussianCloud(*random), world.results / "splats.ply")
    vertices, faces = sheet(4)
    colors = rng.integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    mesh = Mesh((vertices + np.array([0, 0.5, 3])).astype(np.float32), faces, colors)
    save_glb(mesh, world.results / "mesh.glb")
    save_ply(mesh, world.results / "mesh.ply")
    world.rescale(SCALE)
    return world


def exported(world: World, folder) -> None:
    export_world(world, (*FILES, "trajectory.npz"), folder / "world.zip")
    with zipfile.ZipFile(folder / "world.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(folder / "out")


def test_everything_that_leaves_a_world_is_in_metres(world, tmp_path):
    before = {name: (world.results / name).read_bytes() for name in FILES}
    exported(world, tmp_path)
    here, there = world.results, tmp_path / "out"

    ours, cloud = (asdict(read_ply(folder / "splats.ply")) for folder in (here, there))
    np.testing.assert_allclose(cloud.pop("means"), SCALE * ours.pop("means"), rtol=1e-6)
    np.testing.assert_allclose(
        np.exp(cloud.pop("log_scales")), SCALE * np.exp(ours.pop("log_scales")), rtol=1e-5
    )
    for name, values in ours.items():
        np.testing.assert_array_equal(cloud[name], values)

    ours, ply = (PlyData.read(folder / "mesh.ply") for folder in (here, there))
    for axis in "xyz":
        np.testing.assert_array_equal(ply["vertex"][axis], np.float32(SCALE) * ours["vertex"][axis])
    np.testing.assert_array_equal(ply["vertex"]["green"], ours["vertex"]["green"])
    assert np.array_equal(np.stack(ply["face"]["vertex_indices"]), np.stack(ours["face"]["vertex_indices"]))

    path = Trajectory.load(there / "trajectory.npz")
    np.testing.assert_allclose(path.centers, SCALE * world.trajectory().centers, atol=1e-12)
    np.testing.assert_array_equal(path.intrinsics, world.trajectory().intrinsics)
    assert {name: (here / name).read_bytes() for name in FILES} == before


def test_a_scaled_glb_is_whole_for_other_programs(world, tmp_path):
    exported(world, tmp_path)
    (ours,) = trimesh.load(world.results / "mesh.glb").geometry.values()
    (scaled,) = trimesh.load(tmp_path / "out" / "mesh.glb").geometry.values()
    np.testing.assert_array_equal(scaled.vertices, np.float32(SCALE) * ours.vertices.astype(np.float32))
    np.testing.assert_array_equal(scaled.faces, ours.faces)
    np.testing.assert_array_equal(scaled.vertex_normals, ours.vertex_normals)
    data = (tmp_path / "out" / "mesh.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    assert int.from_bytes(data[8:12], "little") == len(data) and length % 4 == 0
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert np.array_equal(np.float32(accessor["min"]), scaled.vertices.min(0).astype(np.float32))
    assert np.array_equal(np.float32(accessor["max"]), scaled.vertices.max(0).astype(np.float32))
    # Colours and all else come through to the byte.
    original = (world.results / "mesh.glb").read_bytes()
    assert original[-64:] == data[-64:]


def test_at_one_metre_a_unit_nothing_changes(world, tmp_path):
    world.rescale(1.0)
    exported(world, tmp_path)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (world.results / name).read_bytes()


def test_splats_with_all_62_properties_are_the_same_splats(world, tmp_path):
    export_world(world, ["splats.ply", "mesh.ply"], tmp_path / "world.zip", f_rest=True)
    export_world(world, ["splats.ply", "mesh.ply"], tmp_path / "plain.zip")
    for name in ("world", "plain"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
    wide, plain = (tmp_path / name / "splats.ply" for name in ("world", "plain"))
    assert len(PlyData.read(wide)["vertex"].data.dtype.names) == 62
    there, here = asdict(read_ply(wide)), asdict(read_ply(plain))
    harmonics = here.pop("sh")
    np.testing.assert_array_equal(there.pop("sh"), np.pad(harmonics, ((0, 0), (0, 12), (0, 0))))
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values)
    mesh = (tmp_path / name / "mesh.ply" for name in ("world", "plain"))
    assert next(mesh).read_bytes() == next(mesh).read_bytes()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("mesh.glb", b'"count"', b'"Count"'),
        ("mesh.glb", b'"POSITION"', b'"POSITIOM"'),
        ("mesh.ply", b"property float x", b"property float w"),
        ("splats.ply", b"property float scale_2", b"property float scale_3"),
        ("splats.ply", b"vertex 40", b"vertex 99999999"),
    ],
)
def test_a_result_that_lacks_something_is_refused_in_one_line(world, name, old, new):
    path = world.results / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(
        InvalidInputError, match=rf"{name} is damaged .*; reconstruct the world again\.$"
    ) as refused:
        copy_in_metres(path, io.BytesIO(), SCALE)
    assert len(str(refused.value)) <= 300


def test_a_damaged_result_is_named_and_no_archive_is_left(world, tmp_path):
    for name in FILES:
        (world.results / name).write_bytes(b"ply\nno header")
        with pytest.raises(InvalidInputError, match=f"{name} is damaged"):
            copy_in_metres(world.results / name, io.BytesIO(), SCALE)
        with pytest.raises(InvalidInputError, match=f"{name} is damaged"):
            export_world(world, [name], tmp_path / "world.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_what_was_packed_at_another_scale_is_removed(world):
    export_world(world, FILES, world.packed)
    world.rescale(2.0)
    assert not world.packed.exists() and (world.results / "splats.ply").exists()


def test_a_folder_is_no_archive(world, tmp_path):
    for folder in (tmp_path, Path()):
        with pytest.raises(InvalidInputError, match=r"is a folder; name a file in it, such as .*world\.zip"):
            export_world(world, FILES, folder)


def test_a_result_without_what_is_scaled_is_damaged(world):
    splats = world.results / "splats.ply"
    data = splats.read_bytes()
    for name in (b"property float z", b"property float scale_1"):
        splats.write_bytes(data.replace(name, name[:-1] + b"q"))
        with pytest.raises(InvalidInputError, match=r"splats\.ply is damaged \(its vertices have no"):
            copy_in_metres(splats, io.BytesIO(), SCALE)
    glb = world.results / "mesh.glb"
    glb.write_bytes(glb.read_bytes().replace(b'"count"', b'"coont"'))
    with pytest.raises(InvalidInputError, match=r"mesh\.glb is damaged"):
        copy_in_metres(glb, io.BytesIO(), SCALE)


def test_what_is_replaced_meanwhile_is_packed_as_it_was(world, tmp_path, monkeypatch):
    before = (world.results / "mesh.ply").read_bytes()
    world.rescale(1.0)
    copy = results.copy_open_in_metres

    def replacing(*arguments, **options):
        with whole_file(world.results / "mesh.ply") as path:
            path.write_bytes(b"newer")
        copy(*arguments, **options)

    monkeypatch.setattr(results, "copy_open_in_metres", replacing)
    exported(world, tmp_path)
    assert (tmp_path / "out" / "mesh.ply").read_bytes() == before
