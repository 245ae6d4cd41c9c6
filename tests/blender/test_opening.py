import pytest

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_worlds_of_the_engine_come_into_a_file_and_keep_what_points_at_them(tmp_path):
    _, thin = zips()
    run_in_blender("opening_in_blender.py", tmp_path, str(thin))
