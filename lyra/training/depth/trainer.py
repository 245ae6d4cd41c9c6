"""Training steps of the depth network: losses, optimiser, running mean of the weights, checkpoint.

The learning rate warms up, then decays with the inverse square root of the step, independent of the run's length; at
the end of every run it is cooled down to almost nothing. The running mean of the weights is evaluated and exported.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_object
from lyra.common.quoting import place, value
from lyra.depth.metrics import absolute_relative, field_of_view, overlap, sampled_ordinal_error
from lyra.depth.network import EPSILON
from lyra.depth.shading import shaded
from lyra.hub.safetensor_files import read_header
from lyra.training.depth.all_reduce import AllReduce
from lyra.training.depth.data import Shard
from lyra.training.depth.losses import LossWeights, target_from, terms, total
from lyra.training.depth.network import DepthNet, export, inputs_from
from lyra.training.depth.report import draw_sheet
from lyra.training.depth.variation import recoloured

# (height, width): mostly small, for throughput and as in the estimator's passes over the whole image; a few larger
# ones, as in its pass for detail. The first is used for evaluation.
SIZES = 5 * ((96, 160),) + 4 * ((80, 128),) + 2 * ((112, 144),) + 2 * ((128, 96),) + ((128, 224), (160, 272))
# Training stops after this many consecutive steps without a finite gradient.
MAX_SKIPPED = 20


@dataclass(frozen=True)
class Settings:
    """Settings of a run. `pixels` is the size of a batch, `sizes` (height, width) are cycled through."""

    rate: float = 1.2e-3
    # The attention's wide matrices need a lower rate than the convolutions.
    token_share: float = 0.25
    warmup: int = 300
    # Decay of the rate starts at this step.
    plateau: int = 4000
    cooldown: float = 0.15
    decay: float = 0.03
    pixels: int = 16 * 96 * 160
    # In steps; short enough for the mean to follow the cooldown.
    mean_over: int = 300
    report_every: int = 300
    shards: int = 300
    held_out: int = 48
    workers: int = 1
    processes: int = 1
    sizes: tuple[tuple[int, int], ...] = SIZES


class Trainer:
    """Network, optimiser and running mean of the weights, with their checkpoint in a folder."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        device: str = "cpu",
        seed: int = 0,
        rank: int = 0,
        all_reduce: AllReduce | None = None,
    ):
        """`rank` among the processes that share `all_reduce`; rank 0 controls the run and reports."""
        torch.manual_seed(seed)
        self.rank, self.all_reduce, self.seed = rank, all_reduce, seed
        self.over, self.share, self.skipped = False, 0.0, 0
        self.folder, self.settings, self.device = folder, settings, torch.device(device)
        self.model = DepthNet().to(self.device, memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = torch.optim.AdamW(self._groups(), lr=settings.rate, betas=(0.9, 0.98))
        self.step, self.seen, self.minutes = 0, 0, 0.0

    def _groups(self) -> list[dict]:
        """Parameter groups: weight decay on matrices and kernels alone; a reduced rate for attention."""
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            share = self.settings.token_share if name.startswith("tokens.") else 1.0
            decay = self.settings.decay if parameter.ndim > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
        return [
            {"params": parameters, "share": share, "weight_decay": decay}
            for (share, decay), parameters in groups.items()
        ]

    def learn(
        self, batch: Shard, rng: np.random.Generator, share_used: float, last: bool = False
    ) -> dict[str, float]:
        """One step on a batch; returns the terms of its loss.

        `share_used` and `last` of rank 0 apply to all processes; `over` is set in all of them after the last step.
        Raises FloatingPointError if gradients have not been finite for MAX_SKIPPED steps.
        """
        images, depth, focal, up = (
            torch.from_numpy(values).to(self.device)
            for values in (batch.images, batch.depth, batch.focal, batch.up)
        )
        inputs = inputs_from(recoloured(images, rng))
        target = target_from(depth.float(), focal.float(), up.float())
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            log_inverse, sky, camera, gravity = self.model(inputs)
        parts = terms(log_inverse, sky, camera, gravity, target)
        loss = total(parts, LossWeights())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.share, self.over = self._synchronise(share_used, last)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(self.share) * group["share"]
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)):
            self.optimiser.step()
            self._update_mean()
            self.skipped = 0
        else:
            self.skipped += 1
        if self.skipped >= MAX_SKIPPED:
            raise FloatingPointError(
                f"Gradients are not finite since step {self.step - self.skipped + 1}; "
                "continue from the last checkpoint with --resume and another --seed."
            )
        self.step += 1
        self.seen += len(batch.images) * self.settings.processes
        # Read in one transfer, since each one waits for the device.
        return dict(zip(("loss", *parts), torch.stack([loss, *parts.values()]).tolist(), strict=True))

    def _synchronise(self, share_used: float, last: bool) -> tuple[float, bool]:
        """Averages gradients over processes; returns rank 0's share of the run and whether this is the last step."""
        if self.all_reduce is None:
            return share_used, last
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.model.parameters()]
        said = torch.tensor([share_used, float(last)] if self.rank == 0 else [0.0, 0.0])
        mean = self.all_reduce.mean(self.rank, torch.cat([*(g.flatten() for g in gradients), said]))
        for parameter, part in zip(
            self.model.parameters(), mean[:-2].split([g.numel() for g in gradients]), strict=True
        ):
            parameter.grad = part.view_as(parameter)
        count = self.settings.processes
        return float(mean[-2]) * count, bool(mean[-1] > 0)

    def rate(self, share_used: float) -> float:
        """The current learning rate when `share_used` of this run is over."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / settings.warmup)
        slow = math.sqrt(settings.plateau / max(self.step, settings.plateau))
        cool = min(1.0, (1 - share_used) / settings.cooldown) if settings.cooldown else 1.0
        return settings.rate * warm * slow * max(cool, 0.01)

    @torch.no_grad()
    def _update_mean(self) -> None:
        """Updates the running mean of the weights, with larger steps in the beginning."""
        share = max(1 / self.settings.mean_over, 1 / (self.step / 4 + 1))
        values = [
            [value for value in model.state_dict().values() if value.dtype.is_floating_point]
            for model in (self.mean, self.model)
        ]
        get_ema_multi_avg_fn(1 - share)(*values, None)

    def save(self) -> None:
        """Writes the checkpoint: tensors as safetensors, then the rest as JSON."""
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
        """Loads the folder's checkpoint. Raises InvalidInputError if there is none or it does not match."""
        path = self.folder / "state.json"
        if not path.is_file():
            raise InvalidInputError(
                f"{self.folder} holds no checkpoint (state.json); start without --resume."
            )
        state = _checked_state(path)
        read_header(self.folder / state["file"])
        tensors = load_file(str(self.folder / state["file"]), device=str(self.device))
        try:
            self.model.load_state_dict(_under("model.", tensors))
            self.mean.load_state_dict(_under("mean.", tensors))
        except RuntimeError as error:
            raise InvalidInputError(
                f"The checkpoint in {self.folder} is for another network ({str(error).splitlines()[0]}); "
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
        """Metrics of the mean weights on held-out images; optionally writes a sheet of the first of them."""
        images = torch.from_numpy(held_out.images).to(self.device)
        predictions = [self.mean(inputs_from(image[None])) for image in images]
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


def _checked_state(path: Path) -> dict:
    """What a checkpoint's state.json says. Raises InvalidInputError for a damaged one."""
    advice = "choose another folder, or start without --resume"
    state = read_object(path, advice=advice)
    for key, kind in (("file", str), ("step", int), ("seen", int), ("minutes", (int, float))):
        if not isinstance(state.get(key), kind):
            raise InvalidInputError(f"{place(path)} is damaged ({key} is {value(state.get(key))}); {advice}.")
    if Path(state["file"]).name != state["file"]:
        raise InvalidInputError(
            f"{place(path)} names {value(state['file'])}, outside of its folder; {advice}."
        )
    return state
