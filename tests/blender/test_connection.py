import pytest

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_late_gone_and_back(tmp_path):
    _, thin = zips()
    run_in_blender("connection_in_blender.py", tmp_path, str(thin))
