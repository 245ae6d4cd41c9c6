"""The losses of the depth network: what they ask for and what they leave open."""

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from lyra.depth.network import EPSILON  # noqa: E402
from lyra.training.depth_losses import Weights, target_from, terms, total  # noqa: E402


@pytest.fixture
def scene():
    """Depth (2, 24, 32) with a sky above a slope, and the target made of it."""
    torch.manual_seed(0)
    depth = torch.linspace(30, 2, 24)[None, :, None].repeat(2, 1, 32) * (1 + 0.2 * torch.rand(2, 24, 32))
    depth[:, :6] = torch.inf
    return depth, target_from(depth, torch.tensor([0.8, 1.2]))


def test_target_is_normalised_and_the_sky_farthest(scene):
    depth, target = scene
    again = target_from(7 * depth, torch.tensor([0.8, 1.2]))
    torch.testing.assert_close(again.log_inverse, target.log_inverse)
    assert target.log_inverse[:, :6].eq(math.log(EPSILON)).all()
    assert target.log_inverse[:, 6:].min() > math.log(EPSILON)
    torch.testing.assert_close(again.camera - target.camera, torch.tensor([[0, math.log(7)]] * 2).float())


def test_truth_costs_nothing_but_the_soft_terms(scene):
    _, target = scene
    sky_logit = torch.where(target.sky, 20.0, -20.0)
    parts = terms(target.log_inverse, sky_logit, target.camera, target)
    for name in ("direct", "aligned", "invariant", "gradient", "sky", "focal", "median"):
        assert parts[name] < 1e-5, name
    reversed_ = terms(-target.log_inverse, sky_logit, target.camera, target)
    assert reversed_["ranking"] > 4 * parts["ranking"]


def test_each_freedom_is_left_by_the_term_that_says_so(scene):
    _, target = scene
    sky_logit = torch.where(target.sky, 20.0, -20.0)
    nearer = torch.where(target.sky, target.log_inverse, target.log_inverse + 0.5)
    parts = terms(nearer, sky_logit, target.camera, target)
    assert parts["aligned"] < 1e-5 < 0.3 < parts["direct"]
    inverse = 3 * (target.log_inverse.exp() - EPSILON) + 0.4
    parts = terms((inverse + EPSILON).log(), sky_logit, target.camera, target)
    assert parts["invariant"] < 0.02 < parts["direct"]
    below_sky = torch.where(target.sky, target.log_inverse - 3, target.log_inverse)
    assert terms(below_sky, sky_logit, target.camera, target)["direct"] < 1e-5


def test_pictures_of_nothing_but_sky_or_without_sky_give_finite_losses():
    depth = torch.full((2, 16, 16), torch.inf)
    depth[1] = torch.rand(16, 16) + 1
    target = target_from(depth, torch.ones(2))
    prediction = torch.zeros(2, 16, 16, requires_grad=True)
    loss = total(terms(prediction, prediction * 2, torch.zeros(2, 2), target), Weights())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(prediction.grad).all()
