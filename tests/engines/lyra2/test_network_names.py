import json
from pathlib import Path

import pytest

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2 import names

PUBLISHED = json.loads((Path(__file__).parents[2] / "goldens" / "net_keys_14b.json").read_text())
WEIGHTS = [key for key in PUBLISHED if not names.is_ignorable(key)]


def test_names_go_there_and_back():
    here = [names.to_module_key(key) for key in WEIGHTS]
    assert len(set(here)) == len(WEIGHTS) == len(PUBLISHED) - 4
    assert [names.to_published_key(key) for key in here] == WEIGHTS


@pytest.mark.parametrize(
    "published, here",
    [
        ("net.head.head.bias", "proj_out.bias"),
        ("head.modulation", "scale_shift_table"),
        ("blocks.7.norm3.weight", "blocks.7.norm2.weight"),
        ("net.blocks.3._checkpoint_wrapped_module.ffn.0.bias", "blocks.3.ffn.net.0.proj.bias"),
        ("clean_patch_embeddings.4.weight", "clean_patch_embeddings.4.weight"),
        ("blocks.0.self_attn.q", "blocks.0.attn1.to_q"),
    ],
)
def test_examples(published, here):
    assert names.to_module_key(published) == here


@pytest.mark.parametrize(
    "key", ["net.blocks.0.self_attn.attn_op._extra_state", "net_ema.head.head.bias", "accum_iteration"]
)
def test_ignorable(key):
    assert names.is_ignorable(key)


@pytest.mark.parametrize(
    "key", ["net.patch_embedding_buffer.weight", "blocks.0.self_attn.z.weight", "blocks.x.ffn.0.bias"]
)
def test_an_unknown_key_is_named(key):
    with pytest.raises(InvalidInputError, match=key.removeprefix("net.")):
        names.to_module_key(key)
    with pytest.raises(InvalidInputError, match=r"attn1\.to_z"):
        names.to_published_key("blocks.0.attn1.to_z.weight")
