import math

import pytest
import torch
from torch.testing import assert_close

from lyra.engines.lyra2 import tokens
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout

LAYOUT = FramePackLayout.parse(PUBLISHED_LAYOUT)
SIZES = [(8, 12), (6, 10), (14, 2)]


def test_order_within_a_patch_is_channel_time_row_column():
    x = torch.arange(2 * 2 * 4 * 4).view(1, 2, 2, 4, 4)
    patches = tokens.patchify(x, (2, 2, 2))
    assert patches.shape == (1, 4, 16)
    assert_close(patches[0, 1], x[0, :, :, :2, 2:].flatten())


def test_unpatchify_reads_channel_last():
    x = torch.randn(2, 16, 3, 4, 6)
    patches = tokens.patchify(x, (1, 2, 2)).unflatten(-1, (16, 4)).transpose(-1, -2).flatten(-2)
    assert_close(tokens.unpatchify(patches, (3, 2, 3)), x)


def test_padding_repeats_the_last():
    x = torch.randn(1, 1, 3, 5, 2)
    padded = tokens.pad_to_multiple(x, (2, 4, 2))
    assert padded.shape == (1, 1, 4, 8, 2)
    assert_close(padded[:, :, :3, :5], x)
    assert_close(padded[:, :, 3, 7], x[:, :, 2, 4])


@pytest.mark.parametrize("height, width", SIZES)
def test_every_kind_of_token_has_the_same_count(height, width):
    counts = LAYOUT.token_counts(height // 2, width // 2)
    x = torch.randn(1, 3, 45, height, width)
    assert tokens.camera_tokens(x, LAYOUT).shape == (1, sum(counts), 12)
    for group, count in zip((*LAYOUT.groups, LAYOUT.generated_group), counts, strict=True):
        assert tokens.patchify(x[:, :, group.slots], tokens.group_patch(group)).shape[1] == count
        if group.kind == "s":
            assert tokens.correspondence_tokens(x, group).shape == (1, count, 12)


@pytest.mark.parametrize("height, width", SIZES)
def test_constant_input_gives_constant_tokens(height, width):
    x = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(-1, -1, 45, height, width)
    cameras = tokens.camera_tokens(x, LAYOUT)
    assert_close(cameras, torch.arange(3.0).repeat_interleave(4).expand_as(cameras))


def test_pooling_is_a_mean_in_float32():
    x = torch.randn(1, 2, 1, 4, 4).bfloat16()
    assert_close(tokens.pool(x, (1, 2, 2))[0, 0, 0, 0, 0], x[0, 0, 0, :2, :2].float().mean().bfloat16())


def test_waves():
    x = torch.tensor([[0.25, -1.0]])
    angles = math.pi * x
    expected = torch.cat([angles.sin(), angles.cos(), (2 * angles).sin(), (2 * angles).cos()], dim=-1)
    assert_close(tokens.waves(x, 2), expected)
    assert tokens.waves(x.bfloat16(), 2).dtype == torch.bfloat16
