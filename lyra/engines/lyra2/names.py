"""Mapping of weight names between the published checkpoint and the module here, both ways.

The module follows the names that diffusers gives to the same parts of Wan 2.1 (`WanTransformer3DModel`); parts that
Wan does not have are named in the same style. No torch here: listing and checking files needs none.
"""

from __future__ import annotations

import re

from lyra.common.errors import InvalidInputError

# Published module -> module here, without the trailing ".weight" or ".bias".
OUTER_MODULES = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
    "head.modulation": "scale_shift_table",
    "head.head": "proj_out",
}
BLOCK_MODULES = {
    "modulation": "scale_shift_table",
    **{f"self_attn.{name}": f"attn1.to_{name}" for name in "qkv"},
    "self_attn.o": "attn1.to_out.0",
    "self_attn.norm_q": "attn1.norm_q",
    "self_attn.norm_k": "attn1.norm_k",
    # Wan counts the norm in front of cross-attention as its third, diffusers as its second.
    "norm3": "norm2",
    **{f"cross_attn.{name}": f"attn2.to_{name}" for name in "qkv"},
    "cross_attn.o": "attn2.to_out.0",
    "cross_attn.norm_q": "attn2.norm_q",
    "cross_attn.norm_k": "attn2.norm_k",
    "cross_attn.k_img": "attn2.add_k_proj",
    "cross_attn.v_img": "attn2.add_v_proj",
    "cross_attn.norm_k_img": "attn2.norm_added_k",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "cam_encoder": "camera_embedder",
    "buffer_encoder.0": "correspondence_embedder.linear_1",
    "buffer_encoder.1": "correspondence_embedder.linear_2",
}

# Averaged weights, state of Transformer Engine's attention, counters of the training run.
_IGNORABLE = re.compile(r"^net_ema\.|_extra_state$|^accum_\w+$")
_KEY = re.compile(r"(?:(?P<block>blocks\.\d+)\.)?(?P<module>.+?)(?P<kind>\.weight|\.bias)?")
HISTORY_EMBEDDINGS = "clean_patch_embeddings"
_HISTORY_EMBEDDING = re.compile(rf"{HISTORY_EMBEDDINGS}\.\d+")
# What the float8 form stores in float8: the large projections. Embeddings of cameras, correspondences, time, text
# and image, norms, modulation and the head stay in bfloat16; they are few and what precision is lost there is seen.
_FLOAT8 = re.compile(
    r"blocks\.\d+\.(attn[12]\.(to_[qkv]|to_out\.0|add_[kv]_proj)|ffn\.net\.(0\.proj|2))\.(weight|bias)"
)


def without_wrappers(published: str) -> str:
    """A published key without what training put around it: "net." in front, a segment per checkpoint wrapper."""
    return published.removeprefix("net.").replace("_checkpoint_wrapped_module.", "")


def is_ignorable(published: str) -> bool:
    """Whether a published key is no weight of the network: averaged copies, extension state, training counters."""
    return bool(_IGNORABLE.search(without_wrappers(published)))


def to_module_key(published: str) -> str:
    """The module's key of a published one, for example "net.head.head.bias" -> "proj_out.bias".

    Raises InvalidInputError that names a key which the network does not have.
    """
    return _translate(
        without_wrappers(published), OUTER_MODULES, BLOCK_MODULES, "the published Lyra 2.0 network"
    )


def to_published_key(key: str) -> str:
    """The published key (without "net.") of a key of the module. Raises InvalidInputError that names an unknown one."""
    return _translate(key, _reversed(OUTER_MODULES), _reversed(BLOCK_MODULES), "Lyra2Transformer3DModel")


def stored_in_float8(key: str) -> bool:
    """Whether the float8 form of the weights stores this key of the module in float8; the rest stays bfloat16."""
    return bool(_FLOAT8.fullmatch(key))


def _translate(key: str, outer: dict[str, str], in_block: dict[str, str], owner: str) -> str:
    found = _KEY.fullmatch(key)
    # No empty key, and no line ends: the pattern takes everything else.
    block, module, kind = found.group("block", "module", "kind") if found else (None, key, None)
    renamed = module if not block and _HISTORY_EMBEDDING.fullmatch(module) else None
    renamed = renamed or (in_block if block else outer).get(module)
    if renamed is None:
        raise InvalidInputError(
            f"{key!r} is no weight of {owner}; check that the file belongs to Lyra 2.0 and download it again."
        )
    return f"{block + '.' if block else ''}{renamed}{kind or ''}"


def _reversed(table: dict[str, str]) -> dict[str, str]:
    return {here: published for published, here in table.items()}
