"""Small files that would take all memory are refused before they do."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import OpenImageIO
import pytest
import tifffile
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.depth.file import read_depth
from lyra.geometry.cameras import Trajectory
from lyra.media import exr
from lyra.media.images import load_image
from lyra.media.oiio import MAX_PIECE_BYTES
from lyra.world.chunks import read_shaped
from tests.media.samples import psd


def float_tiff(pixels: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels.astype(np.float32), compression="zlib", **options)
    return out.getvalue()


def array_that_is_not_there(shape: tuple[int, ...]) -> bytes:
    """An .npz member whose header states a shape that the file has no values for."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue() + bytes(16)


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.uint8])
def test_a_strip_of_a_tiff_may_hold_its_pixels_only(kind):
    out = io.BytesIO()
    tifffile.imwrite(
        out, np.full((64, 64, 3), 1, kind), compression="zlib", photometric="rgb", rowsperstrip=64
    )
    data = out.getvalue()
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
    with pytest.raises(InvalidInputError, match="damaged or cut short"):
        load_image(bytes(data))


def test_of_a_float_tiff_only_the_first_page_is_decoded():
    stack = np.zeros((5, 64, 80, 3))
    stack[0] = 0.5
    pixels = load_image(float_tiff(stack, photometric="rgb")).pixels
    assert pixels.shape == (64, 80, 3) and pixels.min() == pixels.max() == 188
    many = float_tiff(np.zeros((64, 80, 300)), photometric="minisblack", planarconfig="contig")
    with pytest.raises(InvalidInputError, match=r"\(64, 80, 300\)"):
        load_image(many)


def test_the_lines_of_an_exr_file_that_are_unpacked_at_once_have_a_limit():
    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    width, lines, channels = 8000, 16, 1000
    assert 4 * width * lines * channels > MAX_PIECE_BYTES
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
    data = bytearray((Path(__file__).parents[1] / "depth" / "data" / "blender45_zip_32.exr").read_bytes())
    assert exr.read_channels(bytes(data))
    # The table of the two chunks: its first number is where it ends.
    table = next(at for at in range(len(data) - 16) if struct.unpack_from("<Q", data, at)[0] == at + 16)
    data[table + 8 : table + 16] = data[table : table + 8]
    with pytest.raises(InvalidInputError, match="damaged or cut short"):
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


# ----------------------------------------------------------------------------------------- 20 bytes a pixel, at most
# 2 GB for 100 megapixels.
MOST_BYTES_A_PIXEL = 20
SIDE = 1600
MEASURED = """
import sys
from pathlib import Path
from lyra.media.images import load_image
from lyra.media import header

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith(("VmHWM", "VmRSS"))}

header.STRIP_PIXELS = int(sys.argv[1]) or header.STRIP_PIXELS
for name in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()["VmRSS"]
    height, width = load_image(Path(name)).pixels.shape[:2]
    print(Path(name).name, height * width, resident()["VmHWM"] - before)
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from Linux's /proc")


def most_memory(folder: Path, names: list[str], strip: int = 0) -> dict[str, float]:
    """Bytes a pixel that each picture takes beyond what is there before it, in a process of its own."""
    command = [sys.executable, "-c", MEASURED, str(strip), *(str(folder / name) for name in names)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        name: int(more) / int(pixels) for name, pixels, more in (line.split() for line in said.splitlines())
    }


def one_strip(side: int) -> bytes:
    """A float TIFF of one deflated strip that says 0.5 everywhere: a megabyte for 100 megapixels."""
    lines = np.full((side // 100, side, 3), 0.5, np.float32).tobytes()
    packer, check = zlib.compressobj(9, wbits=-15), 1
    once = packer.compress(lines) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(100):
        check = zlib.adler32(lines, check)
    packed = b"\x78\xda" + 100 * once + b"\x03\0" + struct.pack(">I", check)
    entries = [(256, 4, side), (257, 4, side), (258, 3, 3), (259, 3, 8), (262, 3, 2), (273, 4, 0),
               (277, 3, 3), (278, 4, side), (279, 4, len(packed)), (339, 3, 3)]  # fmt: skip
    after = 8 + 2 + 12 * len(entries) + 4
    values = {258: after, 339: after + 6, 273: after + 12}
    data = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, value in entries:
        count = 3 if tag in (258, 339) else 1
        long = kind == 4 or count > 1
        data += struct.pack("<HHII" if long else "<HHIHxx", tag, kind, count, values.get(tag, value))
    return data + bytes(4) + struct.pack("<6H", 32, 32, 32, 3, 3, 3) + packed


def written(folder: Path) -> list[str]:
    """Pictures of SIDE x SIDE that pack well, in the formats that take most."""
    pixels = np.full((SIDE, SIDE, 4), 200, np.uint8)
    pixels[: SIDE // 2, ::7, 3] = 0
    for name in ("rgba.png", "rgba.webp"):
        Image.fromarray(pixels).save(
            folder / name, **({"lossless": True, "quality": 0} if "webp" in name else {})
        )
    Image.fromarray(pixels[..., :3]).save(folder / "a.jpg", progressive=True)
    (folder / "a.psd").write_bytes(psd(np.full((3, SIDE, SIDE), 200, np.uint16), bits=16))
    (folder / "one_strip.tif").write_bytes(one_strip(SIDE))
    for name, kind in (("a.exr", "float"), ("a.hdr", "float"), ("wide.png", "uint16")):
        spec = OpenImageIO.ImageSpec(SIDE, SIDE, 3 if name == "a.hdr" else 4, kind)
        file = OpenImageIO.ImageOutput.create(str(folder / name))
        assert file.open(str(folder / name), spec)
        assert file.write_image(pixels[..., : spec.nchannels].astype(np.float32) / 100)
        file.close()
    return ["a.jpg", "a.psd", "one_strip.tif", "a.hdr", "a.exr", "wide.png", "rgba.png", "rgba.webp"]


@on_linux
def test_pictures_take_memory_by_their_pixels(tmp_path):
    """Not by what a decoder could hold of them: of floats, 64 bytes a pixel were taken."""
    names = written(tmp_path)
    Image.new("RGBA", (64, 64), (9, 9, 9, 99)).save(tmp_path / "first.png")
    (tmp_path / "first.tif").write_bytes(one_strip(100))
    taken = most_memory(tmp_path, ["first.png", "first.tif", *names], strip=50_000)
    assert {
        name: size for name, size in taken.items() if size > MOST_BYTES_A_PIXEL and "first" not in name
    } == {}


@on_linux
@pytest.mark.slow
def test_a_hundred_megapixels_take_less_than_two_gigabytes(tmp_path):
    (tmp_path / "bomb.tif").write_bytes(one_strip(10_000))
    assert (tmp_path / "bomb.tif").stat().st_size < 2_000_000
    assert most_memory(tmp_path, ["bomb.tif"])["bomb.tif"] < MOST_BYTES_A_PIXEL


def test_the_memory_of_pictures_that_are_refused_is_bounded_by_their_headers():
    """A tile, or a strip of tiles, larger than any picture; more channels than pictures have."""
    spec = [(256, 4, 9000), (257, 4, 9000), (258, 3, 16), (259, 3, 8), (262, 3, 1), (277, 3, 1), (322, 4, 60000),
            (323, 4, 60000), (324, 4, 8), (325, 4, 100)]  # fmt: skip
    data = b"II*\0" + struct.pack("<IH", 8, len(spec))
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, _, value in spec)
    data = data.replace(struct.pack("<HHII", 262, 4, 1, 1), struct.pack("<HHIHxx", 262, 3, 1, 1))
    with pytest.raises(InvalidInputError):
        load_image(data + bytes(200))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among its files")
def test_what_never_ends_is_neither_picture_nor_depth_nor_path(tmp_path):
    readers = {".png": load_image, ".npz": Trajectory.load, ".pfm": read_depth, ".exr": read_depth}
    for suffix, read in readers.items():
        pipe = tmp_path / f"pipe{suffix}"
        os.mkfifo(pipe)
        with pytest.raises(InvalidInputError, match="a pipe or a device"):
            read(pipe)


def test_a_file_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "long.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(20_000_000_000)
    with pytest.raises(InvalidInputError, match="has 20000 MB; at most 1000 are read"):
        load_image(tmp_path / "long.png")
