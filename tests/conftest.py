"""A small picture with depth and a path, shared by the tests that go the whole way."""

import importlib.util
import os

# Before torch is loaded, for the processes that tests start as well: tensors this small take several times longer on
# more threads, and much longer beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

# The tests of the extension also run where the engine is not installed, in Blender 5.2.
if importlib.util.find_spec("lyra") is not None:
    from tests.hub.fixtures import _downloaded, licences, mirror, weights, writable_mirror  # noqa: F401

HEIGHT, WIDTH = 112, 208


@pytest.fixture(scope="session")
def small_scene(tmp_path_factory):
    """Folder with image.png (208x112), depth.npz and path.npz (161 poses): a box before a wall, floor and sky."""
    # Not above, for the same reason.
    from lyra.geometry.cameras import Trajectory, intrinsics_from_fov

    folder = tmp_path_factory.mktemp("scene")
    y = np.repeat(np.arange(HEIGHT)[:, None], WIDTH, 1)
    k = intrinsics_from_fov(1.05, HEIGHT, WIDTH)
    below = (y + 0.5 - k[1, 2]) / k[1, 1]
    depth = np.full((HEIGHT, WIDTH), 12.0)
    depth = np.where(below > 1.5 / 12, 1.5 / np.maximum(below, 1e-6), depth)
    depth[:30] = np.inf
    depth[40:80, 80:120] = np.minimum(depth[40:80, 80:120], 5.0)
    rng = np.random.default_rng(0)
    texture = rng.normal(0, 18, (HEIGHT, WIDTH, 1)).repeat(3, 2)
    colour = np.select(
        [np.isinf(depth)[..., None], (depth == 5.0)[..., None], (depth == 12.0)[..., None]],
        [np.array([150, 180, 220]), np.array([180, 80, 60]), np.array([120, 110, 90])],
        np.array([90, 120, 70]),
    )
    image = np.clip(colour + texture * np.isfinite(depth)[..., None], 0, 255).astype(np.uint8)
    Image.fromarray(image).save(folder / "image.png")
    np.savez(folder / "depth.npz", depth=depth.astype(np.float32))
    w2c = np.tile(np.eye(4), (161, 1, 1))
    along = np.linspace(0, 1, 161)
    w2c[:, 0, 3] = -0.8 * np.sin(np.pi * along)
    w2c[:, 2, 3] = -1.0 * along
    Trajectory(w2c, np.tile(k, (161, 1, 1)), HEIGHT, WIDTH).save(folder / "path.npz")
    return folder
