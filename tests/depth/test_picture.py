"""Images with and without features from which depth can be estimated."""

import numpy as np
import pytest
from PIL import Image

from lyra.depth.picture import NOTHING_TO_READ, shows_nothing
from lyra.media.images import load_image
from lyra.pipeline.create import create_world

HEIGHT, WIDTH = 240, 416
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
SKY = np.linspace((80, 130, 210), (200, 220, 240), HEIGHT)[:, None].repeat(WIDTH, 1)
GRAIN = 5 * np.random.default_rng(0).standard_normal((HEIGHT, WIDTH, 1))


def picture(colors) -> np.ndarray:
    return np.broadcast_to(colors, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)


EMPTY = {
    "one colour": picture(128),
    "black": picture(0),
    "a clear sky": picture(SKY),
    "grain": picture(128 + GRAIN),
    "from black to white": picture(ROWS[..., None] * 255 / HEIGHT),
    "across": picture((ROWS + COLUMNS)[..., None] * 255 / (HEIGHT + WIDTH)),
    "tiny": np.full((64, 64, 3), 9, np.uint8),
    "wide": np.full((64, 1664, 3), 9, np.uint8),
}
HORIZON = SKY.copy()
HORIZON[150:] = (60, 50, 40)
FOG = np.full((HEIGHT, WIDTH, 3), 190.0)
FOG[130:] -= 12
FOG[100:150, 150:170] -= 15


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_read(name):
    assert shows_nothing(EMPTY[name])


@pytest.mark.parametrize("colors", [HORIZON, FOG, FOG + GRAIN], ids=["horizon", "fog", "grainy fog"])
def test_a_horizon_is_something(colors):
    assert not shows_nothing(picture(colors))


def test_the_example_is_something(request):
    assert not shows_nothing(
        load_image(request.config.rootpath / "examples" / "courtyard" / "image.png").pixels
    )


@pytest.mark.parametrize("depth", ["layout", "builtin", "file"])
def test_every_estimator_s_world_says_so_but_not_a_file_s(tmp_path, depth):
    Image.fromarray(EMPTY["a clear sky"]).save(tmp_path / "sky.png")
    given = {"depth": depth}
    if depth == "file":
        np.savez(tmp_path / "depth.npz", depth=np.full((HEIGHT, WIDTH), 3.0))
        given = {"depth_file": tmp_path / "depth.npz"}
    world = create_world(tmp_path / "world", tmp_path / "sky.png", size=(64, 96), device="cpu", **given)
    assert world.notes.count(NOTHING_TO_READ) == (depth != "file")
