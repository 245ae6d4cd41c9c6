import pytest

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_worlds_stand_upright_beside_each_other_and_give_the_scene_its_camera_back(tmp_path):
    _, thin = zips()
    run_in_blender("upright_in_blender.py", tmp_path, str(thin))
