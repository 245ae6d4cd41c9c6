import numpy as np
import pytest

from lyra.depth.overlap import BlockDepth, find_overlap, known_points

from .views import INTRINSICS, SIZE, camera, true_depth


def overlap_of(first, second, offset=0.5, **changes):
    """Pairs of two cameras' true depth, the second seen `changes['scale']` times as large."""
    one, two = true_depth(first), true_depth(second) * changes.get("scale", 1)
    memory = [known_points(BlockDepth.of(one), first, INTRINSICS, offset)]
    return find_overlap(memory, BlockDepth.of(two), second, INTRINSICS, offset)


@pytest.mark.parametrize(
    "moved", [camera(), camera(yaw=15), camera(0.3, -0.1, 1.0, 5), camera(-0.5, 0.2, 0.0, 0, 8)]
)
def test_true_depths_agree_from_everywhere(moved):
    overlap = overlap_of(camera(), moved)
    residual = np.log(overlap.known / overlap.seen)
    assert np.median(np.abs(residual)) < 2e-3 and abs(np.median(residual)) < 1e-3
    assert np.mean(np.abs(residual) < 0.02) > 0.9
    assert overlap.cells_where(residual < 1) > 0.4 * overlap.cells


def test_scale_shows_in_every_pair():
    overlap = overlap_of(camera(), camera(0.2, 0, 0.5), scale=1.25)
    assert np.median(overlap.known / overlap.seen) == pytest.approx(1.25, rel=2e-3)


def test_blocks_at_depth_edges_are_not_trusted():
    depth = true_depth(camera())
    blocks = BlockDepth.of(depth)
    rows = np.flatnonzero(blocks.weight.any(1))
    step = np.abs(np.diff(np.log(np.where(blocks.inverse > 0, blocks.inverse, 1)), axis=1)) > 0.3
    assert step.any()
    assert not (blocks.weight[:, :-1][step].any() or blocks.weight[:, 1:][step].any())
    assert len(rows) > 0.8 * blocks.weight.shape[0]
    assert blocks.noise < 1e-3


def test_noise_is_measured_and_does_not_shut_out_surfaces():
    rng = np.random.default_rng(0)
    depth = np.full((240, 416), 5.0)
    blocks = BlockDepth.of(depth * (1 + 0.05 * rng.standard_normal(depth.shape)))
    # A median over 2 x 2 pixels is their middle pair's mean.
    assert 0.02 < blocks.noise < 0.035
    assert blocks.weight.mean() > 0.9


def test_sky_and_unknown_blocks_are_empty():
    depth = np.full(SIZE, 4.0)
    depth[:20] = np.inf
    depth[20:22] = np.nan
    depth[60:] = 1e4
    blocks = BlockDepth.of(depth, np.full(SIZE, 0.5))
    assert not blocks.inverse[:11].any() and not blocks.inverse[30:].any()
    assert blocks.weight.max() == 0.5


def test_what_is_hidden_gives_no_pairs():
    """The pillar hides the wall behind it from the second camera, where the first one saw the wall."""
    overlap = overlap_of(camera(-2.0), camera(1.0, 0, 2.0))
    assert np.mean(np.abs(np.log(overlap.known / overlap.seen)) < 0.05) > 0.85


def test_no_memory_no_pairs():
    blocks = BlockDepth.of(true_depth(camera()))
    assert len(find_overlap([], blocks, camera(), INTRINSICS, 0.5).known) == 0
    behind = [known_points(blocks, camera(yaw=180), INTRINSICS, 0.5)]
    assert len(find_overlap(behind, blocks, camera(), INTRINSICS, 0.5).known) == 0
