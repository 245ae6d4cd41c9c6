"""Small files that would take all memory are refused before they do."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from lyra import exr
from lyra.chunks import read_shaped
from lyra.depth.file import read_depth
from lyra.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.images import load_image


def float_tiff(pixels: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels.astype(np.float32), compression="zlib", **options)
    return out.getvalue()


def array_that_is_not_there(shape: tuple[int, ...]) -> bytes:
    """An .npz member whose header states a shape that the file has no values for."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue() + bytes(16)


def test_a_strip_of_a_float_tiff_may_hold_its_pixels_only():
    data = float_tiff(np.full((64, 64, 3), 0.5), photometric="rgb", rowsperstrip=64)
    assert load_image(data).pixels.shape == (64, 64, 3)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        places = [tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")]
    bomb = zlib.compress(bytes(50_000_000))
    swollen = bytearray(data)
    for place, value in zip(places, (len(data), len(bomb)), strict=True):
        swollen[place : place + 4] = struct.pack("<I", value)
    with pytest.raises(InvalidInputError, match="a strip of it holds more than its pixels"):
        load_image(bytes(swollen) + bomb)


def test_a_damaged_strip_of_a_float_tiff_is_told():
    data = bytearray(float_tiff(np.random.default_rng(0).random((64, 64, 3)), photometric="rgb"))
    # The checksum at the end of its one strip.
    data[-1] ^= 1
    with pytest.raises(InvalidInputError, match="The float TIFF cannot be decoded"):
        load_image(bytes(data))


def test_of_a_float_tiff_only_the_first_page_is_decoded(monkeypatch):
    stack = np.zeros((5, 64, 80, 3))
    stack[0] = 0.5
    decoded = []
    whole = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda page, **more: decoded.append(page.shape) or whole(page, **more)
    )
    pixels = load_image(float_tiff(stack, photometric="rgb")).pixels
    assert pixels.shape == (64, 80, 3) and pixels.min() == pixels.max() == 188
    assert decoded == [(64, 80, 3)]
    many = float_tiff(np.zeros((64, 80, 300)), photometric="minisblack", planarconfig="contig")
    with pytest.raises(InvalidInputError, match=r"\(64, 80, 300\)"):
        load_image(many)
    assert len(decoded) == 1


def test_the_lines_of_an_exr_file_that_are_unpacked_at_once_have_a_limit():
    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    width, lines, channels = 8000, 16, 1000
    assert 4 * width * lines * channels > exr.MAX_CHUNK_BYTES
    names = sorted([b"R", b"G", b"B", *(b"c%03d" % i for i in range(channels - 3))])
    table = b"".join(name + b"\0" + struct.pack("<iIii", 2, 0, 1, 1) for name in names) + b"\0"
    header = (
        exr.MAGIC
        + struct.pack("<I", 2)
        + attribute(b"channels", b"chlist", table)
        + attribute(b"compression", b"compression", b"\3")
        + attribute(b"dataWindow", b"box2i", struct.pack("<4i", 0, 0, width - 1, lines - 1))
        + attribute(b"displayWindow", b"box2i", struct.pack("<4i", 0, 0, 63, 63))
        + b"\0"
    )
    chunk = struct.pack("<ii", 0, 4) + b"none"
    with pytest.raises(InvalidInputError, match="16 lines of the EXR file hold 512 MB; at most 300"):
        load_image(header + struct.pack("<Q", len(header) + 8) + chunk)


def test_the_lines_of_an_exr_file_have_a_place_each():
    """One place for all of them would be unpacked again and again."""
    data = bytearray((Path(__file__).parent / "depth" / "data" / "blender45_zip_32.exr").read_bytes())
    assert exr.read_channels(bytes(data))
    # The table of the two chunks: its first number is where it ends.
    table = next(at for at in range(len(data) - 16) if struct.unpack_from("<Q", data, at)[0] == at + 16)
    data[table + 8 : table + 16] = data[table : table + 8]
    with pytest.raises(InvalidInputError, match="names one place for several lines"):
        exr.read_channels(bytes(data))


def test_a_number_of_thousands_of_digits_is_no_size():
    with pytest.raises(InvalidInputError, match="no resolution line"):
        load_image(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y " + b"9" * 5000 + b" +X 100\n")


def test_arrays_are_as_large_as_their_files(tmp_path):
    file = tmp_path / "arrays.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("depth", "w2c", "intrinsics", "image_height", "image_width"):
            archive.writestr(f"{name}.npy", array_that_is_not_there((10**7, 10**7)))
    for read in (Trajectory.load, read_depth):
        with pytest.raises(InvalidInputError, match=r"arrays\.npz.* would take .* MB, .*; at most"):
            read(file)
    with pytest.raises(InvalidInputError, match=r"would take .*restore it from a copy"):
        read_shaped(file, {"depth": (None, None)})


@pytest.mark.parametrize("damage", ["encrypted", "packed in an unknown way"])
def test_archives_that_cannot_be_unpacked_are_refused(tmp_path, damage):
    file = tmp_path / "path.npz"
    np.savez(file, w2c=np.eye(4)[None])
    data = bytearray(file.read_bytes())
    # Flags and method in the local header, and in the directory at the end.
    for start, flags in ((data.find(b"PK\3\4"), 6), (data.find(b"PK\1\2"), 8)):
        data[start + flags + (2 if damage != "encrypted" else 0)] = 1 if damage == "encrypted" else 99
    file.write_bytes(data)
    with pytest.raises(InvalidInputError, match=r"path\.npz is no trajectory file"):
        Trajectory.load(file)
