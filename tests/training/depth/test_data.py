"""Shards and the pool that a training run draws from."""

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.training.depth.data import Pool, Shard, load_pictures


def shard(value: int, size=(16, 32), count=4) -> Shard:
    """Pictures whose columns rise in brightness and depth alike."""
    columns = np.broadcast_to(np.arange(size[1]), (count, *size))
    images = np.repeat((columns + value)[..., None], 3, -1).astype(np.uint8)
    up = np.tile(np.float32([0.6, -0.8, 0]), (count, 1))
    return Shard(images, (columns + 1).astype(np.float16), np.full(count, 0.5 + value, np.float32), up)


def test_shards_come_back_as_they_were_and_leave_no_temporary_file(tmp_path):
    first = shard(3)
    first.depth[0, 0] = np.inf
    first.save(tmp_path / "a.npz")
    again = Shard.load(tmp_path / "a.npz")
    for name in ("images", "depth", "focal", "up"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_the_pool_keeps_the_newest_shards(tmp_path):
    pool = Pool(tmp_path, keep=2)
    assert pool.refresh() == 0
    for index in range(3):
        shard(10 * index).save(tmp_path / f"{index}.npz")
        pool.refresh()
    drawn = pool.draw(np.random.default_rng(0), 64 * 16 * 32)
    assert set(np.round(drawn.focal - 0.5)) == {10, 20}


def test_a_batch_has_one_size_and_as_many_pixels_as_asked(tmp_path):
    for index, size in enumerate([(16, 32), (32, 32)]):
        shard(0, size).save(tmp_path / f"{index}.npz")
    pool = Pool(tmp_path, keep=8)
    pool.refresh()
    rng = np.random.default_rng(0)
    counts = {
        batch.images.shape[1:3]: len(batch.focal) for batch in (pool.draw(rng, 6 * 1024) for _ in range(20))
    }
    assert counts == {(16, 32): 12, (32, 32): 6}


def test_rendered_pictures_are_cut_to_strides_and_mixed_in(tmp_path):
    depth = np.broadcast_to(np.arange(70, dtype=np.float32) + 1, (36, 70))
    lens = np.array([[64.0, 0, 35], [0, 64, 18], [0, 0, 1]])
    (tmp_path / "rendered").mkdir()
    with pytest.raises(InvalidInputError, match=r"holds no \.npz"):
        load_pictures(tmp_path / "rendered")
    for index in range(3):
        up = np.float32([0, -1, 0])
        image = np.full((36, 70, 3), 200 + index, np.uint8)
        np.savez(tmp_path / "rendered" / f"{index}.npz", image=image, depth=depth, intrinsics=lens, up=up)
    (extra,) = load_pictures(tmp_path / "rendered")
    assert extra.images.shape == (3, 32, 64, 3) and extra.focal.tolist() == [1, 1, 1]
    assert extra.depth[0, 0, 0] == 4  # the middle is kept
    shard(0).save(tmp_path / "a.npz")
    pool = Pool(tmp_path, 1, [extra])
    pool.refresh()
    rng = np.random.default_rng(0)
    sizes = [pool.draw(rng, 4 * 16 * 32).images.shape[1] for _ in range(200)]
    assert set(sizes) == {16, 32} and 10 < sizes.count(32) < 60


def test_turning_keeps_picture_and_depth_together(tmp_path):
    shard(0).save(tmp_path / "a.npz")
    pool = Pool(tmp_path, keep=1)
    pool.refresh()
    batch = pool.draw(np.random.default_rng(0), 32 * 16 * 32)
    turned = batch.images[:, 0, 0, 0] > batch.images[:, 0, -1, 0]
    assert 4 < turned.sum() < 28
    np.testing.assert_array_equal(batch.images[..., 0] + 1, batch.depth)
