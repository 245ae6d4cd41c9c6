import subprocess
import sys

import numpy as np
import torch

from lyra.geometry.arrays import inverse
from tests.geometry import scenes


def test_torch_is_not_needed_for_numpy_arrays():
    script = """
import sys
import numpy as np
from lyra.geometry.rays import camera_rays
from lyra.geometry.warp import splat, splat_source
from lyra.memory import GeometryCache, GreedyCoverage

camera, k = np.eye(4)[None], np.diag([20.0, 20, 1])[None]
depth = np.full((1, 16, 24), 2.0, np.float32)
splat(splat_source(depth[None, ..., None], depth[None], camera[None], k[None]), camera, k)
camera_rays(camera, k, 16, 24)
cache = GeometryCache(16, 24)
cache.add(0, depth[0], camera[0], k[0])
assert cache.retrieve(camera, k, 5, GreedyCoverage()) == [0]
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_inverses_undo_their_matrices():
    w2c = scenes.poses(4, 0.4)
    np.testing.assert_allclose(inverse(w2c) @ w2c, np.tile(np.eye(4), (4, 1, 1)), atol=1e-6)
    np.testing.assert_array_equal(inverse(torch.from_numpy(w2c)), torch.linalg.inv(torch.from_numpy(w2c)))
