import pytest

from tests.blender.engine import run_in_blender

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_splats_as_data_drawn_and_rendered(tmp_path):
    run_in_blender("splats_in_blender.py", tmp_path, str(tmp_path))
