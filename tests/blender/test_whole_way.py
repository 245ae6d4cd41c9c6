import numpy as np
import pytest
from PIL import Image

from tests.blender.engine import run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")
HEIGHT, WIDTH = 112, 208


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """image.png and depth.npz of a box before a wall on a floor, as a camera 1.5 m above the floor sees them."""
    folder = tmp_path_factory.mktemp("picture")
    y = np.repeat(np.arange(HEIGHT)[:, None], WIDTH, 1) + 0.5
    below = (y - HEIGHT / 2) / (WIDTH * 40 / 36)
    depth = np.where(below > 1.5 / 12, 1.5 / np.maximum(below, 1e-6), 12.0)
    depth[40:80, 80:120] = 5.0
    color = np.where((depth == 12)[..., None], [120, 110, 90], [90, 120, 70])
    color[40:80, 80:120] = [180, 80, 60]
    noise = np.random.default_rng(0).normal(0, 15, (HEIGHT, WIDTH, 1))
    Image.fromarray(np.clip(color + noise, 0, 255).astype(np.uint8)).save(folder / "image.png")
    np.savez(folder / "depth.npz", depth=depth.astype(np.float32))
    return folder


@pytest.mark.blender
@pytest.mark.slow
def test_from_an_image_to_a_world_and_back(picture, tmp_path):
    full, _ = zips()
    said = run_in_blender(
        "whole_way.py",
        tmp_path,
        str(full),
        str(picture / "image.png"),
        str(picture / "depth.npz"),
        str(tmp_path),
    )
    assert "whole way: ok" in said
