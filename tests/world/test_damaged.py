"""Worlds that are damaged, or made by a newer release, are refused with what to do."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.world.folder import World
from tests.worlds import HEIGHT, WIDTH


def test_damaged_and_newer_worlds_are_refused(world, tmp_path):
    with pytest.raises(InvalidInputError, match=r"no world\.json"):
        World.open(tmp_path)
    file = world.folder / "world.json"
    data = json.loads(file.read_text())
    for change, message in (
        ({"format_version": 99}, "newer Lyra Worlds.*99"),
        ({"format_version": "x"}, "'x'"),
        ({"surprise": 1}, "damaged"),
        ({"height": "tall"}, "height is 'tall'"),
        ({"width": 0}, "size"),
        ({"notes": "none"}, "notes is 'none'"),
        ({"scale": True}, "scale is True"),
        ({"name": "n" * 100_000}, "longer than 10000"),
        ({"notes": ["short"] * 2000}, "more than 1000"),
    ):
        file.write_text(json.dumps({**data, **change}))
        with pytest.raises(InvalidInputError, match=message):
            World.open(world.folder)
    file.write_text("{")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        World.open(world.folder)


def test_a_damaged_chunk_is_named_with_a_way_out(world):
    damaged = world.folder / "chunks" / "0002"
    (damaged / "chunk.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"delete the folder .*0002"):
        World.open(world.folder)
    shutil.rmtree(damaged)
    assert World.open(world.folder).frames == 81


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"depth": np.zeros(70_000_000, np.uint8), "intrinsics": np.eye(3)},
            "has the shape .70000000,.; .* is needed",
        ),
        (
            {"depth": np.zeros((HEIGHT, WIDTH)), "intrinsics": np.zeros(70_000_000, np.uint8)},
            "has the shape .70000000,.; .* is needed",
        ),
        (
            {"depth": np.zeros((WIDTH, HEIGHT)), "intrinsics": np.eye(3)},
            r"'depth' has the shape \(96, 64\); \(64, 96\) is needed",
        ),
        (
            {"depth": np.zeros((HEIGHT, WIDTH)), "intrinsics": np.eye(4)},
            r"'intrinsics' has the shape \(4, 4\); \(3, 3\) is needed",
        ),
        ({"depth": np.zeros((HEIGHT, WIDTH), "U3"), "intrinsics": np.eye(3)}, "'depth' is of type .*U3"),
    ],
)
def test_arrays_that_are_no_first_frame_are_refused(world, arrays, message):
    np.savez_compressed(world.folder / "seed.npz", **arrays)
    with pytest.raises(InvalidInputError, match=message):
        world.seed_view()


def test_a_first_picture_of_another_size_is_refused(world):
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(world.folder / "seed.png")
    with pytest.raises(InvalidInputError, match=r"seed\.png cannot be read \(96x65 pixels, not 96x64\)"):
        world.seed_view()
    (world.folder / "seed.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInputError, match=r"seed\.png cannot be read"):
        world.seed_view()


def test_a_folder_called_world_json_is_no_world(tmp_path):
    (tmp_path / "world.json").mkdir()
    with pytest.raises(InvalidInputError, match=r"its world\.json is a folder"):
        World.open(tmp_path)
