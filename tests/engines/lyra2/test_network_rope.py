import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from lyra.engines.lyra2 import rope
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout

LAYOUT = FramePackLayout.parse(PUBLISHED_LAYOUT)


def group_angles(index: int, rows: int, columns: int, head_dim: int) -> torch.Tensor:
    counts = LAYOUT.token_counts(rows, columns)
    return rope.rotary_angles(LAYOUT, rows, columns, head_dim).split(counts)[index]


def test_split_of_the_published_head():
    assert [len(frequencies) for frequencies in rope.axis_frequencies(128)] == [22, 21, 21]


def test_positions_of_compressed_tokens():
    """First frequencies are 1, so the first angle of each axis is the position."""
    positions = group_angles(3, 30, 52, 128)[:, [0, 22, 43]]
    assert_close(positions[0], torch.tensor([7.5, 1.5, 1.5]))
    assert sorted(set(positions[:, 0].tolist())) == [7.5, 11.5, 15.5, 19.5]
    # Thirty rows in fours: the last token covers rows 28, 29 and 29 twice again.
    assert positions[:, 1].max() == 28.75
    assert group_angles(5, 30, 52, 128)[0, 0] == 24
    assert group_angles(-1, 30, 52, 128)[[0, -1], 0].tolist() == [25, 44]


@pytest.mark.parametrize("rows, columns", [(4, 6), (3, 5), (7, 9)])
def test_equals_the_average_of_covered_angles(rows, columns):
    """The published form: angles of the base grid, pooled like the tokens."""
    frequencies = [f.float() for f in rope.axis_frequencies(24)]
    for index, group in enumerate(LAYOUT.groups):
        axes = torch.arange(group.start, group.start + group.count), torch.arange(rows), torch.arange(columns)
        grid = torch.stack(torch.meshgrid(*(axis.float() for axis in axes), indexing="ij"), dim=-1)
        base = torch.cat([grid[..., i, None] * frequencies[i] for i in range(3)], dim=-1).movedim(-1, 0)[None]
        pad = (0, -columns % group.size, 0, -rows % group.size, 0, 0)
        pooled = functional.avg_pool3d(functional.pad(base, pad, mode="replicate"), group.pooling)
        assert_close(group_angles(index, rows, columns, 24), pooled[0].flatten(1).T, atol=1e-5, rtol=1e-5)


def test_rotation_keeps_lengths_and_sees_only_differences():
    x, y = torch.randn(2, 1, 5, 3, 8)
    angles = torch.randn(5, 4)
    turned = rope.rotate(x, *rope.rotary_tables(angles))
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    shifted = rope.rotary_tables(angles + 0.7)
    assert_close(
        (turned * rope.rotate(y, *rope.rotary_tables(angles))).sum(-1),
        (rope.rotate(x, *shifted) * rope.rotate(y, *shifted)).sum(-1),
    )
    assert rope.rotate(x.bfloat16(), *shifted).dtype == torch.bfloat16
