"""Correspondences and rays of the published conditioning, against its second chunk and by their meaning."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lyra.engines.lyra2.correspondence import (
    canonical_coordinates,
    history_correspondences,
    warped_correspondences,
)
from lyra.geometry.rays import camera_rays, space_to_depth
from lyra.memory import GeometryCache, GreedyCoverage, MemorySettings
from tests.geometry import scenes
from tests.parity import golden_recipe

GOLDENS = Path(__file__).parents[2] / "goldens"
# The golden is stored as float16.
TOLERANCE = 2e-3
FIRST_TARGET, GENERATED = 81, 25


@pytest.fixture(scope="module")
def chunk():
    """The golden and the cameras of the second chunk: frames 81 to 160."""
    meta = json.loads((GOLDENS / "meta.json").read_text())
    height, width = meta["conditioning"]["height"], meta["conditioning"]["width"]
    w2c, k, *_ = golden_recipe.conditioning_inputs(meta["seed"], height, width)
    with np.load(GOLDENS / "cond_ar1.npz") as golden:
        return (
            meta["seed"],
            height,
            width,
            w2c,
            k,
            {key: golden[key][0] for key in golden if golden[key].ndim},
        )


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_warped_correspondences_of_a_published_chunk(chunk, kind):
    seed, height, width, w2c, k, golden = chunk
    cache = GeometryCache(height, width, MemorySettings.published())
    for frame in range(0, FIRST_TARGET, 8):
        depth = golden_recipe.depth_map(seed, f"cond.depth{frame}", height, width)
        cache.add(frame, kind(depth), w2c[frame], k[frame])
    targets = w2c[FIRST_TARGET : FIRST_TARGET + 80], k[FIRST_TARGET : FIRST_TARGET + 80]
    frame_ids = cache.retrieve(targets[0][-1:], targets[1][-1:], 5, GreedyCoverage())
    assert len(frame_ids) == 5 and 80 not in frame_ids
    buffer = np.asarray(warped_correspondences(cache, frame_ids, *targets))
    expected = golden["buffer_sub"][:, GENERATED:].astype(np.float32)
    np.testing.assert_allclose(buffer[:, ::37].transpose(1, 0, 2, 3), expected, atol=TOLERANCE)
    np.testing.assert_allclose(buffer.mean((2, 3)).T, golden["buffer_mean"][:, GENERATED:], atol=TOLERANCE)


def test_history_correspondences_as_published(chunk):
    _, height, width, _, _, golden = chunk
    buffer = history_correspondences(height, width)
    expected = golden["buffer_sub"][:, 1:6].astype(np.float32)
    np.testing.assert_allclose(buffer[:, ::37].transpose(1, 0, 2, 3), expected, atol=TOLERANCE)


def test_rays_of_the_new_latents_as_published(chunk):
    _, height, width, w2c, k, golden = chunk
    frames = FIRST_TARGET + np.arange(3, 80, 4)
    c2w = w2c[FIRST_TARGET - 1].astype(np.float64) @ np.linalg.inv(w2c[frames].astype(np.float64))
    channels = space_to_depth(camera_rays(c2w, k[frames], height, width))
    expected = golden["plucker_c0"][:, GENERATED:].astype(np.float32)
    np.testing.assert_allclose(channels[:, ::64].transpose(1, 0, 2, 3), expected, atol=TOLERANCE)
    np.testing.assert_allclose(channels.mean((2, 3)).T, golden["plucker_mean"][:, GENERATED:], atol=TOLERANCE)


def test_canonical_coordinates_span_the_cube():
    coordinates = canonical_coordinates(9, 17)
    assert coordinates.shape == (5, 9, 17, 3)
    np.testing.assert_array_equal(coordinates[:, 0, 0], [[-1, -1, z] for z in (-1, -0.5, 0, 0.5, 1)])
    np.testing.assert_array_equal(coordinates[2, 8, 16], [1, 1, 0])
    np.testing.assert_array_equal(coordinates[2, 4, 8], [0, 0, 0])


def test_a_camera_that_stands_still_sees_the_best_slot():
    height, width = 16, 24
    cache = GeometryCache(height, width)
    k = scenes.intrinsics(1, height, width)
    cache.add(0, np.full((height, width), 2.0, np.float32), np.eye(4), k[0])
    buffer = warped_correspondences(cache, [0], np.tile(np.eye(4), (4, 1, 1)), np.tile(k, (4, 1, 1)))
    assert buffer.shape == (1, 1280, 2, 3)
    own = space_to_depth(canonical_coordinates(height, width)[4:])
    np.testing.assert_allclose(buffer[:, :192], own, atol=1e-4)
    for component, empty in enumerate((-1, -1, -1, 1)):
        blocks = buffer.reshape(5, 4, 64, 2, 3)[1:, component]
        np.testing.assert_array_equal(blocks, empty)


def test_without_frames_all_blocks_are_empty():
    cache = GeometryCache(16, 24)
    buffer = warped_correspondences(cache, [], np.tile(np.eye(4), (8, 1, 1)), scenes.intrinsics(8, 16, 24))
    assert buffer.shape == (2, 1280, 2, 3)
    components = buffer.reshape(2, 5, 4, 64, 2, 3)
    assert (components[:, :, :3] == -1).all() and (components[:, :, 3] == 1).all()
