"""What is prepared behind and around the source image: it covers every view, hides nothing seen, and is kept."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.common.progress import SILENT
from lyra.engines.preview import PreviewEngine, surroundings
from lyra.engines.preview.background import hidden
from lyra.engines.preview.kept import checked_state
from lyra.engines.preview.level import about_x, about_y
from lyra.engines.preview.scene import PreviewScene
from lyra.engines.preview.tiles import Example, TiledTexture
from lyra.engines.preview.walls import find_walls
from lyra.evaluation.scenes import hall, path, street
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.raster import Rasterizer
from lyra.geometry.views import View

SIZE = (96, 160)
TURNS = [(15, 0), (-30, 0), (60, 0), (-60, 0), (180, 0), (0, 30), (0, -30), (0, 90), (0, -90)]


@pytest.fixture(scope="module")
def scene() -> PreviewScene:
    scene = PreviewScene(street(SIZE).first, "cpu")
    scene.prepare(lambda: None)
    return scene


def drawn(scene: PreviewScene, yaw: float, pitch: float, intrinsics=None):
    """Image and disparity of the scene from the source camera turned by degrees."""
    w2c = np.eye(4)
    w2c[:3, :3] = (about_y(np.radians(yaw)) @ about_x(np.radians(pitch))).T
    k = scene.view.intrinsics if intrinsics is None else intrinsics
    surfaces = [*scene.surfaces(w2c, k, *SIZE), *scene.mirrored]
    image, disparity, _ = Rasterizer(*SIZE, scene.space.near).draw(surfaces, w2c, k).numpy()
    return image, disparity


@pytest.mark.parametrize(("yaw", "pitch"), TURNS)
def test_every_direction_is_covered(scene, yaw, pitch):
    image, disparity = drawn(scene, yaw, pitch)
    assert (disparity >= 0).all()
    # Neither a hole's black nor one colour for everything.
    assert image.std((0, 1)).max() > 1


def test_the_image_itself_is_not_hidden(scene):
    image, _ = drawn(scene, 0, 0)
    assert np.abs(image - scene.view.image).mean() < 1.5


def test_the_ground_goes_on_as_its_plane(scene):
    """The street's ground lies 1.6 below the camera."""
    w2c = np.eye(4)
    w2c[:3, :3] = about_x(np.radians(90)).T
    down = intrinsics_from_fov(np.radians(40), *SIZE)
    surfaces = scene.surfaces(w2c, down, *SIZE)
    _, disparity, _ = Rasterizer(*SIZE, scene.space.near).draw(surfaces, w2c, down).numpy()
    below = [disparity, drawn(scene, 0, 90)[1], drawn(scene, 0, -90)[1]]
    ground = max(below, key=lambda d: np.median(d))
    assert np.median(ground) == pytest.approx(1 / 1.6, rel=0.1)


def test_distant_ground_is_there_after_a_step(scene):
    """Three heights of the camera to the right, where the source image shows the ground in a few rows."""
    w2c = np.eye(4)
    w2c[:3, :3] = about_y(np.radians(-30)).T
    w2c[:3, 3] = -w2c[:3, :3] @ [4.8, 0, 0]
    surfaces = scene.surfaces(w2c, scene.view.intrinsics, *SIZE)
    _, disparity, _ = Rasterizer(*SIZE, scene.space.near).draw(surfaces, w2c, scene.view.intrinsics).numpy()
    # What stood in front of it may hide a little.
    assert (disparity[SIZE[0] * 2 // 3 :] < 0).mean() < 0.02


@pytest.fixture(scope="module")
def walled():
    """The hall's place without its things, and the arguments that its walls were looked for with."""
    calls = []

    def recorded(*arguments):
        calls.append(arguments)
        return find_walls(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surroundings, "find_walls", recorded)
        PreviewScene(hall((240, 416)).first, "cpu").prepare(lambda: None)
    return calls[0]


def test_walls_and_ceiling_go_on_along_their_planes(walled):
    """The hall's walls stand 6 to the left and to the right, its ceiling is 4.5 above the camera."""
    walls, ceiling = find_walls(*walled), walled[5]
    assert len(walls) == 2 and ceiling == pytest.approx(4.5, rel=0.05)
    for side, wall in zip((-1, 1), walls, strict=True):
        assert wall.normal[0] * 6 * side == pytest.approx(1, rel=0.05) and abs(wall.normal[2]) < 0.02
        beside = np.array([side * 1.0, 0, 0.1])
        assert 1 / wall.disparity(beside) == pytest.approx(6, rel=0.1)
        assert wall.disparity(beside * [-1, 1, 1]) == 0
        # Grey stone, and no single colour.
        colours = wall.colours(np.linspace([side, -0.3, 0.1], [side, 0.1, 0.4], 50))
        assert 2 < colours.std(0).max() < 60 and wall.top == ceiling


def test_what_has_no_level_lines_is_no_wall(walled):
    """A cliff: as flat as the hall's walls, painted with noise."""
    level, image, *rest = walled
    noise = np.random.default_rng(0).normal(128, 60, image.shape)
    assert not find_walls(level, ndimage.gaussian_filter(noise, (2, 2, 0)).astype(np.float32), *rest)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two cylinders (H, W) after a band-pass at three scales and without the mean of each row."""
    scores = []
    for width in (1, 2, 4):
        bands = [ndimage.gaussian_filter(x, width) - ndimage.gaussian_filter(x, 2 * width) for x in (a, b)]
        bands = [band - band.mean(1, keepdims=True) for band in bands]
        scores.append(
            (bands[0] * bands[1]).sum() / np.sqrt((bands[0] ** 2).sum() * (bands[1] ** 2).sum() + 1e-9)
        )
    return float(np.mean(scores))


def mirrored(scene: PreviewScene) -> float:
    """The best correlation of what lies beyond each border with the reversed image beside it."""
    half = np.degrees(np.arctan(SIZE[1] / 2 / scene.view.intrinsics[0, 0]))
    lens = intrinsics_from_fov(np.radians(40), *SIZE)
    best = 0.0
    for side in (-1, 1):
        inner, _ = drawn(scene, side * (half - 20), 0, lens)
        outer, _ = drawn(scene, side * (half + 20), 0, lens)
        inner, outer = inner.mean(-1), outer.mean(-1)[:, ::-1]
        shifts = [correlation(inner, np.roll(outer, shift, 1)) for shift in range(-8, 9)]
        best = max(best, *shifts)
    return best


def test_nothing_beyond_the_border_is_a_mirror_image(scene):
    reflected = PreviewScene(street(SIZE).first, "cpu")
    reflected.mirror()
    assert mirrored(scene) < 0.6
    assert mirrored(reflected) > mirrored(scene) + 0.2


def test_equal_images_get_equal_surroundings(scene):
    again = PreviewScene(street(SIZE).first, "cpu")
    again.prepare(lambda: None)
    for first, second in zip(scene.placed, again.placed, strict=True):
        np.testing.assert_array_equal(first.surface.texture.numpy(), second.surface.texture.numpy())


class Stored:
    """A chunk on disk as `restore` reads it."""

    folder = Path("chunk")

    def __init__(self, chunk, cameras, without=()):
        self.state = {name: array for name, array in chunk.state.items() if name not in without}
        self.cameras = cameras

    def load_state(self):
        return self.state

    def load_trajectory(self):
        return self.cameras


@pytest.fixture(scope="module")
def walked():
    view = street(SIZE).first
    cameras = path([(0.1, 0, 0.1, 5, 0), (0.2, 0, 0.2, 10, 0)], view.intrinsics, SIZE)
    engine = PreviewEngine()
    state = engine.begin(view)
    return view, cameras, state, engine.extend(state, cameras, "", 0, SILENT)


def test_the_first_chunk_keeps_what_was_prepared(walked):
    view, cameras, state, chunk = walked
    assert chunk.state["prepared"] > 8
    restored = PreviewEngine().restore(view, [Stored(chunk, cameras)])
    assert [layer.surface.weight for layer in restored.placed] == [
        layer.surface.weight for layer in state.placed
    ]
    for first, second in zip(state.placed, restored.placed, strict=True):
        np.testing.assert_array_equal(first.surface.texture.numpy(), second.surface.texture.numpy())
    assert not restored.mirrored


def test_a_world_from_before_goes_on_with_its_reflections(walked):
    view, cameras, _, chunk = walked
    old = PreviewEngine().restore(view, [Stored(chunk, cameras, without=("prepared",))])
    assert old.mirrored and all(layer.surface.weight == 1 for layer in old.placed)
    assert PreviewEngine().extend(old, cameras, "", 0, SILENT).state["prepared"] == 0


@pytest.mark.parametrize("wrong", [np.array(-1), np.array(10**6), np.array([1]), np.array(1.0)])
def test_a_damaged_number_of_prepared_layers_is_refused(walked, wrong):
    state = walked[3].state | {"prepared": wrong}
    with pytest.raises(InvalidInputError, match="prepared is"):
        checked_state(state, Path("chunk/state.npz"), SIZE)


def test_a_thing_in_front_is_hidden_behind_as_wide_as_the_step_uncovers():
    disparity = np.full(SIZE, 0.1, np.float32)
    disparity[30:70, 60:100] = 0.5
    k = intrinsics_from_fov(np.radians(60), *SIZE)
    none = np.zeros(SIZE, bool)
    gap, thing = hidden(disparity, k, none, 0.1)
    assert thing[31:69, 61:99].all() and not thing[:28].any() and not thing[72:].any()
    # The far side's mixed colours belong to the fill, and are no thing.
    assert (gap.fill & ~thing)[29, 60:100].all()
    gap, thing = hidden(disparity, k, disparity > 0.2, 0.1)
    assert not gap.fill.any() and not thing.any()


def test_tiles_keep_the_example_s_mean_and_contrast():
    random = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(random.standard_normal((120, 120)), 2)
    colours = 120 + 30 * (noise / noise.std())[..., None] * np.ones(3)
    example = Example(colours.astype(np.float32), np.ones((120, 120), bool), (0.0, 0.0))
    texture = TiledTexture(example, (0, 120, -300, 300), (24, 24), 12, 200, 1)
    rows, columns = np.mgrid[0:120, 150:290].reshape(2, -1).astype(float)
    painted = texture.paint(rows, columns)
    assert painted.mean() == pytest.approx(120, abs=8)
    assert painted.std() == pytest.approx(30, rel=0.35)


@pytest.mark.parametrize(
    "image",
    ["one colour", "sky", "no ground", "tiny"],
)
def test_any_picture_has_surroundings(image):
    size = (64, 64) if image == "tiny" else SIZE
    k = intrinsics_from_fov(np.radians(60), *size)
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    picture = np.full_like(picture, 90) if image == "one colour" else picture
    depth = np.full(size, np.inf if image == "sky" else 3.0, np.float32)
    scene = PreviewScene(View.at_origin(picture, depth, k), "cpu")
    scene.prepare(lambda: None)
    w2c = np.eye(4)
    w2c[:3, :3] = about_y(np.radians(70)).T
    surfaces = scene.surfaces(w2c, k, *size)
    _, disparity, _ = Rasterizer(*size, scene.space.near).draw(surfaces, w2c, k).numpy()
    assert (disparity >= 0).all()
