"""The engine as the product makes it: from a weights folder in the published layouts, in miniature."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from PIL import Image  # noqa: E402

from lyra.common.errors import CancelledError, EngineNotReadyError, InvalidInputError  # noqa: E402
from lyra.common.progress import Progress  # noqa: E402
from lyra.engines import available_engines, create_engine  # noqa: E402
from lyra.engines.lyra2 import components, memory_modes  # noqa: E402
from lyra.engines.lyra2.components import load_components, network_folder  # noqa: E402
from lyra.engines.lyra2.engine import Lyra2Engine  # noqa: E402
from lyra.engines.lyra2.memory_modes import Placement  # noqa: E402
from lyra.engines.lyra2.settings import Lyra2Settings  # noqa: E402
from lyra.engines.lyra2.vae import load_vae  # noqa: E402
from lyra.engines.lyra2.weights import load_transformer  # noqa: E402
from lyra.hub import LICENCES, AcceptedLicences, MirrorSource, Weights, download  # noqa: E402
from lyra.hub.catalog import needs  # noqa: E402
from lyra.pipeline.create import create_world  # noqa: E402
from lyra.pipeline.extend import extend_world, resume_world  # noqa: E402
from lyra.world.folder import World  # noqa: E402
from lyra.world.options import EngineOptions  # noqa: E402
from tests.engines.lyra2.parts import path  # noqa: E402
from tests.miniature import install_miniature, write_miniature  # noqa: E402

SIZE = (64, 64)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A weights folder in miniature."""
    folder = tmp_path_factory.mktemp("lyra2")
    return install_miniature(folder / "weights", write_miniature(folder / "mirror"), folder / "settings")


@pytest.fixture
def ready(installed, tmp_path, monkeypatch):
    """The weights folder is the user's, and all licences are accepted."""
    monkeypatch.setenv("LYRA_WEIGHTS", str(installed))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for licence in LICENCES:
        AcceptedLicences().accept(licence)
    return Weights()


def seeded(folder, engine):
    picture = folder.parent / f"{folder.name}.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(picture)
    return create_world(
        folder, picture, engine=engine, depth="builtin", size=SIZE, lens=path(), seed=3, device="cpu"
    )


def test_a_world_cancelled_resumed_reverted_and_extended_again(ready, tmp_path):
    world = seeded(tmp_path / "world", "lyra2")
    assert "research and development" in world.settings.license
    chosen = {"options": EngineOptions(steps=1, guidance=2.0), "device": "cpu"}
    texts = {0: "a wall", 81: "a hall"}
    after_one = Progress(cancelled=lambda: len(World.open(world.folder).chunks) == 1)
    with pytest.raises(CancelledError):
        extend_world(world, path(), captions=texts, progress=after_one, **chosen)
    world = World.open(world.folder)
    assert world.load_plan().options == chosen["options"] and world.frames == 81
    assert resume_world(world, device="cpu") is not None
    assert [chunk.prompt for chunk in world.chunks] == ["a wall", "a hall"]
    frames, depth = world.chunks[1].load_frames(), world.chunks[1].load_depth()
    world.revert(1)
    extend_world(world, path()[80:], captions=texts, **chosen)
    np.testing.assert_array_equal(world.chunks[1].load_frames(), frames)
    np.testing.assert_array_equal(world.chunks[1].load_depth(), depth)


def test_the_distilled_engine_has_the_distillation_merged(ready):
    plain = load_components(Lyra2Settings(), CPU, ready).transformer.state_dict()
    distilled = load_components(Lyra2Settings("dmd"), CPU, ready).transformer.state_dict()
    changed = {key for key in plain if not torch.equal(plain[key], distilled[key])}
    assert changed and all("blocks" in key or "embed" in key or "proj" in key for key in changed)


def test_style_files_are_merged_when_they_are_asked_for_and_there(ready):
    settings = Lyra2Settings.of("lyra2", EngineOptions(styles=0.4))
    with pytest.raises(EngineNotReadyError, match="lyra models download"):
        load_components(settings, CPU, ready)
    download(needs("lyra2-styles").items, ready, MirrorSource(ready.root.parent / "mirror"))
    plain = load_components(Lyra2Settings(), CPU, ready).transformer.state_dict()
    styled = load_components(settings, CPU, ready).transformer.state_dict()
    assert any(not torch.equal(plain[key], styled[key]) for key in plain)


def test_modes_as_they_are_chosen(ready):
    for mode in ("fp8", "offload"):
        parts = load_components(Lyra2Settings(memory_mode=mode), CPU, ready)
        assert parts.placement == Placement(mode)
        types = {parameter.dtype for parameter in parts.transformer.parameters()}
        assert (torch.float8_e4m3fn in types) == (mode == "fp8")
    # Without its own conversion, eight bits are made of the sixteen.
    assert network_folder(ready, "fp8", merges=False) == ready.path("lyra2-bf16")


@pytest.fixture
def gpu(ready, monkeypatch):
    """Stands in for a GPU of 80 GB: the parts stay on the CPU. A list of what was done with its memory, in order."""
    done = []

    def measured(device):
        done.append("measured")
        return 80 * 10**9, 85 * 10**9

    def load_network(folder, dtype, device, loras, float8):
        done.append("8 bits" if float8 else str(device))
        return load_transformer(folder, dtype, CPU, loras, float8=float8)

    monkeypatch.setattr(torch.cuda, "mem_get_info", measured)
    for module in (components, memory_modes):
        monkeypatch.setattr(module, "give_back", lambda device: done.append("given back"))
    monkeypatch.setattr(components, "load_transformer", load_network)
    monkeypatch.setattr(components, "load_vae", lambda folder, dtype, device: load_vae(folder, dtype, CPU))
    return done


def test_what_an_engine_before_left_behind_is_given_back_before_memory_is_measured(ready, gpu):
    parts = load_components(Lyra2Settings(), torch.device("cuda"), ready)
    assert parts.placement == Placement()
    assert gpu == ["given back", "measured", "cuda"]


def out_of_room(monkeypatch, *full):
    """Memory runs out where `full`, as the stand-in for a GPU calls them, is loaded."""
    load = components.load_transformer

    def crowded(folder, dtype, device, loras, float8):
        network = load(folder, dtype, device, loras, float8)
        if ("8 bits" if float8 else str(device)) in full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of it.")
        return network

    monkeypatch.setattr(components, "load_transformer", crowded)


def test_the_next_mode_is_loaded_where_memory_runs_out(ready, gpu, monkeypatch):
    out_of_room(monkeypatch, "cuda", "8 bits")
    parts = load_components(Lyra2Settings(memory_mode="resident"), torch.device("cuda"), ready)
    assert [step for step in gpu if step != "measured"] == [
        "given back", "cuda", "given back", "8 bits", "given back", "cpu",
    ]  # fmt: skip
    assert parts.placement == Placement("offload")
    assert ["in 8 bits" in note for note in parts.notes] == [True, False] and "block by block" in parts.notes[
        1
    ]
    assert Lyra2Engine(parts).models.taken_notes() == parts.notes


def test_memory_that_is_not_enough_for_any_mode_is_said(ready, gpu, monkeypatch):
    out_of_room(monkeypatch, "cuda", "8 bits", "cpu")
    with pytest.raises(
        EngineNotReadyError, match=r"even with.*block by block \(CUDA out of.*GiB\.\)\. Close"
    ):
        load_components(Lyra2Settings(), torch.device("cuda"), ready)


def test_engines_say_whether_they_are_ready(ready):
    states = {info.id: info for info in available_engines("cpu")}
    assert states["lyra2"].ready and states["lyra2-fast"].ready and not states["lyra2"].reason
    with pytest.raises(InvalidInputError, match=r"steps is 9.*'lyra2-fast'"):
        create_engine("lyra2-fast", "cpu", EngineOptions(steps=9))
    with pytest.raises(InvalidInputError, match=r"memory_mode is fp8.*'preview'"):
        create_engine("preview", "cpu", EngineOptions(memory_mode="fp8"))
    AcceptedLicences().file.unlink()
    with pytest.raises(EngineNotReadyError, match=r"Engine 'lyra2' is not ready.*lyra models licence"):
        create_engine("lyra2", "cpu")
