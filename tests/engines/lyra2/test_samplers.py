import numpy as np
import pytest
import torch

from lyra.common.errors import CancelledError
from lyra.engines.lyra2.noise import SeededNoise
from lyra.engines.lyra2.samplers import DistilledSampler, UniPCSampler

SHAPE = (1, 16, 4, 2, 3)
# What the published code computes for 35 and 50 steps with shift 5.
PUBLISHED_35 = [
    999,
    993,
    987,
    981,
    974,
    967,
    960,
    952,
    943,
    935,
    925,
    915,
    905,
    894,
    882,
    869,
    855,
    840,
    824,
    807,
]
PUBLISHED_35 += [789, 768, 746, 722, 695, 666, 633, 596, 555, 508, 454, 391, 318, 232, 128]
PUBLISHED_50 = [
    999,
    995,
    991,
    987,
    982,
    978,
    973,
    968,
    963,
    957,
    952,
    946,
    940,
    934,
    927,
    920,
    913,
    906,
    898,
    890,
]
PUBLISHED_50 += [
    882,
    873,
    863,
    854,
    843,
    833,
    821,
    809,
    796,
    783,
    768,
    753,
    737,
    720,
    701,
    681,
    660,
    636,
    611,
    584,
]
PUBLISHED_50 += [555, 522, 487, 448, 405, 356, 302, 241, 172, 92]

SAMPLERS = [UniPCSampler(1), UniPCSampler(4), UniPCSampler(10, 3.0), DistilledSampler()]


def noise(seed: int = 0) -> torch.Tensor:
    return SeededNoise().initial(seed, SHAPE)


def no_report(done, total, clean):
    pass


def no_fresh_noise(step):
    raise AssertionError("asked for noise")


@pytest.mark.parametrize("published", [PUBLISHED_35, PUBLISHED_50])
def test_published_timesteps(published):
    sampler = UniPCSampler(len(published))
    assert sampler.timesteps.tolist() == published
    assert sampler.passes == len(published)
    base = np.linspace(np.float32(0.999), 0, len(published) + 1)
    np.testing.assert_allclose(sampler.sigmas, 5 * base / (1 + 4 * base), rtol=0, atol=1e-6)


def test_distilled_timesteps():
    sampler = DistilledSampler()
    np.testing.assert_allclose(sampler.sigmas, [1, 0.9375, 5 / 6, 0.625, 0], rtol=1e-7)
    np.testing.assert_allclose(sampler.timesteps, [1000, 937.5, 2500 / 3, 625], rtol=1e-7)
    assert sampler.passes == 4


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}-{s.passes}")
def test_a_straight_velocity_leads_to_its_target(sampler):
    """With v = (x - target) / sigma every estimate is the target, and so is the end."""
    target = torch.full(SHAPE, 0.25)
    sigmas = dict(zip(sampler.timesteps.tolist(), sampler.sigmas.tolist(), strict=False))
    estimates = []

    def velocity(latents, timestep):
        assert latents.dtype == timestep.dtype == torch.float32
        assert timestep.shape == ()
        return (latents - target) / sigmas[timestep.item()]

    fresh = SeededNoise()
    end = sampler.sample(
        velocity,
        noise(),
        lambda step: fresh.fresh(0, step, SHAPE),
        lambda done, total, clean: estimates.append((done, total, clean)),
    )
    assert end.dtype == torch.float32
    torch.testing.assert_close(end, target, rtol=0, atol=1e-4)
    assert [(done, total) for done, total, _ in estimates] == [
        (i + 1, sampler.passes) for i in range(sampler.passes)
    ]
    for *_, clean in estimates:
        torch.testing.assert_close(clean, target, rtol=0, atol=1e-5)


def toy_velocity(latents, timestep):
    return 0.7 * torch.tanh(latents) + timestep / 1000 - 0.3 * latents


def test_unipc_is_of_higher_order():
    """Its error falls with the steps, and faster than that of Euler's method over the same sigmas."""
    reference = UniPCSampler(400).sample(toy_velocity, noise(), no_fresh_noise, no_report)

    def error(end):
        return float((end - reference).abs().max())

    few, many = (
        error(UniPCSampler(n).sample(toy_velocity, noise(), no_fresh_noise, no_report)) for n in (10, 40)
    )
    assert many < few / 3
    sampler, latents = UniPCSampler(10), noise()
    for i, timestep in enumerate(sampler.timesteps):
        latents = latents + (sampler.sigmas[i + 1] - sampler.sigmas[i]) * toy_velocity(latents, timestep)
    assert few < error(latents)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}-{s.passes}")
def test_every_sampling_starts_anew(sampler):
    def sampled():
        return sampler.sample(toy_velocity, noise(), lambda step: torch.full(SHAPE, step / 10), no_report)

    start = noise()
    kept = start.clone()
    sampler.sample(toy_velocity, start, lambda step: torch.zeros(SHAPE), no_report)
    assert torch.equal(start, kept)
    assert torch.equal(sampled(), sampled())


def test_distilled_steps_by_hand():
    """x0 = x - sigma v, then (1 - sigma') x0 + sigma' noise, three times; the last x0 is the result."""
    asked = []

    def fresh(step):
        asked.append(step)
        return SeededNoise().fresh(5, step, SHAPE)

    sampler = DistilledSampler()
    end = sampler.sample(toy_velocity, noise(), fresh, no_report)
    x = noise().double()
    for i, sigma in enumerate((1, 0.9375, 5 / 6, 0.625)):
        x = x - sigma * toy_velocity(x, torch.tensor(1000.0 * sigma))
        if i < 3:
            following = (0.9375, 5 / 6, 0.625)[i]
            x = (1 - following) * x + following * SeededNoise().fresh(5, i, SHAPE)
    torch.testing.assert_close(end.double(), x, rtol=0, atol=1e-5)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("sampler", SAMPLERS[1:], ids=lambda s: f"{type(s).__name__}-{s.passes}")
def test_cancelling_passes_through(sampler):
    passes = []

    def velocity(latents, timestep):
        passes.append(timestep)
        return toy_velocity(latents, timestep)

    def stop_after_two(done, total, clean):
        if done == 2:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        sampler.sample(velocity, noise(), lambda step: torch.zeros(SHAPE), stop_after_two)
    assert len(passes) == 2


def test_many_steps_use_every_sigma():
    """With so many steps the first two share a timestep; taken for the same, the schedule would end too early."""
    sampler = UniPCSampler(300)
    assert len(set(sampler.timesteps[:2].tolist())) == 1
    seen = []
    sampler.sample(
        lambda x, t: toy_velocity(x, t), noise(), no_fresh_noise, lambda done, *_: seen.append(done)
    )
    assert seen == list(range(1, 301))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}-{s.passes}")
def test_cuda_agrees_with_the_cpu(sampler):
    ends = [
        sampler.sample(
            toy_velocity, noise().to(device), lambda step: SeededNoise().fresh(0, step, SHAPE), no_report
        )
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(ends[1].cpu(), ends[0], rtol=0, atol=1e-5)


class TestSeededNoise:
    def test_initial_is_the_published_draw(self):
        expected = np.random.RandomState(3).standard_normal(SHAPE).astype(np.float32)
        drawn = SeededNoise().initial(3, SHAPE)
        assert drawn.dtype == torch.float32
        np.testing.assert_array_equal(drawn, expected)

    def test_streams_are_frozen(self):
        """These numbers are part of every world that was made with them."""
        drawn = SeededNoise().fresh(1, 2, (45, 16, 2, 2))
        assert drawn.dtype == torch.float32
        np.testing.assert_array_equal(drawn.flatten()[:3], np.float32([-1.5452676, 0.54084593, 1.5286111]))
        initial = SeededNoise().initial(1, (1, 16, 20, 2, 2)).flatten()[:3]
        np.testing.assert_array_equal(initial, np.float32([1.6243454, -0.61175638, -0.52817178]))

    def test_each_seed_and_step_has_its_own(self):
        source = SeededNoise()
        drawn = [source.initial(seed, (4000,)) for seed in (0, 1)]
        drawn += [source.fresh(seed, step, (4000,)) for seed in (0, 1) for step in (0, 1)]
        correlation = np.corrcoef(torch.stack(drawn))
        assert np.abs(correlation - np.eye(len(drawn))).max() < 0.08
        assert torch.stack(drawn).mean(1).abs().max() < 0.06
        assert (torch.stack(drawn).std(1) - 1).abs().max() < 0.05
        assert torch.equal(source.fresh(1, 1, (4000,)), drawn[-1])
