import numpy as np
import pytest
import torch

from lyra.geometry.reliability import reliable_depth_mask
from tests.geometry import scenes, twins


@pytest.mark.parametrize("threshold", [0.05, 0.15])
@pytest.mark.parametrize(("height", "width"), [(3, 4), (21, 34), (48, 80)])
def test_agrees_with_its_twin(height, width, threshold):
    depth, _, _ = scenes.views(3, height, width)
    depth[0, :2, :2] = 0
    depth[1, 1:] = np.nan
    depth[2, -1] = np.inf
    mask = reliable_depth_mask(depth, threshold)
    np.testing.assert_array_equal(mask, twins.reliable_depth_mask(torch.from_numpy(depth), threshold))
    assert mask.dtype == np.bool_


def test_flat_depth_is_reliable_up_to_the_border():
    assert reliable_depth_mask(np.full((1, 12, 17), 4.0, np.float32)).all()


def test_a_jump_spoils_two_pixels_on_each_side():
    depth = np.full((1, 12, 20), 4.0, np.float32)
    depth[:, :, 10:] = 5
    columns = np.flatnonzero(~reliable_depth_mask(depth)[0, 6])
    np.testing.assert_array_equal(columns, [8, 9, 10, 11])


def test_a_slope_fails_first_where_the_mean_counts_the_outside_as_zero():
    depth = np.tile(np.linspace(4, 4.9, 24, dtype=np.float32), (1, 24, 1))
    mask = reliable_depth_mask(depth)[0]
    assert mask[2:-2, 2:-2].all()
    assert not mask[0, :4].any()


def test_torch_gives_a_boolean_tensor():
    depth, _, _ = scenes.views(1, 12, 12)
    mask = reliable_depth_mask(torch.from_numpy(depth))
    assert mask.dtype == torch.bool
    np.testing.assert_array_equal(mask, reliable_depth_mask(depth))
