"""Consistency of images, ground truth and flights."""

import numpy as np
import pytest
import warp as wp
from scipy.ndimage import map_coordinates

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.synthetic import KINDS, MOTIONS, flight, generate
from lyra.synthetic.__main__ import sheet
from lyra.synthetic.film_paint import brushed
from lyra.synthetic.generate import best_shots, build_scene
from lyra.synthetic.render import Stage, intrinsics_of
from lyra.synthetic.span_kernels import FAR

SIZE = (48, 80)


@pytest.fixture(scope="module")
def samples():
    return generate(7, 24, *SIZE)


def test_shapes_and_ranges(samples):
    assert samples.images.shape == (24, *SIZE, 3)
    assert samples.images.dtype == np.uint8
    assert samples.depth.shape == (24, *SIZE)
    assert samples.depth.dtype == np.float32
    assert (samples.depth > 0).all()
    assert not np.isnan(samples.depth).any()
    assert set(samples.kinds) <= set(KINDS)
    fov = np.degrees(2 * np.arctan(SIZE[1] / 2 / samples.intrinsics[:, 0, 0]))
    assert (fov > 20).all()
    assert (fov < 115).all()
    assert fov.std() > 5


def test_normals_face_the_camera_and_sky_has_none(samples):
    lengths = np.linalg.norm(samples.normals, axis=-1)
    np.testing.assert_allclose(lengths[~samples.sky], 1, atol=1e-3)
    assert (lengths[samples.sky] == 0).all()
    rays = _rays(samples.intrinsics)
    assert ((samples.normals * rays).sum(-1)[~samples.sky] < 1e-3).all()


def test_normals_are_those_of_the_depth():
    """On large smooth faces, the cross product of neighbouring points is the normal."""
    truth = generate(3, 8, *SIZE, kinds=["room", "street", "corridor"])
    points = _rays(truth.intrinsics) * np.where(truth.sky, 1, truth.depth)[..., None]
    across = points[:, :-1, 1:] - points[:, :-1, :-1]
    down = points[:, 1:, :-1] - points[:, :-1, :-1]
    from_depth = np.cross(down, across)
    from_depth /= np.maximum(np.linalg.norm(from_depth, axis=-1, keepdims=True), 1e-12)
    agree = np.abs((from_depth * truth.normals[:, :-1, :-1]).sum(-1))[~truth.sky[:, :-1, :-1]]
    assert (agree > 0.99).mean() > 0.75


def test_the_same_seed_gives_the_same_pictures_and_another_does_not(samples):
    again = generate(7, 24, *SIZE)
    np.testing.assert_array_equal(again.images, samples.images)
    np.testing.assert_array_equal(again.depth, samples.depth)
    assert (generate(8, 24, *SIZE).images != samples.images).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_something(kind):
    truth = generate(11, 4, 32, 48, kinds=[kind])
    assert set(truth.kinds) == {kind}
    seen = (~truth.sky).mean((1, 2))
    assert (seen > 0.05).all()
    assert (truth.images.std((1, 2)).max(1) > 2).all()
    # Nearly every image has depth variation, and no camera is right in front of a wall.
    spread = [np.log(d[np.isfinite(d)]).std() for d in truth.depth]
    assert np.median(spread) > 0.1
    assert (truth.depth < 0.1).mean() < 0.2


def test_culling_loses_nothing():
    """Per-tile lists give the same result as all solids."""
    rng = np.random.default_rng(5)
    stage = Stage(
        [
            build_scene(child, kind)
            for child, kind in zip(rng.spawn(3), ["street", "room", "square"], strict=True)
        ]
    )
    shots = best_shots(stage, SIZE[1] / SIZE[0])
    depth = stage.probe(shots, *SIZE)
    rays = _rays(intrinsics_of(shots, *SIZE))
    for index, shot in enumerate(shots):
        if stage.scenes[index].terrain:
            continue
        world = rays[index].reshape(-1, 3) @ shot.camera.rotation.T
        length = np.linalg.norm(world, axis=1)
        distance = stage.clearance(index, np.array([shot.camera.eye]), world / length[:, None])[0]
        expected = np.where(distance < FAR, distance / length, FAR).reshape(SIZE)
        close = np.isclose(depth[index], expected, rtol=1e-3)
        assert close.mean() > 0.998


@pytest.mark.parametrize("motion", MOTIONS)
def test_flights_agree_with_their_own_depth(motion):
    """Points of the first frame, carried by the trajectory into another, lie on that frame's depth or are occluded."""
    path = flight(2, "street", 5, 64, 96, motion)
    assert path.motion == motion
    assert path.images.shape == (5, 64, 96, 3)
    np.testing.assert_allclose(path.trajectory.w2c[0], np.eye(4), atol=1e-9)
    Trajectory.checked(path.trajectory.w2c, path.trajectory.intrinsics, 64, 96)
    moved = np.abs(path.trajectory.w2c[-1] - np.eye(4)).max()
    assert moved > 0.01
    for target in (1, 2, 4):
        nearness, share = _carried(path, 0, target)
        assert share > (0.02 if motion == "turn" else 0.15)
        # Nothing is visible through a known surface, except at foliage and edges.
        assert (nearness < 0.97).mean() < 0.08
    nearness, _ = _carried(path, 0, 1)
    assert (np.abs(nearness - 1) < 0.01).mean() > 0.6


def test_flights_keep_off_surfaces():
    for kind in ("room", "forest", "hall"):
        path = flight(4, kind, 5, 32, 48, "forward")
        nearest = path.depth.min((1, 2))
        assert (nearest > 0.02).all()


def test_a_sheet_shows_every_picture_over_its_depth(samples):
    shown = sheet(samples, 5)
    assert shown.shape == (5 * 2 * SIZE[0], 5 * SIZE[1], 3)
    np.testing.assert_array_equal(shown[: SIZE[0], : SIZE[1]], samples.images[0])
    assert (shown[SIZE[0] : 2 * SIZE[0], : SIZE[1]][samples.sky[0]] == 0).all()


def test_bad_requests_name_what_is_wrong():
    with pytest.raises(InvalidInputError, match="'moon'"):
        generate(0, 1, *SIZE, kinds=["moon"])
    with pytest.raises(InvalidInputError, match="'dance'"):
        flight(0, "room", 3, *SIZE, motion="dance")
    with pytest.raises(InvalidInputError, match="0 frames"):
        flight(0, "room", 0, *SIZE)
    with pytest.raises(InvalidInputError, match="0 pictures"):
        generate(0, 0, *SIZE)


def test_the_brush_keeps_flat_colours_and_edges_in_place():
    picture = np.zeros((20, 30, 3), np.float32)
    picture[:, 15:] = 1
    for radius in (1, 2, 3):
        assert (brushed(picture, radius) != picture).mean() < 0.05
    noisy = picture + np.random.default_rng(0).normal(0, 0.1, picture.shape).astype(np.float32)
    assert brushed(noisy, 3)[:, :10].std() < 0.6 * noisy[:, :10].std()


@pytest.mark.gpu
def test_the_gpu_gives_the_same_depth(samples):
    if not wp.is_cuda_available():
        pytest.skip("no CUDA device")
    on_gpu = generate(7, 24, *SIZE, device="cuda:0")
    same = np.isclose(on_gpu.depth, samples.depth, rtol=1e-2) | (samples.sky & on_gpu.sky)
    assert same.mean() > 0.98


def _rays(intrinsics):
    """Camera rays (N, H, W, 3) with z = 1 through the pixel centres."""
    height, width = SIZE
    x = (np.arange(width) + 0.5 - intrinsics[:, :1, 2]) / intrinsics[:, :1, 0]
    y = (np.arange(height) + 0.5 - intrinsics[:, 1:2, 2]) / intrinsics[:, 1:2, 1]
    return np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None], 1.0), -1)


def _carried(path, source, target):
    """Depth of the source's points over the target's depth where they project (above 1: occluded), and their number."""
    height, width = path.depth.shape[1:]
    k = path.trajectory.intrinsics[source]
    rows, columns = np.mgrid[:height, :width] + 0.5
    z = path.depth[source]
    solid = np.isfinite(z)
    points = np.stack([(columns - k[0, 2]) / k[0, 0] * z, (rows - k[1, 2]) / k[1, 1] * z, z], -1)[solid]
    move = path.trajectory.w2c[target] @ np.linalg.inv(path.trajectory.w2c[source])
    there = points @ move[:3, :3].T + move[:3, 3]
    there = there[there[:, 2] > 0.05]
    pixel = there @ path.trajectory.intrinsics[target].T
    at = pixel[:, :2] / pixel[:, 2:] - 0.5
    inside = ((at >= 0) & (at < (width - 1, height - 1))).all(1)
    # Inverse depth is linear over a plane's pixels.
    inverse = map_coordinates(1 / path.depth[target], at[inside, ::-1].T, order=1)
    return inverse * there[inside, 2], inside.sum() / solid.sum()
