"""Memory modes: which is chosen, and what happens when memory runs out in the middle of a chunk."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.common.errors import EngineNotReadyError  # noqa: E402
from lyra.common.progress import SILENT  # noqa: E402
from lyra.engines.lyra2 import memory_modes  # noqa: E402
from lyra.engines.lyra2.engine import Lyra2Engine  # noqa: E402
from lyra.engines.lyra2.memory_modes import (  # noqa: E402
    LADDER,
    DeviceMemory,
    Footprint,
    Placement,
    choose_placement,
)
from lyra.engines.lyra2.settings import Lyra2Settings  # noqa: E402
from tests.engines.lyra2.parts import path, seed_view, tiny_parts  # noqa: E402

GB = 10**9
# The published network at 832x480, with DA3, CLIP and VAE beside it; the text encoder works alone.
PUBLISHED = Footprint.of_network(17_029_871_424, 40, 5120, 13824, 38_246, others=12 * GB, stage=12 * GB)
GUIDED = Lyra2Settings("unipc", steps=2, guidance=3.0)


@pytest.mark.parametrize(
    ("free", "mode", "expected"),
    [
        (140, None, Placement("resident", True, True)),
        (80, None, Placement("resident", True, True)),
        (48, None, Placement("resident", False, False)),
        (32, None, Placement("fp8", False, False)),
        (20, None, Placement("offload", False, True)),
        (80, "offload", Placement("offload", True, True)),
        (24, "resident", Placement("resident", False, False)),
        (1, None, Placement("offload", False, False)),
    ],
)
def test_the_fastest_placement_that_fits_is_chosen(free, mode, expected):
    assert choose_placement(PUBLISHED, free * GB, mode) == expected


@pytest.mark.parametrize("free", [16, 24])
def test_another_model_that_does_not_fit_leaves_the_network_a_way_down(free):
    """26 GB are what Depth Anything 3 takes."""
    large = replace(PUBLISHED, stage=26 * GB)
    assert choose_placement(large, free * GB) == LADDER[-1]
    memory = DeviceMemory({"transformer": torch.nn.Linear(1, 1)}, torch.device("cpu"), LADDER[0], large)
    memory.step_down("full")
    assert memory.placement == LADDER[1]


def test_needs_shrink_down_the_ladder_of_one_mode():
    for mode in ("resident", "fp8", "offload"):
        needs = [PUBLISHED.needed(placement) for placement in LADDER if placement.mode == mode]
        assert needs[0] > needs[1] > needs[3]
    assert 30 * GB < PUBLISHED.weights < 35 * GB


class Scarce:
    """Runs out of memory in the network's passes from number `first` on, until `enough` says that it does not."""

    def __init__(self, engine, enough, first=2):
        self.engine, self.enough, self.first = engine, enough, first
        self.passes = self.failures = 0
        engine.parts.transformer.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        self.passes += 1
        if self.passes >= self.first and not self.enough(self.engine.models.placement):
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture(scope="module")
def begun():
    """A world of one frame; making a chunk leaves it as it is."""
    return Lyra2Engine(tiny_parts(), GUIDED).begin(seed_view())


def latents_by(engine, state):
    cameras = path()[1:81]
    return engine.make_chunk(state, cameras.w2c, cameras.intrinsics, "a wall", 5).sampled


@pytest.fixture(scope="module")
def undisturbed(begun):
    return latents_by(Lyra2Engine(tiny_parts(), GUIDED), begun)


def test_one_branch_at_a_time_gives_the_same_frames(begun, undisturbed):
    engine = Lyra2Engine(tiny_parts(), GUIDED)
    scarce = Scarce(engine, lambda placement: not placement.batched)
    latents = latents_by(engine, begun)
    assert scarce.failures == 1
    assert engine.models.placement == Placement("resident", True, False)
    (note,) = engine.models.taken_notes()
    assert "one branch of guidance at a time" in note
    torch.testing.assert_close(latents, undisturbed, atol=1e-4, rtol=1e-4)
    # Said once.
    assert engine.models.taken_notes() == ()


@pytest.mark.parametrize("mode", ["fp8", "offload"])
def test_the_next_mode_takes_over_within_the_chunk(begun, undisturbed, mode):
    engine = Lyra2Engine(tiny_parts(), GUIDED)
    scarce = Scarce(engine, lambda placement: placement.mode == mode)
    latents = latents_by(engine, begun)
    assert engine.models.placement == Placement(mode, True, True)
    assert scarce.failures == LADDER.index(engine.models.placement)
    assert mode != "fp8" or "8 bits" in engine.models.taken_notes()[-1]
    # Weights in eight bits are coarser; nothing else is different.
    assert 0 < (latents - undisturbed).abs().mean() < 0.1 * undisturbed.std()


def test_offload_alone_gives_the_same_frames(begun, undisturbed):
    engine = Lyra2Engine(tiny_parts(placement=Placement("offload", False, True)), GUIDED)
    torch.testing.assert_close(latents_by(engine, begun), undisturbed, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        NotImplementedError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_without_room_for_previews_the_chunk_goes_on(begun, undisturbed, monkeypatch, error):
    monkeypatch.setattr("lyra.engines.lyra2.engine.PREVIEW_SECONDS", 0.0)
    engine = Lyra2Engine(tiny_parts(), GUIDED)
    vae = engine.parts.vae
    decode = vae.decode

    def without_room(latents, *cache):
        if latents.shape[2] == 1:
            raise error
        return decode(latents, *cache)

    monkeypatch.setattr(vae, "decode", without_room)
    chunk = engine.extend(engine.begin(seed_view()), path()[1:81], "a wall", 5, SILENT)
    assert chunk.notes == ("The memory of cpu has no room for previews beside the network.",)
    assert np.array_equal(chunk.state["sampled"], undisturbed[0].numpy())


def test_nothing_smaller_is_a_failure_that_says_what_to_do(begun):
    engine = Lyra2Engine(tiny_parts(placement=LADDER[-1]), GUIDED)
    Scarce(engine, lambda placement: False)
    with pytest.raises(EngineNotReadyError, match=r"memory of cpu is not enough.*2\.00 GiB.*'preview'"):
        latents_by(engine, begun)


def test_the_way_down_skips_what_needs_as_much():
    needs = {Placement("resident", True, True): 5, Placement("resident", False, False): 3}

    class Known:
        def sampling(self, placement):
            return needs.get(placement, 5)

    models = {"transformer": torch.nn.Linear(1, 1)}
    memory = DeviceMemory(models, torch.device("cpu"), footprint=Known())
    memory.step_down("full")
    assert memory.placement == Placement("resident", False, False)
    with pytest.raises(EngineNotReadyError):
        memory.step_down("full")


def test_models_that_take_turns_are_let_go():
    parts = tiny_parts(placement=Placement("resident", False, True))
    engine = Lyra2Engine(parts, GUIDED)
    parts.text_encoder.encode("a wall")
    assert parts.text_encoder.loaded
    engine.models.use("transformer")
    assert not parts.text_encoder.loaded


def test_nothing_holds_the_models_when_memory_is_given_back(monkeypatch):
    engine = Lyra2Engine(tiny_parts(placement=Placement("offload", False, True)), GUIDED)
    network, held = weakref.ref(engine.parts.transformer), []

    def looked_at(device):
        gc.collect()
        held.append(network() is not None)

    monkeypatch.setattr(memory_modes, "give_back", looked_at)
    engine.close()
    assert held == [False]


class Crowded:
    """The first calls fail until the network has been asked to make room for the model that works."""

    def __init__(self, engine, model, method):
        self.engine, self.work, self.roomy = engine, getattr(model, method), False
        make_room = engine.models._make_room

        def noted(name):
            self.roomy |= name == "transformer"
            make_room(name)

        engine.models._make_room = noted
        setattr(model, method, self)

    def __call__(self, *arguments):
        if not self.roomy:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.work(*arguments)


@pytest.mark.parametrize(
    ("model", "method", "work"),
    [
        ("text_encoder", "encode", lambda engine: engine.announce(["a wall"])),
        ("vae", "encode", lambda engine: engine.begin(seed_view())),
    ],
)
def test_a_model_that_is_tried_again_finds_the_room_that_was_made(model, method, work):
    engine = Lyra2Engine(tiny_parts(), GUIDED)
    Crowded(engine, getattr(engine.parts, model), method)
    work(engine)
    # No further down than where models take turns.
    assert engine.models.placement == Placement("resident", False, True)
