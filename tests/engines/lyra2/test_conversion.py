import inspect
import io
import json
import os
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from lyra.common.errors import CancelledError, DiskFullError, EngineNotReadyError, InvalidInputError
from lyra.common.progress import Progress
from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.hub.catalog import CHECKPOINT

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from safetensors.torch import load_file  # noqa: E402

from lyra.engines.lyra2 import conversion as module  # noqa: E402
from lyra.engines.lyra2.checkpoint import open_checkpoint  # noqa: E402
from lyra.engines.lyra2.conversion import convert, network_shapes  # noqa: E402
from lyra.engines.lyra2.metadata import read_metadata  # noqa: E402
from lyra.engines.lyra2.names import stored_in_float8, to_module_key  # noqa: E402
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel  # noqa: E402
from tests.miniature import NETWORK, published_weights, training_state, write_distributed  # noqa: E402

GOLDENS = Path(__file__).parents[2] / "goldens"


@pytest.fixture
def checkpoint(weights) -> Path:
    """The downloaded checkpoint of this test."""
    return weights.path(CHECKPOINT)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {key: value for file in folder.glob("*.safetensors") for key, value in load_file(file).items()}


def read_all(path: Path) -> dict[str, torch.Tensor]:
    opened = open_checkpoint(path)
    return {key: opened.read(key) for key in opened.shapes}


def write_checkpoint(folder: Path, state: dict) -> Path:
    write_distributed(folder, state)
    (folder / "config.json").write_text(json.dumps(asdict(NETWORK)))
    return folder


def with_prefix(state: dict) -> dict:
    return {f"net.{key}": value for key, value in state.items()}


def test_the_network_s_configuration_without_torch_is_the_network_s():
    parameters = inspect.signature(Lyra2Transformer3DModel.__init__).parameters
    assert asdict(NetworkConfig()) == {name: p.default for name, p in parameters.items() if name != "self"}


def test_size_and_work_of_the_published_network():
    keys = json.loads((GOLDENS / "net_keys_14b.json").read_text())
    elements = sum(torch.Size(shape).numel() for key, shape in keys.items() if not key.startswith("accum_"))
    config = NetworkConfig()
    assert config.parameters == elements
    assert config.tokens(480, 832) == 38_246
    # About 2.2 PFLOP, published with this number of tokens.
    assert config.pass_flops(480, 832) == pytest.approx(2.2e15, rel=0.03)
    assert config.bytes_as("lyra2-bf16") == 2 * elements


def test_parameters_of_another_size_are_counted_too():
    shapes = network_shapes(NETWORK)
    assert NETWORK.parameters == sum(torch.Size(shape).numel() for shape in shapes.values())
    matrices = [k for k in shapes if stored_in_float8(k) and k.endswith(".weight")]
    assert NETWORK.block_matrices == sum(torch.Size(shapes[k]).numel() for k in matrices)


def test_split_tensors_are_joined(tmp_path):
    state = with_prefix(published_weights())
    write_distributed(tmp_path / "split", state | training_state())
    assert len(list((tmp_path / "split").glob("*.distcp"))) > 1
    pieces = {len(stored.pieces) for stored in read_metadata(tmp_path / "split").values()}
    assert pieces == {1, 2}
    found = read_all(tmp_path / "split")
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_bf16_is_the_published_weights_rounded_once(weights, checkpoint):
    folder = convert(weights)
    converted, published = tensors(folder), read_all(checkpoint)
    named = {to_module_key(key): value for key, value in published.items() if "accum" not in key}
    assert converted.keys() == named.keys()
    assert all(torch.equal(converted[key], value.bfloat16()) for key, value in named.items())


def test_the_converted_folder_is_a_diffusers_model(weights):
    folder = convert(weights)
    network = Lyra2Transformer3DModel.from_pretrained(folder, torch_dtype=torch.bfloat16)
    state, converted = network.state_dict(), tensors(folder)
    assert state.keys() == converted.keys()
    assert all(torch.equal(state[key], converted[key]) for key in state)


def test_fp8_keeps_all_but_the_large_projections_in_bf16(weights):
    wide, narrow = tensors(convert(weights)), tensors(convert(weights, "lyra2-fp8"))
    for key, value in wide.items():
        dtype = torch.float8_e4m3fn if stored_in_float8(key) else torch.bfloat16
        assert narrow[key].dtype == dtype
        tolerance = 2**-4 if dtype == torch.float8_e4m3fn else 0
        # Below the smallest normal number, 2^-6, steps are 2^-9.
        assert torch.allclose(
            narrow[key].float(), value.float(), rtol=tolerance, atol=2**-10 if tolerance else 0
        )


def test_a_single_pth_file_gives_the_same(weights, checkpoint, tmp_path):
    folder = convert(weights)
    expected = tensors(folder)
    shutil.rmtree(folder)
    file = tmp_path / "pth" / "network.pth"
    file.parent.mkdir()
    torch.save(read_all(checkpoint), file)
    shutil.copy(checkpoint / "config.json", file.parent)
    converted = tensors(convert(weights, source=file))
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[key], expected[key]) for key in expected)


def test_shards_stay_below_their_limit_and_are_indexed(weights):
    folder = convert(weights, shard_bytes=300_000)
    index = json.loads((folder / "diffusion_pytorch_model.safetensors.index.json").read_text())
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 3 and set(index["weight_map"].values()) == {shard.name for shard in shards}
    assert index["metadata"]["total_size"] == NETWORK.bytes_as("lyra2-bf16")
    largest = max(torch.Size(shape).numel() * 2 for shape in network_shapes(NETWORK).values())
    for shard in shards:
        held = load_file(shard)
        assert len(held) == 1 or sum(2 * value.numel() for value in held.values()) <= max(300_000, largest)


def test_a_stopped_conversion_keeps_its_finished_shards(weights):
    calls = 0

    def cancelled() -> bool:
        nonlocal calls
        calls += 1
        return calls > 60

    with pytest.raises(CancelledError):
        convert(weights, progress=Progress(cancelled=cancelled), shard_bytes=300_000)
    assert not weights.has("lyra2-bf16")
    kept = {p: p.stat().st_mtime_ns for p in (weights.root / "converted").rglob("*.safetensors")}
    assert kept
    folder = convert(weights, shard_bytes=300_000)
    assert all((folder / p.name).stat().st_mtime_ns == changed for p, changed in kept.items())
    whole = tensors(folder)
    shutil.rmtree(folder)
    again = tensors(convert(weights))
    assert all(torch.equal(whole[key], again[key]) for key in again)


def test_a_conversion_that_is_stopped_at_its_digests_makes_no_shard_again(weights):
    def listener(stage, fraction, frame):
        if stage == "checksums":
            raise CancelledError(stage)

    with pytest.raises(CancelledError):
        convert(weights, progress=Progress(listener), shard_bytes=300_000)
    kept = {p.name: p.stat().st_mtime_ns for p in (weights.root / "converted").rglob("*.safetensors")}
    folder = convert(weights, shard_bytes=300_000)
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.safetensors")} == kept
    assert not (folder / module.PLAN).exists()


def test_shards_of_another_checkpoint_are_not_kept(weights, tmp_path):
    with pytest.raises(CancelledError):
        calls = iter(range(1000))
        convert(weights, progress=Progress(cancelled=lambda: next(calls) > 60), shard_bytes=300_000)
    other = write_checkpoint(tmp_path / "other", with_prefix(published_weights()))
    converted = tensors(convert(weights, source=other, shard_bytes=300_000))
    expected = read_all(other)
    assert all(torch.equal(converted[to_module_key(k)], v.bfloat16()) for k, v in expected.items())


def test_a_conversion_that_is_there_is_left_alone(weights, checkpoint):
    folder = convert(weights)
    shutil.rmtree(checkpoint)
    assert convert(weights) == folder


def test_no_checkpoint_no_conversion(weights, checkpoint):
    shutil.rmtree(checkpoint)
    with pytest.raises(EngineNotReadyError, match="lyra models download lyra2-checkpoint"):
        convert(weights)


def test_the_disk_is_checked_before_anything_is_written(weights, monkeypatch):
    monkeypatch.setattr(module, "SPARE_BYTES", 10**18)
    with pytest.raises(DiskFullError, match="GB free and this needs about"):
        convert(weights)
    assert not list(weights.root.rglob("converted/**/*.safetensors"))


@pytest.fixture
def changed(weights, tmp_path):
    """Converts a checkpoint whose tensors were changed by a function."""

    def run(change, conversion_id="lyra2-bf16"):
        state = with_prefix(published_weights())
        change(state)
        return convert(weights, conversion_id, source=write_checkpoint(tmp_path / "changed", state))

    return run


def test_a_missing_key_is_named(changed):
    with pytest.raises(InvalidInputError, match=r"not the Lyra 2\.0 network: no 'blocks\.1\.ffn\.2\.weight'"):
        changed(lambda state: state.pop("net.blocks.1.ffn.2.weight"))


def test_an_unknown_key_is_named(changed):
    with pytest.raises(InvalidInputError, match=r"unknown key 'net\.blocks\.0\.emb_pos'"):
        changed(lambda state: state.update({"net.blocks.0.emb_pos": torch.ones(3)}))


def test_a_renamed_key_is_named_under_both_names(changed):
    def rename(state):
        state["net.head.haed.bias"] = state.pop("net.head.head.bias")

    with pytest.raises(
        InvalidInputError, match=r"unknown key 'net\.head\.haed\.bias'; no 'head\.head\.bias'"
    ):
        changed(rename)


def test_a_wrong_shape_is_quoted(changed):
    with pytest.raises(InvalidInputError, match=r"'net\.head\.head\.bias' is \[63\] and should be \[64\]"):
        changed(lambda state: state.update({"net.head.head.bias": torch.ones(63)}))


def test_a_weight_that_is_there_twice_is_named(changed):
    with pytest.raises(InvalidInputError, match="are the same weight"):
        changed(lambda state: state.update({"head.head.bias": torch.ones(64)}))


def test_values_beyond_float8_ask_for_bf16(changed):
    with pytest.raises(InvalidInputError, match=r"up to 500, beyond torch\.float8_e4m3fn.*--dtype bf16"):
        changed(lambda state: state["net.blocks.0.ffn.0.weight"].fill_(500.0), "lyra2-fp8")


def test_values_that_are_no_numbers_are_refused(changed):
    with pytest.raises(InvalidInputError, match="values up to nan"):
        changed(lambda state: state["net.blocks.0.ffn.0.weight"].fill_(torch.nan))


def test_an_unknown_conversion(weights):
    with pytest.raises(InvalidInputError, match=r"'lyra2-int4'.*lyra2-fp8"):
        convert(weights, "lyra2-int4")


class Evil:
    """Would make a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


def test_code_in_the_metadata_is_refused_and_not_run(weights, checkpoint, tmp_path):
    (checkpoint / ".metadata").write_bytes(pickle.dumps(Evil(tmp_path / "pwned")))
    with pytest.raises(InvalidInputError, match=r"refers to (posix|nt)\.mkdir.*may be meant to run code"):
        convert(weights, source=checkpoint)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "torch.load", "torch.distributed.checkpoint.metadata.os"])
def test_nothing_beyond_the_allowed_names_is_found(checkpoint, name):
    owner, attribute = name.rsplit(".", 1)
    (checkpoint / ".metadata").write_bytes(f"c{owner}\n{attribute}\n.".encode())
    with pytest.raises(InvalidInputError, match=f"refers to {name.replace('.', '[.]')}, which"):
        read_metadata(checkpoint)


def test_code_in_a_tensor_s_place_is_refused_and_not_run(weights, checkpoint, tmp_path):
    """The bytes that the metadata points to are replaced by a pickle of the same kind that holds code."""
    stored = read_metadata(checkpoint)["net.head.head.bias"].pieces[0]
    evil = io.BytesIO()
    torch.save(Evil(tmp_path / "pwned"), evil)
    file = checkpoint / stored.file
    data = bytearray(file.read_bytes())
    padded = evil.getvalue().ljust(stored.length, b"\0")[: stored.length]
    data[stored.start : stored.start + stored.length] = padded
    file.write_bytes(data)
    with pytest.raises(InvalidInputError, match="damaged or holds more than tensors"):
        open_checkpoint(checkpoint).read("net.head.head.bias")
    assert not (tmp_path / "pwned").exists()


def test_code_in_a_pth_file_is_refused_and_not_run(weights, tmp_path):
    torch.save({"net.head.head.bias": torch.ones(64), "extra": Evil(tmp_path / "pwned")}, tmp_path / "n.pth")
    with pytest.raises(InvalidInputError, match=r"n\.pth is damaged or holds more than tensors"):
        convert(weights, source=tmp_path / "n.pth")
    assert not (tmp_path / "pwned").exists()


def test_a_truncated_file_is_named(weights, checkpoint):
    file = checkpoint / "__0_1.distcp"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InvalidInputError, match=r"__0_1\.distcp has \d+ bytes.*it was cut off"):
        convert(weights, source=checkpoint)


def test_a_missing_file_is_named(checkpoint):
    (checkpoint / "__0_2.distcp").unlink()
    with pytest.raises(InvalidInputError, match=r"__0_2\.distcp is missing"):
        open_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pickle.dumps({"a": 1}),
        # A frame and a text that are longer than any memory.
        b"\x80\x04\x95" + b"\xff" * 8,
        b"\x80\x04\x8d" + (1 << 62).to_bytes(8, "little"),
    ],
)
def test_damaged_metadata_is_named(checkpoint, content):
    (checkpoint / ".metadata").write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"\.metadata is damaged or of an unknown layout"):
        read_metadata(checkpoint)


def test_a_folder_that_is_no_checkpoint(weights, tmp_path):
    with pytest.raises(InvalidInputError, match=r"has no \.metadata"):
        convert(weights, source=tmp_path)
    with pytest.raises(InvalidInputError, match="There is no checkpoint at"):
        convert(weights, source=tmp_path / "nothing.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"layers": 2}', "'layers' is no setting"),
        ('{"num_layers": "2"}', "num_layers is '2'; it must be a positive int"),
        ('{"num_layers": 0}', "num_layers is 0"),
        ('{"framepack": "f1"}', "FramePack layout 'f1'"),
        ("[", "is no configuration"),
    ],
)
def test_a_wrong_configuration_is_quoted(weights, checkpoint, content, message):
    (checkpoint / "config.json").write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        convert(weights, source=checkpoint)
