import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.blender.addon import load

orientation = load("orientation")
FORMATS = ["jpg", "png", "webp", "tif"]


def upright_height(file):
    """By the function with which the engine turns a picture."""
    with Image.open(file) as image:
        return ImageOps.exif_transpose(image).height


def saved(folder, suffix, turn, **options):
    """A 96 x 64 picture with an orientation among other tags."""
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Camera"
    if turn:
        exif[274] = turn
    file = folder / f"picture-{turn}.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    Image.fromarray(pixels).save(file, exif=exif, **options)
    return file


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("turn", range(9))
def test_the_same_pictures_are_turned_as_by_the_engine(tmp_path, suffix, turn):
    file = saved(tmp_path, suffix, turn)
    assert orientation.is_on_its_side(file) == (upright_height(file) == 96) == (turn > 4)


def test_what_stands_before_the_orientation_is_passed_over(tmp_path):
    """A colour profile, a comment and fill bytes in a JPEG; big-endian tags."""
    file = saved(tmp_path, "jpg", 6, icc_profile=bytes(70_000), comment=b"Exif\0\0 in a comment")
    data = file.read_bytes()
    exif = data.index(b"\xff\xe1")
    segment = data[exif : exif + 4 + int.from_bytes(data[exif + 2 : exif + 4], "big") - 2]
    moved = data.replace(segment, b"")
    last = moved.index(b"\xff\xdb")
    file.write_bytes(moved[:last] + b"\xff\xff" + segment + moved[last:])
    assert upright_height(file) == 96 and orientation.is_on_its_side(file)
    big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    (tmp_path / "big.tif").write_bytes(big)
    assert orientation.is_on_its_side(tmp_path / "big.tif")


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_cut_ends_in_an_error(tmp_path, suffix):
    data = saved(tmp_path, suffix, 6).read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for length in (0, 1, 3, 8, 11, 12, 14, 20, 33, 60, len(data) // 2):
        cut.write_bytes(data[:length])
        assert orientation.is_on_its_side(cut) in (True, False)
    cut.write_bytes(b"\xff\xd8" + b"\xff\xe1\0\0" * 30_000)
    assert not orientation.is_on_its_side(cut)
