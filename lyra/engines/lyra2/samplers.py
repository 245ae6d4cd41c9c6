"""Samplers: the published multi-step solver, and that of the distilled model.

Both move the new latents only. The history beside them stays as it is in every step, so the caller hands it to the
network and it never passes through a sampler; guidance, too, is inside the velocity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler

# Latents (1, 16, T, h, w) float32 at noise level sigma and the timestep (a float32 scalar, 1000 sigma) -> velocity.
Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Step from 0 -> noise like the latents, float32, on any device.
FreshNoise = Callable[[int], torch.Tensor]
# Steps done, steps in all, and the estimate of the clean latents after this step.
OnStep = Callable[[int, int, torch.Tensor], None]

TRAIN_TIMESTEPS = 1000
# The published schedule starts from this float32 value of sigma, before the shift.
LARGEST_SIGMA = float(np.float32(0.999))
DISTILLED_SHIFT = 5.0
DISTILLED_TABLE_INDICES = (0, 250, 500, 750)


class Sampler(Protocol):
    """`timesteps` (passes,) and `sigmas` (passes + 1,), the last 0, are float32; `passes` counts velocities."""

    timesteps: torch.Tensor
    sigmas: torch.Tensor
    passes: int

    def sample(
        self, velocity: Velocity, noise: torch.Tensor, fresh: FreshNoise, on_step: OnStep
    ) -> torch.Tensor:
        """Clean latents, float32, from `noise` (1, 16, T, h, w) float32, on its device.

        Calls `on_step` after each velocity; what it raises ends the sampling and passes through.
        """
        ...


class UniPCSampler:
    """UniPC of second order (Zhao et al. 2023) over shifted flow sigmas: no noise but the first."""

    def __init__(self, steps: int = 35, shift: float = 5.0):
        """Any `steps` from 1 on; larger `shift` spends more of them on high noise."""
        self.passes, self.shift = steps, shift
        scheduler = self._scheduler()
        # The published code hands whole timesteps to the network, although sigmas lie between them.
        self.timesteps = scheduler.timesteps.float()
        self.sigmas = scheduler.sigmas

    def _scheduler(self) -> UniPCMultistepScheduler:
        scheduler = UniPCMultistepScheduler(
            num_train_timesteps=TRAIN_TIMESTEPS,
            solver_order=2,
            solver_type="bh2",
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=self.shift,
        )
        scheduler.set_timesteps(sigmas=np.linspace(LARGEST_SIGMA, 0, self.passes + 1)[:-1])
        # With many steps the first two may share a timestep; by it alone the scheduler would begin at the second.
        scheduler.set_begin_index(0)
        return scheduler

    def sample(
        self, velocity: Velocity, noise: torch.Tensor, fresh: FreshNoise, on_step: OnStep
    ) -> torch.Tensor:
        """As `Sampler.sample`; `fresh` is not called."""
        scheduler = self._scheduler()
        latents = noise
        for i, timestep in enumerate(scheduler.timesteps):
            v = velocity(latents, self.timesteps[i].to(latents.device))
            clean = latents - float(self.sigmas[i]) * v
            latents = scheduler.step(v, timestep, latents, return_dict=False)[0]
            on_step(i + 1, self.passes, clean)
        return latents


class DistilledSampler:
    """The four steps that the distilled weights were trained for: estimate the clean latents, noise them again."""

    def __init__(self):
        table = np.linspace(1, 0, TRAIN_TIMESTEPS + 1)[:-1][list(DISTILLED_TABLE_INDICES)]
        shifted = DISTILLED_SHIFT * table / (1 + (DISTILLED_SHIFT - 1) * table)
        self.sigmas = torch.tensor([*shifted, 0.0], dtype=torch.float32)
        self.timesteps = TRAIN_TIMESTEPS * self.sigmas[:-1]
        self.passes = len(self.timesteps)

    def sample(
        self, velocity: Velocity, noise: torch.Tensor, fresh: FreshNoise, on_step: OnStep
    ) -> torch.Tensor:
        """As `Sampler.sample`; calls `fresh(i)` after step i, but not after the last one."""
        latents = noise
        for i, timestep in enumerate(self.timesteps):
            v = velocity(latents, timestep.to(latents.device))
            # Published: this difference in float64, everything else in float32.
            clean = (latents.double() - self.sigmas[i].double().item() * v.double()).float()
            on_step(i + 1, self.passes, clean)
            if i + 1 < self.passes:
                sigma = float(self.sigmas[i + 1])
                latents = (1 - sigma) * clean + sigma * fresh(i).to(clean)
        return clean
