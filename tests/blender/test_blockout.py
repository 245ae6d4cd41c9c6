import pytest
from PIL import Image

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")
ORIENTATION, QUARTER_TURN = 274, 6


@pytest.mark.blender
def test_depth_of_a_blockout(tmp_path):
    image, photo = tmp_path / "image.png", tmp_path / "photo.jpg"
    Image.new("RGB", (100, 100)).save(image)
    exif = Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    Image.new("RGB", (120, 90)).save(photo, exif=exif)
    _, thin = zips()
    run_in_blender("blockout_in_blender.py", tmp_path, str(thin), str(image), str(photo))
