import pytest

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_points_under_the_mouse_and_what_follows_a_new_scale(tmp_path):
    _, thin = zips()
    run_in_blender("scale_in_blender.py", tmp_path, str(thin))
