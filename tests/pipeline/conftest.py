"""A world that is made without interruption, for all tests that only look at one."""

import pytest

from lyra.geometry.cameras import Trajectory
from lyra.pipeline.extend import extend_world
from tests.worlds import seeded


@pytest.fixture(scope="session")
def finished(small_scene, tmp_path_factory):
    """A world of two chunks, made without interruption."""
    world = seeded(small_scene, tmp_path_factory.mktemp("worlds") / "whole")
    extend_world(world, Trajectory.load(small_scene / "path.npz"), captions={0: "a wall", 81: "a yard"})
    return world
