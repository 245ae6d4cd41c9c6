"""Depth as tools write it: arrays alone, float maps, batches of one, lenses in shares of the picture."""

import io
import struct
import zipfile

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth import DepthFile, sanitise
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import file_lens
from lyra.depth.file import read_depth
from lyra.depth.relative import read_relative

HEIGHT, WIDTH = 96, 160
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
LENS = np.array([[150.0, 0, 80], [0, 150, 48], [0, 0, 1]])


def slope():
    """Different in every pixel, so that no turned or mirrored copy is the same."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    return (1 / (0.05 + 0.2 * y / HEIGHT + 0.05 * x / WIDTH)).astype(np.float32)


def pfm(depth, order="<", kind=b"Pf", end=b"\n", scale=1.0):
    """As Debevec's format says it: rows from the bottom up, the sign of the scale is the byte order."""
    height, width = depth.shape[:2]
    header = kind + b"\n%d %d\n%g" % (width, height, -scale if order == "<" else scale) + end
    return header + depth[::-1].astype(f"{order}f4").tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.uint16])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (1, HEIGHT, WIDTH), (HEIGHT, WIDTH, 1)])
def test_npy(tmp_path, dtype, shape):
    depth = (slope() * 10).astype(dtype)
    np.save(tmp_path / "depth.npy", depth.reshape(shape))
    read = read_depth(tmp_path / "depth.npy")
    np.testing.assert_array_equal(read.depth, depth.astype(np.float32))
    assert read.intrinsics is None and read.depth.dtype == np.float32


def test_npy_stored_by_columns(tmp_path):
    np.save(tmp_path / "depth.npy", np.asfortranarray(slope()))
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.npy").depth, slope())


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("end", [b"\n", b" ", b"\r\n", b"\r"])
def test_pfm_of_both_byte_orders_the_upper_row_first(tmp_path, order, end):
    (tmp_path / "depth.pfm").write_bytes(pfm(slope(), order, end=end))
    read = read_depth(tmp_path / "depth.pfm")
    np.testing.assert_array_equal(read.depth, slope())
    assert "pfm" in read.notes[0]


def test_a_foreign_reader_sees_the_same_pfm(tmp_path):
    from PIL import Image

    (tmp_path / "depth.pfm").write_bytes(pfm(slope(), "<"))
    with Image.open(tmp_path / "depth.pfm") as image:
        np.testing.assert_array_equal(read_depth(tmp_path / "depth.pfm").depth, np.asarray(image))


def test_a_lone_carriage_return_before_a_number_that_begins_with_a_line_feed(tmp_path):
    depth = slope()
    depth[-1, 0] = struct.unpack("<f", b"\n\0\0A")[0]
    (tmp_path / "depth.pfm").write_bytes(pfm(depth, end=b"\r"))
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.pfm").depth, depth)


def test_grey_in_three_channels_is_grey(tmp_path):
    (tmp_path / "depth.pfm").write_bytes(pfm(np.dstack([slope()] * 3), kind=b"PF"))
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.pfm").depth, slope())


def test_a_scale_of_pfm_is_said_and_not_applied(tmp_path):
    (tmp_path / "depth.pfm").write_bytes(pfm(slope(), scale=0.5))
    read = read_depth(tmp_path / "depth.pfm")
    np.testing.assert_array_equal(read.depth, slope())
    assert "a scale of 0.5" in read.notes[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no .pfm file"),
        (b"P5\n2 2\n255\n....", "no .pfm file: it begins with b'P5"),
        (pfm(slope())[:-1], r"160x96 and has 61439 of 61440 bytes"),
        (b"Pf\n999999999 999999999\n-1\n", "999999999x999999999; 1 to"),
        (b"Pf\n0 7\n-1\n", "0x7; 1 to"),
        (b"Pf\n2 2\n0\n" + bytes(16), "scale is 0"),
        (b"Pf\n2 2\n1.2.3\n" + bytes(16), "scale is b'1.2.3'"),
        (b"Pf\n2 2\n1e999\n" + bytes(16), "scale is inf"),
        (pfm(np.dstack([slope(), slope(), slope() + 1]), kind=b"PF"), "colour picture"),
        (pfm(np.full((4, 4), np.nan)), "not a number"),
    ],
)
def test_damaged_pfm(tmp_path, data, words):
    (tmp_path / "depth.pfm").write_bytes(data)
    with pytest.raises(InvalidInputError, match=words) as caught:
        read_depth(tmp_path / "depth.pfm")
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "bad",
    [
        np.array([[{}]], object),
        np.full((4, 4), 1j),
        np.full((4, 4), "far"),
        np.full((4, 4), True),
        np.zeros((4, 4)),
        np.full((4, 4), np.nan),
        np.zeros((0, 4)),
        np.float32(3),
        np.ones((4, 4, 3)),
        np.zeros((4, 4), [("a", "f4")]),
        np.zeros((4, 4), "M8[s]"),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_that_are_no_depth(tmp_path, bad, suffix):
    path = tmp_path / f"depth.{suffix}"
    if suffix == "npy":
        np.save(path, bad, allow_pickle=True)
    else:
        np.savez(path, depth=bad)
    for read in (read_depth, read_relative):
        with pytest.raises(InvalidInputError, match=rf"depth\.{suffix}") as caught:
            read(path)
        assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def test_files_that_say_more_than_they_hold(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    (tmp_path / "depth.npy").write_bytes(header.getvalue())
    unclosed = b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4', "
    for name, data in {"unclosed": unclosed, "text": b"hello"}.items():
        (tmp_path / f"{name}.npy").write_bytes(data)
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w") as archive:
            archive.writestr("depth.npy", data)
    with zipfile.ZipFile(tmp_path / "picture.npz", "w") as archive:
        archive.writestr("depth", "no array")
    for path in tmp_path.iterdir():
        with pytest.raises(InvalidInputError, match=path.name) as caught:
            read_depth(path)
        assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def test_a_file_beyond_what_is_read_is_not_opened(tmp_path):
    for suffix in ("npz", "npy", "exr", "pfm", "png"):
        path = tmp_path / f"depth.{suffix}"
        with path.open("wb") as handle:
            handle.truncate(10**12)
        with pytest.raises(InvalidInputError, match="1000000 MB; at most 801 MB"):
            read_depth(path)


# --------------------------------------------------------------------------------------------- lenses of depth files
@pytest.mark.parametrize("batch", [False, True])
def test_depth_and_lens_of_a_batch_of_one(tmp_path, batch):
    """As Depth Anything 3 writes them; poses beside them are not looked at."""
    arrays = {"depth": slope(), "intrinsics": LENS, "extrinsics": np.eye(4)[:3]}
    np.savez(tmp_path / "d.npz", **{key: array[None] if batch else array for key, array in arrays.items()})
    estimate = DepthFile(tmp_path / "d.npz").estimate(PICTURE)
    np.testing.assert_array_equal(estimate.depth, slope())
    np.testing.assert_array_equal(estimate.intrinsics, LENS)


def test_several_pictures_are_not_one(tmp_path):
    np.savez(tmp_path / "d.npz", depth=np.stack([slope()] * 3), intrinsics=np.stack([LENS] * 3))
    with pytest.raises(InvalidInputError, match=r"\(3, 96, 160\); \(height, width\) is needed"):
        read_depth(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", depth=slope(), intrinsics=np.stack([LENS] * 3))
    with pytest.raises(InvalidInputError, match=r"shape \(3, 3, 3\)"):
        read_depth(tmp_path / "d.npz")


def test_a_lens_in_shares_of_the_picture_is_brought_to_pixels(tmp_path):
    shares = LENS / np.array([[WIDTH], [HEIGHT], [1]])
    np.savez(tmp_path / "d.npz", depth=slope(), intrinsics=shares.astype(np.float32))
    estimate = DepthFile(tmp_path / "d.npz").estimate(PICTURE)
    np.testing.assert_allclose(estimate.intrinsics, LENS, rtol=1e-6)
    assert any("shares of the picture" in note and "150 px" in note for note in estimate.notes)


def test_a_principal_point_that_was_left_out_is_the_middle():
    lens, notes = file_lens(np.diag([150.0, 150, 1]), HEIGHT, WIDTH)
    np.testing.assert_array_equal(lens, LENS)
    assert "left out" in notes[0]


@pytest.mark.parametrize(
    ("lens", "words"),
    [
        # Both rows in shares of the width; in half widths around the middle.
        (np.array([[0.94, 0, 0.5], [0, 0.94, 0.3], [0, 0, 1]]), "look normalised"),
        (np.diag([1.9, 1.9, 1]), "look normalised"),
        (LENS * [[10], [10], [1]], "about 1600x960, not 160x96"),
        (LENS[[1, 0, 2]][:, [1, 0, 2]], "swap height and width"),
        (np.full((3, 3), np.nan), "not finite"),
    ],
)
def test_a_lens_of_another_picture_is_refused(tmp_path, lens, words):
    np.savez(tmp_path / "d.npz", depth=slope(), intrinsics=lens)
    with pytest.raises(InvalidInputError, match=rf"d\.npz: .*{words}"):
        read_depth(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "bad", [LENS / [[WIDTH], [HEIGHT], [1]], np.full((3, 3), np.nan), np.eye(2), LENS * 1e6]
)
def test_an_estimator_s_impossible_lens_gives_way_to_the_assumed_one_and_that_is_said(bad):
    good = sanitise(DepthEstimate(slope(), LENS, True, "a network"))
    assert good.notes == () and np.array_equal(good.intrinsics, LENS)
    estimate = sanitise(DepthEstimate(slope(), bad, True, "a network"))
    assert estimate.intrinsics[0, 0] == pytest.approx(80 / np.tan(np.radians(30)))
    assert len(estimate.notes) == 1
    assert "estimator" in estimate.notes[0] and "60° over the longer side" in estimate.notes[0]
