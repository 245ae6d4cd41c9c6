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
        None,
    ],
)
def test_cameras_of_no_chunk(tmp_path, arrays):
    file = tmp_path / "trajectory.npz"
    if arrays is None:
        file.write_bytes(b"PK\x03\x04 and no more")
    else:
        np.savez(file, **arrays)
    with pytest.raises(ply.FileError, match="holds no cameras of a chunk"):
        camera.read_path(WORLD, [file])


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
