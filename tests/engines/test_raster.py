"""Rasterization of surfaces into views."""

import numpy as np
import pytest

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.raster import NEAR_SIDE, Edges, Rasterizer, Surface
from lyra.geometry.raster_cameras import inverse3, inverse_camera

HEIGHT, WIDTH = 60, 96
K = intrinsics_from_fov(np.radians(60), HEIGHT, WIDTH)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def shifted(x: float) -> np.ndarray:
    w2c = np.eye(4)
    w2c[0, 3] = -x
    return w2c


def stepped_depth() -> np.ndarray:
    depth = np.full((HEIGHT, WIDTH), 10.0, np.float32)
    depth[:10] = np.inf
    depth[20:50, 40:60] = 4
    return depth


def draw(image, depth, w2c, intrinsics=K, **options):
    rasterizer = Rasterizer(HEIGHT, WIDTH, 0.05)
    surface = Surface(image, 1 / depth, np.eye(4), K)
    return rasterizer.draw([surface], w2c, intrinsics, **options).numpy()


def test_own_camera_gives_the_picture_back(image):
    drawn, disparity, _ = draw(image, stepped_depth(), np.eye(4), soften=True)
    assert np.abs(drawn - image).max() < 1e-3
    np.testing.assert_allclose(disparity, 1 / stepped_depth(), atol=1e-3)


def test_a_plane_moves_by_its_parallax_and_keeps_every_pixel(image):
    depth = np.full((HEIGHT, WIDTH), 10.0, np.float32)
    # Three pixels of parallax at depth 10.
    drawn, disparity, _ = draw(image, depth, shifted(3 * 10 / K[0, 0]))
    assert (disparity[:, :-3] > 0).all()
    assert (disparity[:, -2:] < 0).all()
    assert np.abs(drawn[:, : WIDTH - 3] - image[:, 3:]).max() < 0.5


def test_a_slanted_plane_never_tears(image):
    """The ground up to its horizon: depth doubles between the last rows, and still it is one surface."""
    rows = np.arange(HEIGHT) + 0.5
    depth = np.where(rows > 20, 30 / np.maximum(rows - 20, 0.5), np.inf)[:, None] * np.ones((1, WIDTH))
    _, disparity, _ = draw(image, depth.astype(np.float32), shifted(0.05))
    assert (disparity[:, 10:-10] >= 0).all()


def test_a_hole_opens_beside_a_near_thing_and_its_silhouette_is_marked(image):
    drawn, disparity, side = draw(image, stepped_depth(), shifted(1.0))
    assert (disparity[30:40] < 0).any()
    assert (disparity[:8, 4:-4] == 0).all()
    assert (side == NEAR_SIDE).any()
    assert np.isfinite(drawn).all()


def test_far_band_goes_when_the_edge_opens(image):
    surface = [
        Surface(image, 1 / stepped_depth(), np.eye(4), K, edges=Edges(far_band=band)) for band in (0, 2)
    ]
    rasterizer = Rasterizer(HEIGHT, WIDTH, 0.05)
    without, with_band = (rasterizer.holes([one], shifted(1.0), K) for one in surface)
    assert with_band > without


def test_the_earlier_surface_wins_a_tie(image):
    depth = np.full((HEIGHT, WIDTH), 5.0, np.float32)
    surfaces = [Surface(picture, 1 / depth, np.eye(4), K) for picture in (image, 255 - image)]
    drawn, _, _ = Rasterizer(HEIGHT, WIDTH, 0.05).draw(surfaces, np.eye(4), K).numpy()
    assert np.abs(drawn - image).max() < 1e-3


def test_a_shrinking_picture_is_averaged(image):
    """From four times as far a pixel shows the mean of about sixteen: noise loses most of its spread."""
    w2c = np.eye(4)
    w2c[2, 3] = 30
    drawn, disparity, _ = draw(image, np.full((HEIGHT, WIDTH), 10.0, np.float32), w2c)
    assert drawn[disparity > 0].std() < 0.4 * image.std()


def test_what_is_behind_the_camera_is_not_drawn(image):
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    assert (
        Rasterizer(HEIGHT, WIDTH, 0.05).holes([Surface(image, 1 / stepped_depth(), np.eye(4), K)], behind, K)
        == HEIGHT * WIDTH
    )


def test_close_rest_leaves_no_hole(image):
    rasterizer = Rasterizer(HEIGHT, WIDTH, 0.05)
    surface = Surface(image, 1 / stepped_depth(), np.eye(4), K)
    picture = rasterizer.close_rest(rasterizer.draw([surface], shifted(1.0), K))
    drawn, disparity, _ = picture.numpy()
    assert (disparity >= 0).all()
    assert drawn.min() >= 0 and drawn.max() <= 255


def test_a_view_may_hold_more_quads_than_float_integers(image):
    """In a long world many layers lie behind each other; the last of them still knows its own colours."""
    far = Surface(image, np.full((HEIGHT, WIDTH), 0.1, np.float32), np.eye(4), K)
    front = np.zeros((HEIGHT, WIDTH), bool)
    front[10:20, 30:50] = True
    near = Surface(255 - image, np.full((HEIGHT, WIDTH), 0.5, np.float32), np.eye(4), K, front)
    surfaces = [far] * ((1 << 24) // len(far) + 1) + [near]
    drawn, disparity, _ = Rasterizer(HEIGHT, WIDTH, 0.05).draw(surfaces, np.eye(4), K).numpy()
    np.testing.assert_allclose(drawn, np.where(front[..., None], 255.0 - image, image), atol=1e-3)
    np.testing.assert_allclose(disparity, np.where(front, 0.5, 0.1), rtol=1e-5)


def test_cracks_that_are_closed_are_no_holes(image):
    drawn = np.ones((HEIGHT, WIDTH), bool)
    drawn[20:22] = False
    drawn[40:50, 30:50] = False
    rasterizer = Rasterizer(HEIGHT, WIDTH, 0.05)
    surface = Surface(image, np.full((HEIGHT, WIDTH), 0.1, np.float32), np.eye(4), K, drawn)
    left = rasterizer.holes([surface], np.eye(4), K)
    _, disparity, _ = rasterizer.draw([surface], np.eye(4), K).numpy()
    assert left == (disparity < 0).sum()
    assert 150 < left <= 200


def test_inverses():
    random = np.random.default_rng(2)
    for matrix in random.normal(size=(20, 3, 3)):
        np.testing.assert_allclose(inverse3(matrix) @ matrix, np.eye(3), atol=1e-9)
    camera = np.eye(4)
    camera[:3] = random.normal(size=(3, 4))
    np.testing.assert_allclose(inverse_camera(camera) @ camera, np.eye(4), atol=1e-9)
