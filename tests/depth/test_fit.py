import numpy as np
import pytest

from lyra.depth.fit import (
    InverseFit,
    fit_field,
    fit_scale,
    fit_scale_and_shift,
    spread,
    weighted_median,
)

RNG = np.random.default_rng(0)


def pairs(gain=1.3, offset=0.0, noise=0.02, outliers=0.3, count=4000):
    """Inverse depths seen and known, with things that only one of the two shows."""
    rng = np.random.default_rng(1)
    seen = np.exp(rng.uniform(np.log(0.05), np.log(1.0), count))
    known = (gain * seen + offset) * np.exp(noise * rng.standard_normal(count))
    odd = rng.random(count) < outliers
    known[odd] = np.exp(rng.uniform(np.log(0.3), np.log(4.0), odd.sum())) * seen[odd]
    return seen, known, np.ones(count)


def test_weighted_median_is_the_value_repeated():
    values, times = RNG.normal(size=501), RNG.integers(1, 6, 501)
    assert weighted_median(values, times.astype(float)) == np.median(np.repeat(values, times))


def test_spread_is_the_normal_deviation():
    assert spread(RNG.normal(0, 0.05, 200_000), np.ones(200_000)) == pytest.approx(0.05, rel=0.03)


def test_scale_is_found_among_outliers():
    assert fit_scale(*pairs()).gain == pytest.approx(1.3, rel=0.005)


def test_weight_decides_between_two_opinions():
    seen, known = np.ones(10), np.repeat([2.0, 3.0], [6, 4])
    assert fit_scale(seen, known, np.ones(10)).gain == pytest.approx(2, rel=1e-3)
    assert fit_scale(seen, known, np.repeat([1.0, 5.0], [6, 4])).gain == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("offset", [-0.02, 0.05, 0.1])
def test_scale_and_shift_are_found_among_outliers(offset):
    fit = fit_scale_and_shift(*pairs(offset=offset))
    assert fit.gain == pytest.approx(1.3, rel=0.03)
    assert fit.offset == pytest.approx(offset, abs=0.012)


def test_one_depth_determines_no_shift():
    assert fit_scale_and_shift(np.full(50, 0.2), np.full(50, 0.3), np.ones(50)) is None


def test_a_shift_read_off_a_nearly_flat_wall_stays_small():
    """Two sides of a wall that are remembered a little differently say nothing about a shift."""
    rng = np.random.default_rng(5)
    seen = 0.5 * np.exp(0.03 * rng.standard_normal(4000))
    known = seen * np.exp(-0.5 * np.log(seen / 0.5))
    fit = fit_scale_and_shift(seen, known, np.ones(4000))
    assert fit is None or abs(fit.offset) < 0.25 * fit.gain * 0.5


def test_one_depth_for_everything_is_no_fit():
    """A wall seen at uneven depths, and a few pairs of other things."""
    rng = np.random.default_rng(4)
    seen = np.concatenate([0.1 * np.exp(0.2 * rng.uniform(-1, 1, 900)), rng.uniform(0.1, 0.4, 100)])
    known = np.concatenate([np.full(900, 0.1), seen[900:]])
    fit = fit_scale_and_shift(seen, known, np.ones(1000))
    assert fit is None or fit.gain > 0.5


def test_fitted_inverse_depth_stays_positive_and_sky_stays_sky():
    inverse = np.array([1.0, 0.1, 0.001, 0.0])
    fitted = InverseFit(2.0, -0.05).applied(inverse)
    assert (fitted[:3] > 0).all() and fitted[3] == 0
    assert fitted[0] == pytest.approx(1.95)


def test_beyond_the_depths_it_knows_a_fit_only_scales():
    fit = InverseFit(2.0, 0.1, low=0.1, high=1.0)
    near, far = fit.applied(np.array([1.0, 2.0])), fit.applied(np.array([0.1, 0.01]))
    assert near[1] == pytest.approx(2 * near[0]) and far[1] == pytest.approx(far[0] / 10)
    assert fit.scale_at(0.5).gain == pytest.approx(2.2) and fit.scale_at(0.5).offset == 0


def test_field_follows_a_smooth_residual_and_runs_out_toward_nothing():
    height, width = 60, 160
    y, x = np.mgrid[:height, :80]
    truth = 0.1 * np.cos(x / 30) + 0.05 * np.sin(y / 25)
    noisy = truth + 0.03 * RNG.standard_normal(truth.shape)
    noisy[RNG.random(truth.shape) < 0.2] = 1.0
    pixels = np.stack([x.ravel(), y.ravel()], 1)
    field = fit_field(pixels, noisy.ravel(), np.ones(truth.size), (height, width))
    over = field.over(height, width)
    assert np.abs(over[:, :80] - truth).max() < 0.03
    assert np.allclose(field.at(pixels, (height, width)), over[:, :80].ravel())
    assert np.abs(over[:, -1]).max() < 0.7 * np.abs(over[:, 79]).max()
    assert np.abs(np.diff(over, axis=1)).max() < 0.02
