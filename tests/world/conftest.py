"""A world of two chunks."""

import pytest

from tests.worlds import cameras, make_chunk, make_world


@pytest.fixture
def world(tmp_path):
    world = make_world(tmp_path / "world")
    world.add_chunk(cameras(), make_chunk(1), "a hall", 11, 1.5)
    world.add_chunk(cameras(-0.8), make_chunk(2), "a yard", 12, 2.5)
    return world
