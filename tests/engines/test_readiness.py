import dataclasses
import json
from types import SimpleNamespace

import pytest

from lyra.common.errors import InvalidInputError
from lyra.engines import readiness as module
from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.engines.planning import model_bytes, pinned_bytes, plan, plan_depth
from lyra.engines.readiness import engine_state
from lyra.hub import DEPTH_MODELS, ITEMS, AcceptedLicences, Weights, packages
from lyra.hub.machine import Machine, matmul_rate, this_machine
from lyra.hub.units import bytes_text, seconds_text

H200 = Machine("cuda", "NVIDIA H200", 150_000_000_000, 128_000_000_000)
SMALL = Machine("cuda", "Small GPU", 8_000_000_000, 32_000_000_000)
CPU = Machine("cpu", "CPU with 2 cores", 24_000_000_000, 24_000_000_000)


@pytest.fixture
def empty(tmp_path) -> Weights:
    return Weights(tmp_path / "empty")


@pytest.fixture
def with_packages(monkeypatch):
    for place in (module, packages):
        monkeypatch.setattr(place, "missing_packages", lambda modules: ())


def test_the_way_to_a_ready_engine(empty, weights, tmp_path, with_packages):
    accepted = AcceptedLicences(tmp_path / "settings of nobody")
    state = engine_state("lyra2", None, empty, accepted, H200)
    assert state.status == "needs_licence" and state.licences == ("nvidia-lyra-2.0",)
    assert state.download_bytes == pytest.approx(93e9, rel=0.01)
    accepted.accept("nvidia-lyra-2.0")
    state = engine_state("lyra2", None, empty, accepted, H200)
    assert state.status == "needs_download"
    assert state.text == "Needs download of 93 GB: lyra models download lyra2"
    state = engine_state("lyra2", None, weights, accepted, H200)
    assert state.status == "needs_conversion" and state.download_bytes == 0
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    from lyra.engines.lyra2.conversion import convert

    convert(weights)
    for engine_id in ("lyra2", "lyra2-fast"):
        state = engine_state(engine_id, None, weights, accepted, H200)
        assert state.ready and state.text == "Ready on NVIDIA H200."


def test_the_checkpoint_may_go_after_the_conversion(weights, licences, with_packages):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    from lyra.engines.lyra2.conversion import convert

    convert(weights, "lyra2-fp8")
    for file in weights.path("lyra2-checkpoint").iterdir():
        file.unlink()
    assert engine_state("lyra2", None, weights, licences, H200).ready
    # The distillation is merged from bf16.
    state = engine_state("lyra2-fast", None, weights, licences, H200)
    assert state.status == "needs_download" and state.missing == ("lyra2-checkpoint",)


def test_a_truncated_file_asks_for_its_download(weights, licences, with_packages):
    file = next(weights.path("wan-text-encoder").glob("model-00002-*"))
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:100])
    state = engine_state("lyra2", None, weights, licences, H200)
    assert state.status == "needs_download" and state.missing == ("wan-text-encoder",)
    assert state.download_bytes == size


def test_machines_that_cannot(empty, licences, with_packages):
    state = engine_state("lyra2", None, empty, licences, SMALL)
    assert state.status == "needs_gpu"
    assert state.text == "Needs a CUDA GPU with at least 16 GB; Small GPU has 8.0 GB."
    state = engine_state("lyra2", None, empty, licences, CPU)
    assert state.status == "needs_gpu" and "this machine has none" in state.text
    assert engine_state("lyra2", "cuda", empty, licences, CPU).status == "needs_gpu"
    # Who asks for the CPU gets it.
    assert engine_state("lyra2", "cpu", empty, licences, CPU).status == "needs_download"


def test_a_small_network_runs_on_a_cpu(weights, licences, with_packages):
    assert engine_state("lyra2", None, weights, licences, CPU).status == "needs_conversion"


def test_missing_packages_come_before_downloads(empty, licences, monkeypatch):
    monkeypatch.setattr(module, "missing_packages", lambda modules: ("diffusers",))
    state = engine_state("lyra2", None, empty, licences, H200)
    assert state.status == "needs_packages"
    assert "diffusers" in state.text and "pip install 'lyra-worlds[lyra2]'" in state.text


def test_the_best_depth_model_that_is_there_is_taken(weights, licences, with_packages):
    assert engine_state("lyra2", None, weights, licences, H200).depth == "depth-anything-v2"
    place = weights.repository("depth-anything/DA3NESTED-GIANT-LARGE-1.1")
    place.mkdir()
    for name in ("config.json", "model.safetensors"):
        (place / name).write_bytes(b"{}")
    state = engine_state("lyra2", None, weights, licences, H200)
    assert state.depth == "depth-anything-3"
    # One without room on the GPU is not taken.
    small = Machine("cuda", "GPU", 24 * 10**9, None)
    assert engine_state("lyra2", None, weights, licences, small).depth == "depth-anything-v2"
    assert engine_state("lyra2", None, weights, AcceptedLicences(weights.root), H200).licences == (
        "nvidia-lyra-2.0",
        "cc-by-nc-4.0",
    )


def test_unknown_engine(empty):
    with pytest.raises(InvalidInputError, match="'lyra3'"):
        engine_state("lyra3", weights=empty)


def test_the_plan_of_the_published_network(empty, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    monkeypatch.setattr("lyra.engines.planning.matmul_rate", lambda device: 700e12)
    made = plan("lyra2", weights=empty, machine=H200)
    assert made.download == pytest.approx(93e9, rel=0.01)
    assert made.conversion == pytest.approx(34.06e9, rel=0.001)
    assert made.memory_mode.startswith("the network on the GPU as it is")
    assert 34e9 < made.memory < H200.memory
    fast = plan("lyra2-fast", weights=empty, machine=H200)
    assert made.seconds / fast.seconds == pytest.approx(71.5 / 5.5)
    json.dumps(dataclasses.asdict(made))
    assert any("per 80 frames of 832x480" in line for line in made.lines)


def test_smaller_gpus_get_smaller_modes(empty, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    monkeypatch.setattr("lyra.engines.planning.matmul_rate", lambda device: None)
    needed = []
    for gigabytes in (140, 48, 24):
        made = plan("lyra2", weights=empty, machine=Machine("cuda", "GPU", gigabytes * 10**9, 128 * 10**9))
        assert made.memory < gigabytes * 10**9 and made.seconds is None
        needed.append(made.memory)
    assert needed == sorted(needed, reverse=True)
    assert "block by block" in made.memory_mode


def test_a_depth_model_that_does_not_fit_is_said(empty):
    gpu = Machine("cuda", "GPU", 16 * 10**9, 64 * 10**9)
    made = plan_depth("depth-anything-3", weights=empty, machine=gpu)
    assert any(f"GPU has 16 GB, and {bytes_text(made.memory)} are needed" in note for note in made.notes)
    # The weights alone go through RAM.
    assert made.ram < made.memory
    assert not plan_depth("depth-anything-v2-large", weights=empty, machine=gpu).notes


def test_the_engine_s_plan_counts_what_the_depth_model_needs_at_work(empty):
    sizes = {name: model_bytes(empty, name, (480, 832)) for name in DEPTH_MODELS}
    others, stage = sizes["depth-anything-3"]
    assert stage == ITEMS["depth-anything-3"].memory > sizes["depth-anything-v2"][1]
    assert others - sizes["depth-anything-v2"][0] == 6_760_000_000 - 198_000_000
    assert model_bytes(empty, "depth-anything-3", (240, 416))[1] < stage


def test_the_plan_names_what_stands_in_the_way(empty, monkeypatch):
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    monkeypatch.setattr("lyra.engines.planning.matmul_rate", lambda device: 1e12)
    made = plan("lyra2", weights=empty, machine=SMALL)
    assert any("8.0 GB" in note for note in made.notes)
    assert any("RAM" in note for note in made.notes)


def test_this_machine_is_measured():
    machine = this_machine("cpu")
    assert machine.device == "cpu" and machine.ram > 1e9
    assert matmul_rate("cpu") > 1e8


def test_the_gpu_that_is_described_is_the_one_that_engines_run_on(empty, licences, monkeypatch):
    gpus = [SimpleNamespace(name=name, total_memory=size * 10**9) for name, size in (("A", 8), ("B", 80))]
    monkeypatch.setattr("warp.get_cuda_devices", lambda: gpus)
    machine = this_machine()
    assert (machine.device, machine.name, machine.memory, machine.gpus) == ("cuda", "A", 8 * 10**9, 2)
    text = engine_state("lyra2", None, empty, licences, machine).text
    assert "A has 8.0 GB" in text and "CUDA_VISIBLE_DEVICES" in text


def test_units():
    assert [bytes_text(n) for n in (12, 1500, 2.5e6, 68.1e9)] == ["12 bytes", "1.5 kB", "2.5 MB", "68 GB"]
    assert [seconds_text(n) for n in (4, 45, 300, 9000, 1e6)] == [
        "4.0 seconds", "45 seconds", "5 minutes", "2 hours", "12 days",
    ]  # fmt: skip


def test_a_network_that_waits_in_pinned_memory_takes_more_of_it(empty, monkeypatch):
    """Of the published one, matrices of 52 and 142 MB take 67 and 268 MB."""
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    monkeypatch.setattr("lyra.engines.planning.matmul_rate", lambda device: None)
    assert pinned_bytes(NetworkConfig()) == pytest.approx(50e9, rel=0.02)
    made = plan("lyra2", weights=empty, machine=Machine("cuda", "GPU", 24 * 10**9, 48 * 10**9))
    assert made.ram > 50e9
    assert any("RAM" in note for note in made.notes)
