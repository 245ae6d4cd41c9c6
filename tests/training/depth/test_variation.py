"""Colour and detail augmentation of training images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lyra.training.depth import variation as depth_variation  # noqa: E402
from lyra.training.depth.variation import recoloured  # noqa: E402


def noise(count=8) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 12, 16, 3), np.uint8))


def test_recolouring_varies_colours_within_their_range():
    images = noise()
    varied = recoloured(images, np.random.default_rng(1)).numpy()
    assert varied.dtype == np.float32 and varied.min() >= 0 and varied.max() <= 255
    assert np.abs(varied - images.numpy()).mean((1, 2, 3)).min() > 2
    light, rank = images.numpy().mean(-1).reshape(8, -1), varied.mean(-1).reshape(8, -1)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(light, rank, strict=True)]
    assert min(correlation) > 0.7


def test_some_pictures_wear_the_detail_of_another_and_none_is_changed_in_place(monkeypatch):
    # One picture of noise among even ones: what those wear can only be its detail.
    images = torch.full((16, 12, 16, 3), 128, dtype=torch.uint8)
    images[0] = noise(1)[0]
    before = images.clone()
    rng = np.random.default_rng(0)
    seen = torch.stack([recoloured(images, rng).mean(-1).std((1, 2))[1:] for _ in range(40)])
    assert torch.equal(images, before)
    worn = (seen > 10).float().mean().item()
    # A third of the pictures wear another's detail, and a fifteenth of the others is the noise.
    assert 0.005 < worn < 0.06
    monkeypatch.setattr(depth_variation, "FOREIGN_DETAIL", 0.0)
    assert all((recoloured(images, rng).mean(-1).std((1, 2))[1:] < 10).all() for _ in range(40))
