"""What lies beside a chunk is checked before a world goes on from it."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.common.errors import InvalidInputError  # noqa: E402
from lyra.depth.fit import InverseFit  # noqa: E402
from lyra.engines.lyra2.state import ChunkRecord  # noqa: E402

PLACE, FRAMES, SIZE = Path("world/chunks/0002/state.npz"), range(81, 161), (32, 48)


@pytest.fixture
def record():
    rng = np.random.default_rng(0)
    ids = tuple(range(88, 161, 8))
    stills = {i: torch.randn(1, 16, 1, 4, 6, generator=torch.manual_seed(i)).bfloat16() for i in ids}
    depth = rng.random((10, 32, 48), np.float32)
    sampled = torch.from_numpy(rng.standard_normal((1, 16, 20, 4, 6), np.float32))
    return ChunkRecord(sampled, ids, depth, stills, InverseFit(1.25, 0.125))


def read(arrays):
    return ChunkRecord.of(arrays, torch.bfloat16, PLACE, FRAMES, SIZE)


def test_every_bit_survives(record):
    again = read(record.arrays())
    assert torch.equal(again.sampled, record.sampled)
    assert (again.remembered, again.depth_fit) == (record.remembered, record.depth_fit)
    np.testing.assert_array_equal(again.depth, record.depth)
    for frame in record.remembered:
        assert torch.equal(again.stills[frame], record.stills[frame])


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"sampled": None}, r"0002.state\.npz.*sampled is missing.*float32 \(16, 20, 4, 6\)"),
        ({"sampled": np.zeros((16, 20, 4, 8), np.float32)}, r"\(16, 20, 4, 8\)"),
        ({"depth": np.zeros((10, 32, 48), np.float64)}, "depth is float64"),
        ({"stills": np.zeros((9, 16, 4, 6), np.float32)}, r"stills is .*\(9, 16, 4, 6\)"),
        ({"depth_fit": np.zeros(3)}, "depth_fit"),
        ({"remembered": np.arange(8, 81, 8)}, "frames .*80.* of 81 to 160"),
        ({"remembered": np.arange(87, 160, 8)}, "of 81 to 160"),
        ({"remembered": np.int64(4)}, "remembered is int64"),
        ({"remembered": np.array([160] * 10)}, "of 81 to 160"),
    ],
)
def test_anything_else_is_refused_by_name(record, change, reason):
    arrays = {key: value for key, value in (record.arrays() | change).items() if value is not None}
    with pytest.raises(InvalidInputError, match=reason):
        read(arrays)
