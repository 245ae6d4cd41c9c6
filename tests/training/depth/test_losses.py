"""The losses of the depth network: what they penalise and what they do not."""

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from lyra.depth.network import EPSILON  # noqa: E402
from lyra.training.depth.losses import LossWeights, gravity_field, target_from, terms, total  # noqa: E402

FOCAL, UP = torch.tensor([0.8, 1.2]), torch.tensor([[0.0, -1.0, 0.0], [0.0, -0.8, -0.6]])


@pytest.fixture
def scene():
    """Depth (2, 24, 32) with a sky above a slope, and the target made of it."""
    torch.manual_seed(0)
    depth = torch.linspace(30, 2, 24)[None, :, None].repeat(2, 1, 32) * (1 + 0.2 * torch.rand(2, 24, 32))
    depth[:, :6] = torch.inf
    return depth, target_from(depth, FOCAL, UP)


def cost(log_inverse, target, sky_logit=None):
    """The terms of a prediction that equals the truth except for its depth."""
    if sky_logit is None:
        sky_logit = torch.where(target.sky, 20.0, -20.0)
    return terms(log_inverse, sky_logit, target.camera, gravity_field(target, 3, 4), target)


def test_target_is_normalised_and_the_sky_farthest(scene):
    depth, target = scene
    again = target_from(7 * depth, FOCAL, UP)
    torch.testing.assert_close(again.log_inverse, target.log_inverse)
    assert target.log_inverse[:, :6].eq(math.log(EPSILON)).all()
    assert target.log_inverse[:, 6:].min() > math.log(EPSILON)
    torch.testing.assert_close(again.camera - target.camera, torch.tensor([[0, math.log(7)]] * 2).float())


def test_truth_costs_nothing_but_the_soft_terms(scene):
    _, target = scene
    parts = cost(target.log_inverse, target)
    for name in (
        "direct",
        "aligned",
        "invariant",
        "gradient",
        "normal",
        "chord",
        "sky",
        "focal",
        "median",
        "gravity",
    ):
        assert parts[name] < 1e-5, name
    assert cost(-target.log_inverse, target)["ranking"] > 4 * parts["ranking"]


def test_each_freedom_is_left_by_the_term_that_says_so(scene):
    _, target = scene
    nearer = torch.where(target.sky, target.log_inverse, target.log_inverse + 0.5)
    parts = cost(nearer, target)
    assert parts["aligned"] < 1e-5 < 0.3 < parts["direct"]
    inverse = 3 * (target.log_inverse.exp() - EPSILON) + 0.4
    parts = cost((inverse + EPSILON).log(), target)
    assert parts["invariant"] < 0.02 < parts["direct"]
    below_sky = torch.where(target.sky, target.log_inverse - 3, target.log_inverse)
    assert cost(below_sky, target)["direct"] < 1e-5


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_normals_are_those_of_the_plane_whatever_its_scale(factor):
    """A floor 1.6 m below a level camera, and the same floor with waves."""
    height, width = 48, 64
    y = torch.arange(height) + 0.5 - height / 2
    depth = torch.where(y > 4, 1.6 * 0.9 * width / y.clamp(min=1), torch.inf)[None, :, None].repeat(
        1, 1, width
    )
    target = target_from(depth, torch.tensor([0.9]), torch.tensor([[0.0, -1.0, 0.0]]))
    inverse = (target.log_inverse.exp() - EPSILON) * factor
    assert cost((inverse + EPSILON).log(), target)["normal"] < 1e-3
    waves = 1 + 0.05 * torch.sin(torch.arange(width) * 0.7)
    assert cost((inverse * waves + EPSILON).log(), target)["normal"] > 0.02


@pytest.mark.parametrize("turned", [False, True])
def test_chords_tell_by_how_much_a_wall_leans(turned):
    """A wall 5 m before a level camera, and the same wall leaning back (or swung round) by an angle."""
    height, width, lens = 48, 64, 0.9
    places = torch.arange(width if turned else height) + 0.5 - (width if turned else height) / 2

    def wall(angle):
        # z = 5 + y tan(angle) with y = z * place / focal.
        depth = 5 / (1 - places / (lens * width) * math.tan(angle))
        return (depth if turned else depth[:, None]).expand(1, height, width)

    def target_of(depth):
        return target_from(depth, torch.tensor([lens]), torch.tensor([[0.0, -1.0, 0.0]]))

    truth = target_of(wall(0.0))
    for angle in (0.1, 0.3):
        part = cost(target_of(wall(angle)).log_inverse, truth)["chord"].item()
        # Chords along the other side of the wall are as they were; the width of a chord is 2 sin(angle / 2).
        assert part == pytest.approx(angle / 2, rel=0.3)
    assert cost(target_of(3 * wall(0.0)).log_inverse, truth)["chord"] < 1e-4


def test_a_thin_column_is_held_upright_though_it_is_no_surface_across():
    depth = torch.full((1, 48, 64), 20.0)
    depth[:, :, 30:34] = 4.0
    truth = target_from(depth, torch.tensor([0.9]), torch.tensor([[0.0, -1.0, 0.0]]))
    leaning = truth.log_inverse.clone()
    leaning[:, :, 30:34] += torch.linspace(-0.2, 0.2, 48)[:, None]
    of_column, other = cost(leaning, truth), cost(truth.log_inverse, truth)
    assert of_column["chord"] > 5e-3 > other["chord"]
    assert of_column["normal"] < 0.2 * of_column["chord"]


def test_gravity_field_is_the_horizon_and_the_way_up():
    depth = torch.ones(2, 32, 64)
    level = torch.tensor([[0.0, -1.0, 0.0], [0.0, -0.6, 0.8]])  # the second looks up
    field = gravity_field(target_from(depth, torch.tensor([0.5, 0.5]), level), 5, 8)
    assert field.shape == (2, 3, 5, 8)
    assert field[0, 0, 2].abs().max() < 1e-6  # the horizon is in the middle row
    torch.testing.assert_close(field[0, 0, 0], -field[0, 0, 4])
    # A lens of 90 degrees over the longer side: its middle row ends at 45 degrees, where rows are 2/8 apart.
    torch.testing.assert_close(field[0, 0, 0, 4], torch.tensor(0.5 / (1 + 0.5**2 + 0.125**2) ** 0.5))
    torch.testing.assert_close(field[0, 1:].abs().amax((1, 2)), torch.tensor([0.0, 1.0]))
    assert field[1, 0].min() > 0 and field[1, 1, 2, 0] > 0 > field[1, 1, 2, 7]


def test_pictures_of_nothing_but_sky_or_without_sky_give_finite_losses():
    depth = torch.full((2, 16, 16), torch.inf)
    depth[1] = torch.rand(16, 16) + 1
    target = target_from(depth, torch.ones(2), UP)
    prediction = torch.zeros(2, 16, 16, requires_grad=True)
    parts = terms(prediction, prediction * 2, torch.zeros(2, 2), torch.zeros(2, 3, 1, 1), target)
    loss = total(parts, LossWeights())
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(prediction.grad).all()
