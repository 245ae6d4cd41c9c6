import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.engines.lyra2 import names
from lyra.engines.lyra2.weights import FLOAT8, load_transformer
from tests.engines.lyra2 import network_case as case

INDEX = "diffusion_pytorch_model.safetensors.index.json"
EXACT = {"atol": 0, "rtol": 0}


@pytest.fixture
def folder(tmp_path):
    """Sharded weights whose values are bfloat16's."""
    case.tiny_network().bfloat16().save_pretrained(tmp_path / "network", max_shard_size="30KB")
    return tmp_path / "network"


def change_shard(folder, key, change):
    """Rewrites the shard of `key` after `change` has altered its tensors."""
    name = json.loads((folder / INDEX).read_text())["weight_map"][key]
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    return name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reads_every_weight(folder, dtype):
    network = load_transformer(folder, dtype)
    assert not network.training
    for key, value in case.tiny_network().state_dict().items():
        assert_close(network.state_dict()[key], value.bfloat16().to(dtype), **EXACT)
    assert case.velocity(network).isfinite().all()


def test_one_file_will_do(tmp_path):
    case.tiny_network().save_pretrained(tmp_path)
    assert_close(case.velocity(load_transformer(tmp_path, torch.float32)), case.velocity(case.tiny_network()))


def test_float8_from_bfloat16(folder):
    network = load_transformer(folder, torch.bfloat16, float8=True)
    types = {key: value.dtype for key, value in network.state_dict().items()}
    assert types == {key: FLOAT8 if names.stored_in_float8(key) else torch.bfloat16 for key in types}
    assert network.dtype == torch.bfloat16
    assert_close(case.velocity(network), case.velocity(load_transformer(folder)), atol=0.3, rtol=0)


def test_float8_as_stored(folder, tmp_path):
    expected = load_transformer(folder, float8=True)
    for shard in folder.glob("*.safetensors"):
        tensors = load_file(shard)
        save_file({k: v.to(FLOAT8) if names.stored_in_float8(k) else v for k, v in tensors.items()}, shard)
    network = load_transformer(folder)
    assert_close(case.velocity(network), case.velocity(expected), **EXACT)
    with pytest.raises(InvalidInputError, match=r"float8 weights, too coarse to take up .*style"):
        load_transformer(folder, loras={lora(tmp_path): 1.0})


def lora(tmp_path):
    down, up = torch.randn(2, 24), torch.randn(24, 2)
    layer = "blocks.0.self_attn.q"
    save_file({f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}, tmp_path / "style.safetensors")
    return tmp_path / "style.safetensors"


def test_merges_loras_while_reading(folder, tmp_path):
    path = lora(tmp_path)
    tensors = load_file(path)
    network = load_transformer(folder, loras={path: 0.4})
    plain = load_transformer(folder).state_dict()
    delta = tensors["blocks.0.self_attn.q.lora_B.weight"] @ tensors["blocks.0.self_attn.q.lora_A.weight"]
    for key, value in network.state_dict().items():
        changed = key == "blocks.0.attn1.to_q.weight"
        expected = (plain[key].float() + 0.4 * delta).bfloat16() if changed else plain[key]
        assert_close(value, expected, **EXACT)


KEY = "blocks.1.ffn.net.2.weight"


def test_a_renamed_key_is_named(folder):
    change_shard(folder, KEY, lambda tensors: tensors.update(oops=tensors.pop(KEY)))
    with pytest.raises(InvalidInputError, match=f"misses {KEY}"):
        load_transformer(folder)


def test_a_key_too_many_is_named(folder):
    change_shard(folder, KEY, lambda tensors: tensors.update(oops=torch.ones(1)))
    with pytest.raises(InvalidInputError, match="does not name: oops"):
        load_transformer(folder)


@pytest.mark.parametrize("how, quoted", [("missing", f"misses {KEY}"), ("unknown", "unknown keys: oops")])
def test_the_index_must_name_all_keys_and_no_other(folder, how, quoted):
    index = json.loads((folder / INDEX).read_text())
    place = index["weight_map"].pop(KEY) if how == "missing" else index["weight_map"][KEY]
    if how == "unknown":
        index["weight_map"]["oops"] = place
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(InvalidInputError, match=quoted):
        load_transformer(folder)


def test_a_wrong_shape_is_quoted(folder):
    change_shard(folder, KEY, lambda tensors: tensors.update({KEY: tensors[KEY].T.contiguous()}))
    with pytest.raises(
        InvalidInputError, match=rf"{KEY} has the shape \(32, 24\), the network needs \(24, 32\)"
    ):
        load_transformer(folder)


def test_a_truncated_shard_is_named(folder):
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InvalidInputError, match=f"{shard.name} is damaged"):
        load_transformer(folder)


def test_a_lost_shard_is_named(folder):
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(EngineNotReadyError, match=f"{shard.name} is missing"):
        load_transformer(folder)


def test_an_empty_folder(tmp_path):
    with pytest.raises(EngineNotReadyError, match="lyra models convert"):
        load_transformer(tmp_path)


@pytest.mark.parametrize(
    "config, quoted", [("{", "no JSON"), ('{"_class_name": "WanTransformer3DModel"}', "describes a Wan")]
)
def test_a_config_of_something_else(folder, config, quoted):
    (folder / "config.json").write_text(config)
    with pytest.raises(InvalidInputError, match=quoted):
        load_transformer(folder)
