"""Training of the built-in depth network, from random weights, on worlds the project makes itself.

The learning rate warms up, then falls with the root of the steps, which does not depend on how long the run will be;
the last part of every run cools it down to nothing. What is evaluated and shipped is the running mean of the weights.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from lyra.depth.network import EPSILON
from lyra.errors import InvalidInputError
from lyra.evaluation.depth_metrics import (
    absolute_relative,
    field_of_view,
    overlap,
    sampled_ordinal_error,
)
from lyra.evaluation.depth_quality import HELD_OUT_SEED
from lyra.evaluation.depth_sheet import shaded
from lyra.training.depth_data import Pool, Shard, load_pictures, make_shard, recoloured, start_generators
from lyra.training.depth_losses import Weights, target_from, terms, total
from lyra.training.depth_network import DepthNet, export, inputs_from
from lyra.training.depth_report import append_row, draw_curve, draw_sheet

# Mostly small, for many pictures in a short time; larger ones, as the network is shown later, besides.
SIZES = ((96, 160), (128, 224), (96, 160), (112, 144), (96, 160), (160, 272), (96, 160), (144, 112))


@dataclass(frozen=True)
class Settings:
    """How a run is made. `pixels` is the size of a batch, `sizes` (height, width) are drawn in turn."""

    rate: float = 1.2e-3
    # Wide matrices move far in a step that convolutions bear well.
    token_share: float = 0.25
    warmup: int = 300
    # The rate falls with the root of the steps from here on.
    plateau: int = 4000
    cooldown: float = 0.15
    decay: float = 0.03
    pixels: int = 16 * 96 * 160
    mean_over: int = 1500
    report_every: int = 300
    shards: int = 300
    held_out: int = 48
    workers: int = 1
    sizes: tuple[tuple[int, int], ...] = SIZES


@dataclass(frozen=True)
class Budget:
    """When a run ends: at whichever of the two comes first."""

    steps: int | None = None
    minutes: float | None = None

    def used(self, steps: int, seconds: float) -> float:
        """Share of this run that is over, 1 at its end."""
        shares = [steps / self.steps] if self.steps else []
        shares += [seconds / 60 / self.minutes] if self.minutes else []
        return max(shares)


class Trainer:
    """Network, optimiser, mean of the weights, and their checkpoint in a folder."""

    def __init__(self, folder: Path, settings: Settings, device: str = "cpu", seed: int = 0):
        torch.manual_seed(seed)
        self.folder, self.settings, self.device = folder, settings, torch.device(device)
        self.model = DepthNet().to(self.device, memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self._groups(), lr=settings.rate, betas=(0.9, 0.98))
        self.step, self.seen, self.minutes = 0, 0, 0.0

    def _groups(self) -> list[dict]:
        """Matrices and kernels decay, offsets and gains do not; attention learns at its share of the rate."""
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            share = self.settings.token_share if name.startswith("tokens.") else 1.0
            decay = self.settings.decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
        return [
            {"params": parameters, "share": share, "weight_decay": decay}
            for (share, decay), parameters in groups.items()
        ]

    def learn(self, batch: Shard, rng: np.random.Generator, share_used: float) -> dict[str, float]:
        """One step on a batch; the terms of its loss."""
        inputs = inputs_from(recoloured(batch.images, rng), self.device)
        depth = torch.from_numpy(batch.depth.astype(np.float32)).to(self.device)
        target = target_from(depth, torch.from_numpy(batch.focal).to(self.device))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(share_used) * group["share"]
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            prediction = self.model(inputs)
        parts = terms(*prediction, target)
        loss = total(parts, Weights())
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss.item()} at step {self.step}; resume with a lower rate."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.seen += len(batch.images)
        self._follow()
        return {"loss": loss.item(), **{name: value.item() for name, value in parts.items()}}

    def rate(self, share_used: float) -> float:
        """The learning rate now, when `share_used` of this run is over."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / settings.warmup)
        slow = math.sqrt(settings.plateau / max(self.step, settings.plateau))
        cool = min(1.0, (1 - share_used) / settings.cooldown) if settings.cooldown else 1.0
        return settings.rate * warm * slow * max(cool, 0.01)

    @torch.no_grad()
    def _follow(self) -> None:
        """The mean of the weights takes a step toward them, a larger one in the beginning."""
        share = max(1 / self.settings.mean_over, 1 / (self.step / 4 + 1))
        for mean, now in zip(self.mean.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, share)
            else:
                mean.copy_(now)

    def save(self) -> None:
        """The checkpoint: tensors as safetensors, the rest as JSON, the JSON last."""
        tensors = {f"model.{k}": v.contiguous() for k, v in self.model.state_dict().items()}
        tensors |= {f"mean.{k}": v.contiguous() for k, v in self.mean.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v.contiguous() for k, v in state.items()}
        name = f"checkpoint-{self.step:08d}.safetensors"
        save_file({k: v.cpu() for k, v in tensors.items()}, str(self.folder / name))
        state = {"file": name, "step": self.step, "seen": self.seen, "minutes": self.minutes}
        temporary = self.folder / "state.json.tmp"
        temporary.write_text(json.dumps(state | {"settings": asdict(self.settings)}, indent=1))
        temporary.replace(self.folder / "state.json")
        for old in self.folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()
        facts = {"steps": str(self.step), "pictures": str(self.seen), "minutes": f"{self.minutes:.0f}"}
        export(self.mean, self.folder / "depth.safetensors", facts)

    def load(self) -> None:
        """Goes on from the folder's checkpoint. Raises InvalidInputError when there is none or it does not fit."""
        path = self.folder / "state.json"
        if not path.is_file():
            raise InvalidInputError(
                f"{self.folder} holds no checkpoint (state.json); start without --resume."
            )
        state = json.loads(path.read_text())
        tensors = load_file(str(self.folder / state["file"]), device=str(self.device))
        try:
            self.model.load_state_dict(_under("model.", tensors))
            self.mean.load_state_dict(_under("mean.", tensors))
        except RuntimeError as error:
            raise InvalidInputError(
                f"The checkpoint in {self.folder} is of another network ({str(error).splitlines()[0]}); "
                "choose another folder."
            ) from error
        whole = self.optimiser.state_dict()
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _under("optimiser.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({"state": moments, "param_groups": whole["param_groups"]})
        self.step, self.seen, self.minutes = state["step"], state["seen"], state["minutes"]

    @torch.no_grad()
    def evaluate(self, held_out: Shard, sheet: Path | None = None) -> dict[str, float]:
        """The mean weights' figures on pictures never trained on; a sheet of pictures of the first of them."""
        predictions = [self.mean(inputs_from(image[None], self.device)) for image in held_out.images]
        inverse = [(p[0][0].exp() - EPSILON).cpu().numpy() for p in predictions]
        sky = [(p[1][0] > 0).cpu().numpy() for p in predictions]
        focal = np.array([p[2][0, 0].exp().item() for p in predictions])
        truth = held_out.depth.astype(np.float32)
        if sheet is not None:
            shown = list(zip(held_out.images, truth, inverse, sky, strict=True))[:24]
            draw_sheet([(i, shaded(1 / t), shaded(p, s)) for i, t, p, s in shown], sheet)
        fov_error = np.abs(field_of_view(focal) - field_of_view(held_out.focal))
        pairs = list(zip(inverse, truth, strict=True))
        return {
            "abs_rel": float(np.mean([absolute_relative(p, t) for p, t in pairs])),
            "ordinal": float(np.mean([sampled_ordinal_error(p, t) for p, t in pairs])),
            "sky_iou": float(np.mean([overlap(s, np.isinf(t)) for s, t in zip(sky, truth, strict=True)])),
            "fov_error": float(np.median(fov_error)),
        }


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def train(
    out: Path,
    budget: Budget,
    *,
    resume: bool = False,
    settings: Settings | None = None,
    device: str = "cpu",
    seed: int = 0,
    extra: Path | None = None,
) -> dict[str, float]:
    """Trains into the folder `out` until the budget is used; the newest row of its curve.

    `out` then holds depth.safetensors (what ships), the checkpoint, curve.csv, curve.png, sheet.png and the pool of
    pictures. `seed` is where the pictures' seeds begin, `extra` a folder of rendered pictures to learn from besides.
    Ctrl-C stops at a step and keeps what was learned.
    Raises InvalidInputError when `out` cannot be gone on with, or is a run already and `resume` is not set.
    """
    settings = settings or Settings()
    if not resume and (out / "state.json").exists():
        raise InvalidInputError(f"{out} holds a run already; go on with --resume or choose another folder.")
    rendered = load_pictures(extra) if extra else None
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(out, settings, device, seed)
    if resume:
        trainer.load()
    # Every start makes new pictures: the seeds go on where no earlier part of the run has been.
    first_seed = seed + trainer.step
    generators = start_generators(
        out / "pool", settings.sizes, first_seed, settings.shards, device, settings.workers
    )
    try:
        pool = Pool(out / "pool", settings.shards, rendered)
        return _run(trainer, pool, budget, first_seed, generators)
    finally:
        for process in generators:
            process.terminate()
            process.join()


def _run(
    trainer: Trainer, pool: Pool, budget: Budget, seed: int, generators: list[BaseProcess]
) -> dict[str, float]:
    settings, rng = trainer.settings, np.random.default_rng(seed)
    held_out = make_shard(HELD_OUT_SEED, settings.held_out, settings.sizes[0], str(trainer.device))
    while pool.refresh() < len(set(settings.sizes)):
        if not all(process.is_alive() for process in generators):
            raise RuntimeError("A process that makes the pictures has ended; its error is printed above.")
        time.sleep(0.5)
    started, before = time.monotonic(), trainer.minutes
    first, recent, row = trainer.step, [], {}
    interrupted = False
    while not interrupted:
        share = budget.used(trainer.step - first, time.monotonic() - started)
        if share >= 1:
            break
        try:
            recent.append(trainer.learn(pool.draw(rng, settings.pixels), rng, share))
        except KeyboardInterrupt:
            interrupted = True
        if trainer.step % 20 == 0:
            pool.refresh()
        if trainer.step % settings.report_every == 0:
            trainer.minutes = before + (time.monotonic() - started) / 60
            row = _report(trainer, recent, held_out)
            recent = []
    trainer.minutes = before + (time.monotonic() - started) / 60
    return _report(trainer, recent, held_out) if recent else row


def _report(trainer: Trainer, recent: list[dict[str, float]], held_out: Shard) -> dict[str, float]:
    """Checkpoint, figures and pictures of where the run stands."""
    trainer.save()
    means = {name: float(np.mean([parts[name] for parts in recent])) for name in recent[0]}
    row = {"step": trainer.step, "seen": trainer.seen, "minutes": trainer.minutes, **means}
    row |= trainer.evaluate(held_out, trainer.folder / "sheet.png")
    append_row(trainer.folder / "curve.csv", row)
    draw_curve(trainer.folder / "curve.csv", trainer.folder / "curve.png")
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    return row
