import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields
from plyfile import PlyData, PlyElement

from lyra.common.errors import InvalidInputError
from lyra.formats.splat_ply import read_ply, write_ply
from tests.splats.test_rasterize import random_cloud


@pytest.mark.parametrize("coefficients", [1, 4, 9, 16])
def test_round_trip(tmp_path, coefficients):
    cloud = random_cloud(30, 4, coefficients)
    write_ply(cloud, tmp_path / "a.ply")
    again = read_ply(tmp_path / "a.ply")
    for name in ("means", "log_scales", "opacity_logits", "sh"):
        assert np.array_equal(getattr(again, name), getattr(cloud, name)), name
    assert np.allclose(again.rotations, cloud.rotations, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_layout_as_a_foreign_reader_sees_it(tmp_path):
    cloud = random_cloud(5, 4, 4)
    write_ply(cloud, tmp_path / "a.ply")
    ply = PlyData.read(tmp_path / "a.ply")
    vertices = ply["vertex"].data
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(9)] + ["opacity", "scale_0", "scale_1", "scale_2"]
    assert list(vertices.dtype.names) == [*names, "rot_0", "rot_1", "rot_2", "rot_3"]
    assert not ply.text and ply.byte_order == "<"
    assert np.array_equal(vertices["f_dc_1"], cloud.sh[:, 0, 1])
    # Channel-major: coefficient 2 of green is number 1 of the second group of three.
    assert np.array_equal(vertices["f_rest_4"], cloud.sh[:, 2, 1])
    assert np.array_equal(vertices["rot_0"], cloud.rotations[:, 0])


def test_empty_cloud(tmp_path):
    write_ply(random_cloud(0, 0), tmp_path / "a.ply")
    assert len(read_ply(tmp_path / "a.ply")) == 0


def edited(tmp_path, change):
    """A valid file after `change(vertices) -> vertices`."""
    write_ply(random_cloud(6, 1), tmp_path / "a.ply")
    vertices = change(PlyData.read(tmp_path / "a.ply")["vertex"].data.copy())
    PlyData([PlyElement.describe(vertices, "vertex")]).write(tmp_path / "b.ply")
    return tmp_path / "b.ply"


def with_value(name, value):
    def change(vertices):
        vertices[name][3] = value
        return vertices

    return change


def without(*names):
    return lambda vertices: repack_fields(vertices[[n for n in vertices.dtype.names if n not in names]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_value("y", np.nan), "splat 3"),
        (with_value("scale_1", np.inf), "splat 3"),
        (without("rot_2", "opacity"), "lacks opacity, rot_2"),
        (without("f_dc_0", "f_dc_1", "f_dc_2"), "no Gaussian splats"),
    ],
)
def test_bad_files_are_explained(tmp_path, change, message):
    with pytest.raises(InvalidInputError, match=message):
        read_ply(edited(tmp_path, change))


def test_rotation_of_length_zero_is_refused(tmp_path):
    def change(vertices):
        for i in range(4):
            vertices[f"rot_{i}"][2] = 0
        return vertices

    with pytest.raises(InvalidInputError, match="splat 2"):
        read_ply(edited(tmp_path, change))


def test_wrong_number_of_harmonics(tmp_path):
    write_ply(random_cloud(3, 1, 4), tmp_path / "a.ply")
    vertices = without("f_rest_8")(PlyData.read(tmp_path / "a.ply")["vertex"].data)
    PlyData([PlyElement.describe(vertices, "vertex")]).write(tmp_path / "b.ply")
    with pytest.raises(InvalidInputError, match="8 f_rest"):
        read_ply(tmp_path / "b.ply")


@pytest.mark.parametrize(
    "content", [b"", b"not a ply\n", b"ply\nformat ascii 1.0\nelement face 0\nend_header\n"]
)
def test_files_that_are_no_splats(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"a\.ply"):
        read_ply(tmp_path / "a.ply")


def test_truncated_file(tmp_path):
    write_ply(random_cloud(50, 1), tmp_path / "a.ply")
    data = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(data[:-100])
    with pytest.raises(InvalidInputError, match="no readable PLY"):
        read_ply(tmp_path / "a.ply")


def test_missing_file(tmp_path):
    with pytest.raises(InvalidInputError, match="no splat file"):
        read_ply(tmp_path / "none.ply")
