"""The scenes and measures of `lyra eval place`."""

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth.gravity import up_of
from lyra.depth.level_grid import level_rotation
from lyra.depth.place import GROUND, UPRIGHT
from lyra.evaluation.place import (
    TrueScene,
    rendered_scenes,
    scaled,
    seen_after_step,
    true_labels,
    true_normals,
)

SIZE = (96, 160)
LENS = np.array([[140.0, 0, 80], [0, 140, 48], [0, 0, 1]])


def wall_on_ground(pitch: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, z-depth and labels of a wall 6 m ahead on ground 1.6 m below the camera."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    rays = np.stack([(x - 80) / 140, (y - 48) / 140, np.ones(SIZE)], -1) @ level_rotation(up_of(pitch, 0)).T
    ground = np.where(rays[..., 1] > 0, 1.6 / np.maximum(rays[..., 1], 1e-9), np.inf)
    wall = 6 / rays[..., 2]
    image = np.random.default_rng(3).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    return image, np.minimum(ground, wall), np.where(ground < wall, GROUND, UPRIGHT)


def save(path, pitch: float = -6, **others) -> np.ndarray:
    image, depth, labels = wall_on_ground(pitch)
    arrays = {
        "image": image,
        "depth": depth.astype(np.float32),
        "up": up_of(pitch, 0),
        "intrinsics": LENS,
        "held_out": np.array(True),
    }
    np.savez(path, **(arrays | others))
    return labels


def test_a_rendered_scene_is_read_with_its_true_labels(tmp_path):
    labels = save(tmp_path / "wall.npz")
    (scene,) = rendered_scenes(tmp_path)
    assert scene.name == "wall" and scene.held_out is True
    # Differences of depth straddle the wall's foot by a pixel.
    assert (true_labels(scene) == labels).mean() > 0.97


@pytest.mark.parametrize("others", [{"up": np.zeros(2)}, {"held_out": np.array([1.0, 2.0])}])
def test_a_rendered_scene_of_another_kind_is_refused(tmp_path, others):
    save(tmp_path / "wall.npz", **others)
    with pytest.raises(InvalidInputError, match="render it again"):
        list(rendered_scenes(tmp_path))


def test_a_folder_without_scenes_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no"):
        list(rendered_scenes(tmp_path))


def test_a_step_aside_sees_wrong_depth_and_not_its_scale():
    image, depth, _ = wall_on_ground(-6)
    scene = TrueScene("wall", image, depth, true_normals(depth, LENS), up_of(-6, 0), LENS, True)
    exact = seen_after_step(scene, scaled(3 * depth, depth))
    leaning = seen_after_step(scene, scaled(depth * np.linspace(1.5, 0.7, len(depth))[:, None], depth))
    assert exact > 60 and leaning < exact - 20
