"""One step of the depth network's training after another: losses, optimiser, mean of the weights, checkpoint.

The learning rate warms up, then falls with the root of the steps, which does not depend on how long the run will be;
the last part of every run cools it down to nothing. What is evaluated and shipped is the running mean of the weights.
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
from lyra.depth.colormap import shaded
from lyra.depth.metrics import absolute_relative, field_of_view, overlap, sampled_ordinal_error
from lyra.depth.network import EPSILON
from lyra.training.depth.all_reduce import AllReduce
from lyra.training.depth.data import Shard
from lyra.training.depth.losses import Weights, target_from, terms, total
from lyra.training.depth.network import DepthNet, export, inputs_from
from lyra.training.depth.report import draw_sheet
from lyra.training.depth.variation import recoloured

# (height, width): mostly small, for many pictures in a short time, and as the network reads the whole of a picture; a
# few larger ones, as it reads the detail. It is evaluated on the first.
SIZES = 5 * ((96, 160),) + 4 * ((80, 128),) + 2 * ((112, 144),) + 2 * ((128, 96),) + ((128, 224), (160, 272))
# So many steps in a row without a finite gradient are no accident.
MAX_SKIPPED = 20


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
    # Short enough for the mean to follow the cooldown to its end.
    mean_over: int = 300
    report_every: int = 300
    shards: int = 300
    held_out: int = 48
    workers: int = 1
    processes: int = 1
    sizes: tuple[tuple[int, int], ...] = SIZES


class Trainer:
    """Network, optimiser, mean of the weights, and their checkpoint in a folder."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        device: str = "cpu",
        seed: int = 0,
        rank: int = 0,
        all_reduce: AllReduce | None = None,
    ):
        """`rank` of the processes that meet in `all_reduce`; the first is the one that decides and reports."""
        torch.manual_seed(seed)
        self.rank, self.all_reduce, self.seed = rank, all_reduce, seed
        self.over, self.share, self.skipped = False, 0.0, 0
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

    def learn(
        self, batch: Shard, rng: np.random.Generator, share_used: float, last: bool = False
    ) -> dict[str, float]:
        """One step on a batch, the `last` or not; the terms of its loss.

        Of several processes the first says how far the run is; `over` is set in all of them after its last step.
        Raises FloatingPointError when gradients have not been finite for MAX_SKIPPED steps.
        """
        images, depth, focal, up = (
            torch.from_numpy(values).to(self.device)
            for values in (batch.images, batch.depth, batch.focal, batch.up)
        )
        inputs = inputs_from(recoloured(images, rng))
        target = target_from(depth.float(), focal.float(), up.float())
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            prediction = self.model(inputs)
        parts = terms(*prediction, target)
        loss = total(parts, Weights())
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
                f"The gradients are not finite since step {self.step - self.skipped + 1}; "
                "go on from the last checkpoint with --resume and another --seed."
            )
        self.step += 1
        self.seen += len(batch.images) * self.settings.processes
        # Read at once: each reading waits for the device.
        return dict(zip(("loss", *parts), torch.stack([loss, *parts.values()]).tolist(), strict=True))

    def _synchronise(self, share_used: float, last: bool) -> tuple[float, bool]:
        """Gives every process the mean gradient, and what the first of them says of the run."""
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
        """The learning rate now, when `share_used` of this run is over."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / settings.warmup)
        slow = math.sqrt(settings.plateau / max(self.step, settings.plateau))
        cool = min(1.0, (1 - share_used) / settings.cooldown) if settings.cooldown else 1.0
        return settings.rate * warm * slow * max(cool, 0.01)

    @torch.no_grad()
    def _update_mean(self) -> None:
        """The mean of the weights takes a step toward them, a larger one in the beginning."""
        share = max(1 / self.settings.mean_over, 1 / (self.step / 4 + 1))
        values = [
            [value for value in model.state_dict().values() if value.dtype.is_floating_point]
            for model in (self.mean, self.model)
        ]
        get_ema_multi_avg_fn(1 - share)(*values, None)

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
