import json

import numpy as np
import pytest
import trimesh
from plyfile import PlyData

from lyra.formats.mesh_files import save_glb, save_ply, srgb_to_linear
from lyra.geometry.meshes import Mesh, vertex_normals
from tests.mesh.test_surface import sheet


@pytest.fixture
def mesh():
    vertices, faces = sheet(4)
    colors = np.random.default_rng(0).integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    return Mesh((vertices + np.array([0, 0.5, 3])).astype(np.float32), faces, colors)


def stored_colors(path) -> np.ndarray:
    """COLOR_0 (V, 4) uint16, read from the bytes: trimesh itself turns colours into 8 bits."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    primitive = tree["meshes"][0]["primitives"][0]
    accessor = tree["accessors"][primitive["attributes"]["COLOR_0"]]
    assert (accessor["componentType"], accessor["type"], accessor["normalized"]) == (5123, "VEC4", True)
    assert tree["materials"][primitive["material"]]["doubleSided"]
    start = 28 + length + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    return np.frombuffer(data, "<u2", 4 * accessor["count"], start).reshape(-1, 4)


def test_glb_is_y_up_with_linear_colors(tmp_path, mesh):
    save_glb(mesh, tmp_path / "mesh.glb")
    (geometry,) = trimesh.load(tmp_path / "mesh.glb").geometry.values()
    assert np.allclose(geometry.vertices, mesh.vertices * [1, -1, -1], atol=1e-6)
    assert np.array_equal(geometry.faces, mesh.faces)
    stored = stored_colors(tmp_path / "mesh.glb")
    assert np.allclose(stored[:, :3] / 65535, srgb_to_linear(mesh.colors / 255), atol=1 / 65535)
    assert (stored[:, 3] == 65535).all()
    # A sheet in front of the first camera that faces it: towards +z in glTF.
    assert np.allclose(vertex_normals(geometry.vertices, geometry.faces), [0, 0, 1])
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.glb"]


def test_ply_as_a_foreign_reader_sees_it(tmp_path, mesh):
    save_ply(mesh, tmp_path / "mesh.ply")
    ply = PlyData.read(tmp_path / "mesh.ply")
    vertices = ply["vertex"].data
    assert np.array_equal(np.stack([vertices[a] for a in "xyz"], 1), mesh.vertices)
    assert np.array_equal(np.stack([vertices[c] for c in ("red", "green", "blue")], 1), mesh.colors)
    assert np.array_equal(np.stack(ply["face"].data["vertex_indices"]), mesh.faces)
    loaded = trimesh.load(tmp_path / "mesh.ply", process=False)
    assert np.array_equal(loaded.visual.vertex_colors[:, :3], mesh.colors)


def test_srgb_curve():
    assert srgb_to_linear(np.array([0.0, 1.0])).tolist() == [0, 1]
    assert srgb_to_linear(np.array([0.5])) == pytest.approx(0.21404, abs=1e-5)


def test_every_normal_has_unit_length(tmp_path, mesh):
    """A needle without area, and two faces on one place that look in opposite directions."""
    lone = np.array([[5, 0, 0], [6, 0, 0], [7, 0, 0], [0, 5, 0], [1, 5, 0], [0, 6, 0]], np.float32)
    first = len(mesh.vertices)
    faces = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 4]], np.int32) + first
    vertices = np.concatenate([mesh.vertices, lone])
    colors = np.concatenate([mesh.colors, np.zeros((6, 3), np.uint8)])
    save_glb(Mesh(vertices, np.concatenate([mesh.faces, faces]), colors), tmp_path / "mesh.glb")
    data = (tmp_path / "mesh.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    tree = json.loads(data[20 : 20 + length])
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    start = 28 + length + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    normals = np.frombuffer(data, "<f4", 3 * accessor["count"], start).reshape(-1, 3)
    assert len(normals) == len(vertices)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
