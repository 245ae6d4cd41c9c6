"""The example scene keeps its promises: size, path, and truth that agrees with the picture where both see a point."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from lyra.geometry.cameras import Trajectory

TRUTH = (20, 40, 60, 80)


@pytest.fixture(scope="module")
def example(request):
    return request.config.rootpath / "examples" / "courtyard"


@pytest.fixture(scope="module")
def path(example):
    return Trajectory.load(example / "trajectory.npz")


def depth_of(file) -> np.ndarray:
    with np.load(file) as data:
        return data["depth"].astype(np.float32)


def picture_of(file) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB")).astype(np.float64)


def test_path_moves_by_ten_to_twenty_percent_of_the_mean_depth(example, path):
    assert len(path) == 81 and (path.height, path.width) == (480, 832)
    assert np.array_equal(path.w2c[0], np.eye(4))
    depth = depth_of(example / "depth.npz")
    moved = np.linalg.norm(path.centers[-1]) / depth[np.isfinite(depth)].mean()
    assert 0.10 <= moved <= 0.20
    steps = np.linalg.norm(np.diff(path.centers, axis=0), axis=1)
    assert steps.max() < 4 * steps.mean()


def test_lens_of_depth_and_path_is_the_same(example, path):
    with np.load(example / "depth.npz") as data:
        assert np.array_equal(data["intrinsics"], path.intrinsics[0])


def test_example_is_small(example):
    assert sum(file.stat().st_size for file in example.rglob("*") if file.is_file()) < 6e6


@pytest.mark.parametrize("frame", TRUTH)
def test_truth_agrees_with_the_picture(example, path, frame):
    """Points seen from a later camera have the same colour in frame 0: at least 30 dB, pixel centres at 0.5."""
    picture, first_depth = picture_of(example / "image.png"), depth_of(example / "depth.npz")
    truth = picture_of(example / "truth" / f"frame_{frame:04d}.png")
    depth = depth_of(example / "truth" / f"depth_{frame:04d}.npz")
    height, width = depth.shape
    lens, far = path.intrinsics[0], 1e7
    v, u = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(lens).T
    points = rays * np.where(np.isfinite(depth), depth, far)[..., None]
    points = points @ path.c2w[frame, :3, :3].T + path.centers[frame]
    image_points = points @ lens.T
    u0, v0 = image_points[..., 0] / points[..., 2], image_points[..., 1] / points[..., 2]
    known = map_coordinates(
        np.where(np.isfinite(first_depth), first_depth, far), [v0 - 0.5, u0 - 0.5], order=0
    )
    inside = (u0 > 1) & (u0 < width - 1) & (v0 > 1) & (v0 < height - 1)
    seen = inside & (np.abs(known / points[..., 2] - 1) < 0.02)
    assert seen.mean() > 0.6
    warped = np.stack([map_coordinates(picture[..., c], [v0 - 0.5, u0 - 0.5], order=3) for c in range(3)], -1)
    error = ((warped - truth)[seen] ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 30
