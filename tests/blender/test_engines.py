import pytest

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")


@pytest.mark.blender
def test_licence_download_settings_and_prompts(tmp_path):
    _, thin = zips()
    run_in_blender("engines_in_blender.py", tmp_path, str(thin), str(tmp_path))
