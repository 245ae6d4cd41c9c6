"""The figures of `lyra eval preview`."""

from dataclasses import replace

import numpy as np
import pytest

from lyra.evaluation.preview import evaluate, evaluate_scene, psnr, seen_by_source, table
from lyra.evaluation.scenes import PaintedScene, all_scenes, hall, street

SIZE = (96, 160)


@pytest.fixture(scope="module")
def scene() -> PaintedScene:
    return replace(street(SIZE), frames=(40, 80))


def test_psnr():
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    assert psnr(black, black) == pytest.approx(99)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(5))
    half = np.arange(4)[:, None].repeat(4, 1) < 2
    mixed = np.where(half[..., None], black, grey)
    assert psnr(black, mixed, half) == pytest.approx(99)


def test_truth_is_exact_in_depth(scene):
    """The street's ground is the plane y = 1.6."""
    depth = scene.seed.depth
    y = (SIZE[0] - 0.5 - scene.intrinsics[1, 2]) / scene.intrinsics[1, 1]
    # The bottom row is ground except where houses stand.
    assert np.median(depth[-1]) == pytest.approx(1.6 / y, rel=1e-4)
    assert np.isinf(depth).any() and not np.isnan(depth).any() and (depth > 0).all()


def test_the_source_saw_itself_and_not_what_it_hid(scene):
    seed = scene.seed
    assert seen_by_source(seed, seed.depth, np.eye(4), seed.intrinsics).all()
    _, depth = scene.truth(80)
    share = seen_by_source(seed, depth, scene.trajectory.w2c[80], seed.intrinsics).mean()
    assert 0.6 < share < 0.97


def test_every_path_is_a_walk_of_ten_to_twenty_percent_of_the_mean_depth():
    for scene in (hall(SIZE), street(SIZE)):
        depth = scene.seed.depth
        share = np.linalg.norm(scene.trajectory.centers[-1]) / depth[np.isfinite(depth)].mean()
        assert 0.095 < share < 0.2
        assert len(scene.trajectory) == 81


def test_figures_of_a_small_street(scene):
    row = evaluate_scene(scene)
    assert row.psnr_seen > 28  # 30 at full size
    assert row.psnr_whole > 24  # 22 is asked for
    assert row.unfilled == 0
    assert row.psnr_loop > 38  # 35 is asked for
    assert row.psnr_revisit > 38
    text = table([row])
    assert "street" in text and f"{row.psnr_seen:.2f}" in text


def test_evaluate_takes_any_scenes():
    assert evaluate([]) == []
    assert {scene.name for scene in all_scenes()} >= {"hall", "street"}
