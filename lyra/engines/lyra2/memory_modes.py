"""Placement of models on the device while a chunk is generated, and fallbacks when device memory runs out.

The network dominates: 17 billion parameters are 34 GB in bfloat16. "resident" keeps it on the device as it is,
"fp8" stores its weights in eight bits and computes in its own type, "offload" keeps it in the computer's memory and
brings block after block, the next one while the present one computes. Where the device is large, the other models
stay beside it; otherwise they take turns. When memory runs out all the same, the next smaller placement takes over
and the work that failed is done again: finished steps and chunks are not lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from lyra.common.errors import EngineNotReadyError
from lyra.engines.lyra2.allocation import give_back, give_back_device, out_of_memory, pin, unpin
from lyra.hub.machine import PLANNED_SHARE
from lyra.world.options import MEMORY_MODES

Result = TypeVar("Result")
_log = logging.getLogger(__name__)

DESCRIPTIONS = {
    "resident": "the network on the GPU as it is",
    "fp8": "the network on the GPU with weights in 8 bits",
    "offload": "the network brought to the GPU block by block",
}
# Blocks that are on the device at once when they are brought one by one: one computes, one comes, one goes.
OFFLOADED_BLOCKS = 3


@dataclass(frozen=True)
class Placement:
    """`mode` is one of MEMORY_MODES; `together`: all models stay on the device; `batched`: both branches of guidance
    go through the network at once.
    """

    mode: str = "resident"
    together: bool = True
    batched: bool = True

    def __str__(self) -> str:
        parts = [DESCRIPTIONS[self.mode]]
        if not self.together:
            parts.append("the other models taking turns with it")
        if not self.batched:
            parts.append("one branch of guidance at a time")
        return ", ".join(parts)


# From the fastest to the one that needs least.
LADDER = tuple(
    Placement(mode, together, batched)
    for mode in MEMORY_MODES
    for together in (True, False)
    for batched in (True, False)
)


@dataclass(frozen=True)
class Footprint:
    """What the models need, in bytes: estimates from sizes, to be put right by what happens.

    `weights` of the network in its own type, `block` of one of its blocks, `branch` is what one branch of guidance
    needs while it computes, `chunk` what both share. `others`: the weights of all other models; `stage`: the most that
    one of them needs, weights included, while it works.
    """

    weights: int
    block: int
    branch: int
    chunk: int
    others: int
    stage: int

    @classmethod
    def of_network(
        cls, parameters: int, layers: int, dim: int, ffn_dim: int, tokens: int, others: int, stage: int
    ) -> Footprint:
        """Of a network in bfloat16 whose chunks have `tokens` tokens.

        Per token a block holds at its peak about eight rows of its width, two of the feed-forward's, and two rows of
        its width in float32; what the chunk keeps are 256 numbers of geometry per block.
        """
        branch = tokens * (2 * (8 * dim + 2 * ffn_dim) + 2 * 4 * dim)
        return cls(2 * parameters, 2 * parameters // layers, branch, 2 * 256 * layers * tokens, others, stage)

    def needed(self, placement: Placement) -> int:
        """Bytes on the device at the peak of a chunk."""
        kept = self._network(placement) if placement.together or placement.mode == "offload" else 0
        return max(self.sampling(placement), kept + self.stage)

    def sampling(self, placement: Placement) -> int:
        """Bytes on the device while the network computes."""
        step = self._network(placement) + self.chunk + self.branch * (2 if placement.batched else 1)
        return step + (self.others if placement.together else 0)

    def _network(self, placement: Placement) -> int:
        return {
            "resident": self.weights,
            "fp8": self.weights // 2 + self.block,
            "offload": OFFLOADED_BLOCKS * self.block,
        }[placement.mode]


def choose_placement(footprint: Footprint, free: int, mode: str | None = None) -> Placement:
    """The fastest placement that fits into `free` bytes, of `mode` when it is given.

    Where none fits, the one whose network needs least: estimates may be wrong, and the way down is guarded.
    """
    candidates = [placement for placement in LADDER if mode in (None, placement.mode)]
    fitting = [p for p in candidates if footprint.needed(p) <= PLANNED_SHARE * free]
    return fitting[0] if fitting else min(candidates, key=footprint.sampling)


def load_with_room(
    load: Callable[[Placement], Result], placement: Placement, footprint: Footprint, device: torch.device
) -> tuple[Result, Placement, tuple[str, ...]]:
    """What `load` gives for `placement`, or for one of the next mode whenever the device's memory runs out.

    With it the placement that it was, and notes for the user. Raises EngineNotReadyError when there is no next mode.
    """
    notes: list[str] = []
    while True:
        try:
            return load(placement), placement, tuple(notes)
        except RuntimeError as error:
            reason = out_of_memory(error)
            if reason is None:
                raise
        # As in `DeviceMemory.attempt`: not before the error has let go of what was loaded.
        give_back(device)
        smaller = MEMORY_MODES[MEMORY_MODES.index(placement.mode) + 1 :]
        if not smaller:
            raise _not_enough(device, placement, reason)
        # Of a mode it makes no difference to loading what takes turns.
        placement = choose_placement(footprint, torch.cuda.mem_get_info(device)[0], smaller[0])
        note = f"The memory of {device} ran out while models were loaded; going on with {placement}."
        _log.warning("%s (%s)", note, reason)
        notes.append(note)


def _not_enough(device: torch.device, placement: Placement, reason: str) -> EngineNotReadyError:
    return EngineNotReadyError(
        f"The memory of {device} is not enough even with {placement} ({reason}). "
        "Close other programs that use the GPU, make the world smaller, or use the engine 'preview'."
    )


@runtime_checkable
class Releasable(Protocol):
    """A model that gives its memory back and loads itself again when it is needed."""

    def release(self) -> None: ...


def stores_float8(module: torch.nn.Module) -> bool:
    """Whether some weights lie in float8; layerwise casting is on then."""
    return any(parameter.dtype is torch.float8_e4m3fn for parameter in module.parameters())


class DeviceMemory:
    """Moves the models of one engine. `models` are by name, "transformer" among them; what cannot move stays.

    `notes` collects what the user should know; the engine hands it on with the chunk.
    """

    def __init__(
        self,
        models: dict[str, Any],
        device: torch.device,
        placement: Placement | None = None,
        footprint: Footprint | None = None,
    ):
        self.models, self.device, self.footprint = models, device, footprint
        self.placement = Placement()
        self.notes: list[str] = []
        self._casting = stores_float8(models["transformer"])
        self._offloading = False
        self._enter(placement or Placement())

    def use(self, name: str) -> Any:
        """The model `name`, ready on the device; where they take turns, the others make room."""
        if not self.placement.together:
            for other in self.models.keys() - {name}:
                self._make_room(other)
        # Where the network is brought block by block, its hooks move it.
        if name == "transformer" and not self._offloading:
            self.models[name].to(self.device)
        return self.models[name]

    def attempt(self, work: Callable[[], Result]) -> Result:
        """The result of `work`, which is done again in a smaller placement whenever memory runs out.

        Raises EngineNotReadyError when there is no smaller one.
        """
        given_back = False
        while True:
            try:
                return work()
            except RuntimeError as error:
                reason = out_of_memory(error)
                if reason is None:
                    raise
                of_torch = isinstance(error, torch.OutOfMemoryError)
            # Only here: while the error is handled, its traceback keeps the tensors of the failed work alive.
            if of_torch or given_back:
                self.step_down(reason)
            else:
                # What torch holds for later use only torch itself can take.
                self._clear()
                given_back = True

    def step_down(self, reason: str) -> None:
        """Enters the next placement that needs less. Raises EngineNotReadyError when there is none."""
        smaller = LADDER[LADDER.index(self.placement) + 1 :]
        if self.footprint is not None:
            # Not of the whole chunk: where another model needs the most, that is the same in every placement.
            now = self.footprint.sampling(self.placement)
            smaller = tuple(p for p in smaller if self.footprint.sampling(p) < now)
        if not smaller:
            raise _not_enough(self.device, self.placement, reason)
        self._enter(smaller[0])
        note = f"The memory of {self.device} ran out; going on with {self.placement}."
        _log.warning("%s (%s)", note, reason)
        self.notes.append(note)

    def release(self, name: str) -> None:
        """Frees a model that loads itself again when it is needed; others stay where they are."""
        model = self.models[name]
        if isinstance(model, Releasable):
            model.release()

    def close(self) -> None:
        """Lets go of all models and gives the device's memory back, and what was pinned of the computer's."""
        self.models.clear()
        give_back(self.device)

    def taken_notes(self) -> tuple[str, ...]:
        """The notes since the last call."""
        notes = tuple(self.notes)
        self.notes.clear()
        return notes

    def _enter(self, placement: Placement) -> None:
        transformer = self.models["transformer"]
        if placement.mode == "fp8" and not self._casting:
            transformer.enable_layerwise_casting(torch.float8_e4m3fn, transformer.dtype)
            self._casting = True
        if placement.mode == "offload" and not self._offloading:
            transformer.to("cpu")
            streams = self.device.type == "cuda" and self._pin(transformer)
            transformer.enable_group_offload(
                onload_device=self.device,
                offload_device=torch.device("cpu"),
                offload_type="block_level",
                num_blocks_per_group=1,
                # With a stream diffusers would pin again.
                use_stream=streams,
            )
            self._offloading = True
        self.placement = placement
        self._clear()

    def _pin(self, transformer: torch.nn.Module) -> bool:
        """Whether the network could be pinned; it stays as it was where the system has too little for that."""
        try:
            pin(transformer)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
        else:
            return True
        unpin(transformer, self.device)
        note = (
            "The computer's memory has no room in which the network's weights can be pinned, so the GPU waits for each "
            f"block ({reason}). Close other programs to go faster."
        )
        _log.warning("%s", note)
        self.notes.append(note)
        return False

    def _make_room(self, name: str) -> None:
        model = self.models[name]
        if name == "transformer":
            if not self._offloading and self.device.type != "cpu":
                model.to("cpu")
                self._clear()
        # Of the rest only what can load itself again goes: the VAE is small, and previews need it beside the network.
        else:
            self.release(name)

    def _clear(self) -> None:
        give_back_device(self.device)
