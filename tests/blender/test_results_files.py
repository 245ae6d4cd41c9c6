"""Files of results that hold something else than their names say are refused before Blender gets them."""

import numpy as np
import pytest

from tests.blender.addon import finished, load

pytest.importorskip("bpy", reason="needs Blender as a Python module")
camera, mesh, ply = map(load, ("importers.camera", "importers.mesh", "importers.ply"))
resources = load("service.resources")
EYE = np.eye(4)
WORLD = resources.World.from_json(
    {
        "id": "w",
        "name": "w",
        "engine": "preview",
        "width": 64,
        "height": 48,
        "frames": 81,
        "state": "ready",
        "intrinsics": [[60, 0, 32], [0, 60, 24], [0, 0, 1]],
        "last_w2c": EYE.tolist(),
        "scale": 1.0,
        "chunks": [],
        "files": [],
    }
)


@pytest.mark.parametrize(
    "arrays",
    [
        {"w2c": np.tile(EYE, (80, 1, 1))},
        {"w2c": np.tile(EYE, (79, 1, 1)), "intrinsics": np.ones((80, 3, 3))},
        {"w2c": np.full((80, 4, 4), np.nan), "intrinsics": np.ones((80, 3, 3))},
        {"w2c": np.array(["x"] * 80), "intrinsics": np.ones((80, 3, 3))},
        {"w2c": np.tile(EYE, (80, 1, 1)), "intrinsics": np.array([{}] * 80)},
        b"PK\x03\x04 and no more",
        b"\x93NUMPY",
        b"",
    ],
)
def test_cameras_of_no_chunk(tmp_path, arrays):
    file = tmp_path / "trajectory.npz"
    if isinstance(arrays, bytes):
        file.write_bytes(arrays)
    else:
        np.savez(file, **arrays)
    with pytest.raises(ply.FileError, match="holds no cameras of a world") as refused:
        camera.read_chunk_trajectories(WORLD, [file])
    with pytest.raises(ply.FileError, match="holds no cameras of a world"):
        camera.read_trajectory(WORLD, file)
    assert len(str(refused.value).removeprefix(str(file))) < 200 and "\n" not in str(refused.value)


def test_an_array_instead_of_an_archive(tmp_path):
    file = tmp_path / "trajectory.npz"
    with file.open("wb") as opened:
        np.save(opened, np.eye(4))
    with pytest.raises(ply.FileError, match="holds no cameras of a world"):
        camera.read_trajectory(WORLD, file)


def test_gigabytes_from_kilobytes(tmp_path):
    """Eight megabytes of zeros packed into eight kilobytes are not unpacked."""
    file = tmp_path / "trajectory.npz"
    np.savez_compressed(
        file, w2c=np.zeros((81, 4, 4)), intrinsics=np.ones((81, 3, 3)), more=np.zeros(1 << 20)
    )
    assert file.stat().st_size < 20_000
    with pytest.raises(ply.FileError, match="bytes"):
        camera.read_trajectory(WORLD, file)


def test_all_cameras_in_one_file_or_chunk_by_chunk(tmp_path):
    w2c, intrinsics = np.tile(EYE, (81, 1, 1)), np.tile(np.array(WORLD.intrinsics), (81, 1, 1))
    w2c[:, 2, 3] = np.linspace(0, 1, 81)
    whole, chunk = tmp_path / "whole.npz", tmp_path / "chunk.npz"
    np.savez(whole, w2c=w2c, intrinsics=intrinsics, image_height=np.int64(48), image_width=np.int64(64))
    np.savez(chunk, w2c=w2c[1:], intrinsics=intrinsics[1:])
    assert whole.stat().st_size <= camera.trajectory_limit(81)
    one, other = camera.read_trajectory(WORLD, whole), camera.read_chunk_trajectories(WORLD, [chunk])
    np.testing.assert_array_equal(one.w2c, other.w2c)
    np.testing.assert_array_equal(one.intrinsics, other.intrinsics)
    np.savez(whole, w2c=w2c, intrinsics=intrinsics, image_height=np.int64(64), image_width=np.int64(48))
    with pytest.raises(ply.FileError, match="another frame size than 64 x 48"):
        camera.read_trajectory(WORLD, whole)


@pytest.mark.parametrize("corner", [-1, 3, 2**31 - 1])
def test_faces_without_vertices(tmp_path, corner):
    head = "ply\nformat binary_little_endian 1.0\nelement vertex 3\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += "".join(f"property uchar {channel}\n" for channel in ("red", "green", "blue"))
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    faces = b"\3" + np.array([0, 1, corner], "<i4").tobytes()
    file = tmp_path / "mesh.ply"
    file.write_bytes(head.encode() + bytes(3 * 15) + faces)
    with pytest.raises(ply.FileError, match="faces without vertices"):
        finished(mesh.preparing(file))
