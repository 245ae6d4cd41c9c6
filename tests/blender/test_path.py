import pytest

from tests.blender.engine import run_in_blender

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_a_path_as_lines_and_drawn(tmp_path):
    run_in_blender("path_in_blender.py", tmp_path)
