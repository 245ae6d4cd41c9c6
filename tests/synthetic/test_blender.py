"""Cycles renders of the same scenes as meshes agree with the ray caster."""

import numpy as np
import pytest

pytest.importorskip("bpy", reason="Blender's Python module is not installed")

from lyra.synthetic.generate import best_shots, build_scene
from lyra.synthetic.render import Stage
from scripts.blender_scenes.render import render

SIZE = (40, 64)


@pytest.mark.blender
@pytest.mark.parametrize(("kind", "seed"), [("square", 2), ("hall", 3), ("desert", 1)])
def test_cycles_and_the_ray_caster_agree_on_depth(kind, seed):
    picture = render(seed, kind, *SIZE, samples=1, threads=1)
    stage = Stage([build_scene(np.random.default_rng(seed), kind)])
    shots = best_shots(stage, SIZE[1] / SIZE[0])
    _, depth, _ = stage.render(shots, *SIZE)

    assert picture["image"].shape == (*SIZE, 3)
    assert picture["image"].dtype == np.uint8
    assert picture["image"].std() > 2
    sky = np.isinf(picture["depth"])
    assert (sky == np.isinf(depth[0])).mean() > 0.95
    both = ~sky & np.isfinite(depth[0])
    error = np.abs(picture["depth"] / np.where(both, depth[0], 1) - 1)[both]
    assert np.median(error) < 0.01
    assert (error < 0.1).mean() > 0.85
