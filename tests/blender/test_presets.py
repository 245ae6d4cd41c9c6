"""Shapes of camera paths."""

import numpy as np
import pytest

from tests.blender.addon import load

presets = load("camera.presets")
# A camera 2 m up, looking along +Y and 20 degrees down.
DOWN = np.radians(70)
CAMERA = np.array(
    [[1, 0, 0, 3], [0, np.cos(DOWN), -np.sin(DOWN), -1], [0, np.sin(DOWN), np.cos(DOWN), 2], [0, 0, 0, 1]]
)
START = presets.PathStart.of_camera(CAMERA, 10.0)


@pytest.mark.parametrize("key", presets.PRESETS)
def test_paths_begin_at_the_camera_and_grow_with_depth(key):
    preset = presets.PRESETS[key]
    shape = preset.make(START, preset.amount)
    np.testing.assert_allclose(shape.points[0], START.position, atol=1e-12)
    near = preset.make(presets.PathStart.of_camera(CAMERA, 5.0), preset.amount)
    np.testing.assert_allclose(2 * (near.points - START.position), shape.points - START.position, atol=1e-9)
    length = np.linalg.norm(np.diff(shape.points, axis=0), axis=1).sum()
    assert 0 < length < 10


def test_directions():
    ends = {
        key: preset.make(START, preset.amount).points[-1] - START.position
        for key, preset in presets.PRESETS.items()
    }
    assert ends["PUSH_IN"] @ START.forward > 0 > ends["PULL_OUT"] @ START.forward
    assert ends["CRANE"][2] > 0
    assert abs(ends["WALK"][2]) < 1e-9 and ends["WALK"][1] > 0


def test_orbit_keeps_its_distance():
    shape = presets.PRESETS["ORBIT"].make(START, 0.35)
    np.testing.assert_allclose(np.linalg.norm(shape.points - START.target, axis=1), 10, atol=1e-9)
    assert shape.tracking


def test_camera_looking_straight_down_has_a_way_forward():
    assert np.isfinite(
        presets.PRESETS["WALK"].make(presets.PathStart.of_camera(np.eye(4), 3.0), 0.3).points
    ).all()
