import pytest
from PIL import Image

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_depth_of_a_blockout_and_points_under_the_mouse(tmp_path):
    Image.new("RGB", (100, 100)).save(tmp_path / "image.png")
    _, thin = zips()
    run_in_blender("blockout_in_blender.py", tmp_path, str(thin), str(tmp_path / "image.png"))
