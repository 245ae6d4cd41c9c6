import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2.lora import LoraMerger, check_fits, read_lora
from tests.engines.lyra2 import network_case as case

DIM, FFN, RANK = 24, 32, 4


def pair(
    out: int = DIM, into: int = DIM, rank: int = RANK, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return torch.randn(rank, into, generator=noise), torch.randn(out, rank, generator=noise)


def named(prefix: str, down: torch.Tensor, up: torch.Tensor, style: str = "AB") -> dict[str, torch.Tensor]:
    first, second = ("lora_A", "lora_B") if style == "AB" else ("lora_down", "lora_up")
    return {f"{prefix}.{first}.weight": down, f"{prefix}.{second}.weight": up}


def shapes() -> dict[str, torch.Size]:
    return {key: value.shape for key, value in case.tiny_network().state_dict().items()}


@pytest.fixture
def write(tmp_path):
    def write(tensors, name="lora.safetensors"):
        save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("prefix", ["", "net.", "diffusion_model."])
@pytest.mark.parametrize("style", ["AB", "up and down"])
def test_module_paths(write, prefix, style):
    down, up = pair()
    changes = read_lora(write(named(f"{prefix}blocks.1.self_attn.o", down, up, style)))
    assert list(changes) == ["blocks.1.attn1.to_out.0"]
    assert_close(changes["blocks.1.attn1.to_out.0"].delta(torch.device("cpu")), up @ down)


@pytest.mark.parametrize(
    "layer, module, size",
    [
        ("blocks_0_self_attn_q", "blocks.0.attn1.to_q", (DIM, DIM)),
        ("blocks_1_ffn_2", "blocks.1.ffn.net.2", (DIM, FFN)),
        ("blocks_1_buffer_encoder_1", "blocks.1.correspondence_embedder.linear_2", (DIM, 8)),
        ("time_projection_1", "condition_embedder.time_proj", (6 * DIM, DIM)),
        ("clean_patch_embeddings_3", "clean_patch_embeddings.3", (DIM, 36 * 256)),
        ("head_head", "proj_out", (64, DIM)),
    ],
)
def test_musubi_names_fold_alpha_in(write, layer, module, size):
    down, up = pair(*size)
    path = write(
        named(f"lora_unet_{layer}", down, up, "musubi") | {f"lora_unet_{layer}.alpha": torch.tensor(1.0)}
    )
    changes = read_lora(path)
    check_fits(path, changes, shapes())
    assert_close(changes[module].delta(torch.device("cpu")), up @ down / RANK)


def test_merges_in_float32(write):
    """Two LoRAs whose sum counts although each alone is below what bfloat16 resolves."""
    down, up = torch.eye(1, DIM), torch.zeros(DIM, 1)
    up[0, 0] = 0.003
    first = write(named("blocks.0.self_attn.q", down, up), "first.safetensors")
    second = write(named("blocks.0.self_attn.q", down, up), "second.safetensors")
    weight = torch.ones(DIM, DIM, dtype=torch.bfloat16)
    merger = LoraMerger({first: 1.0, second: 0.5}, shapes())
    merged = merger.merged("blocks.0.attn1.to_q.weight", weight)
    assert merged.dtype == torch.float32
    assert_close(merged[0, 0].item(), 1.0045)
    assert merged.bfloat16()[0, 0] > 1 and (merged.flatten()[1:] == 1).all()
    assert merger.merged("blocks.0.attn1.to_k.weight", weight) is weight


def test_differences(write):
    """diff is left aside, diff_b changes the bias unless it is noise."""
    down, _ = pair()
    layer = "diffusion_model.blocks.0.ffn.0"
    bias = torch.linspace(-1, 1, FFN)
    tensors = named(layer, down, torch.randn(FFN, RANK)) | {
        f"{layer}.diff_b": bias,
        f"{layer}.diff": torch.ones(3),
    }
    noise = {
        "blocks.0.norm3.diff": torch.randn(DIM),
        "blocks.0.self_attn.norm_q.diff_b": torch.full((DIM,), 0.01),
    }
    merger = LoraMerger({write(tensors | noise): 0.5}, shapes())
    assert_close(merger.merged("blocks.0.ffn.net.0.proj.bias", torch.ones(FFN)), 1 + 0.5 * bias)


def adapter_state(changes):
    """The changes for diffusers' `load_lora_adapter(state, prefix=None)`, which keeps them apart from the weights."""
    state = {}
    for module, change in changes.items():
        state[f"{module}.lora_A.weight"] = change.down
        state[f"{module}.lora_B.weight"] = change.up * change.scale
        if change.bias is not None:
            state[f"{module}.lora_B.bias"] = change.bias
    return state


def test_adapter_gives_what_merging_gives(write):
    down, up = pair()
    tensors = named("lora_unet_blocks_0_self_attn_q", down, up, "musubi")
    path = write(tensors | {"lora_unet_blocks_0_self_attn_q.alpha": torch.tensor(2.0)})
    adapted, merged = case.tiny_network(), case.tiny_network()
    adapted.load_lora_adapter(adapter_state(read_lora(path)), prefix=None, adapter_name="style")
    adapted.set_adapters("style", 0.3)
    merger = LoraMerger({path: 0.3}, shapes())
    weight = merged.blocks[0].attn1.to_q.weight
    weight.copy_(merger.merged("blocks.0.attn1.to_q.weight", weight))
    assert (case.velocity(merged) - case.velocity(case.tiny_network())).abs().max() > 1e-3
    assert_close(case.velocity(adapted), case.velocity(merged), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "tensors, quoted",
    [
        ({"lora_te_text_model_q.lora_down.weight": torch.ones(1, 2)}, "lora_te_text_model_q"),
        (named("blocks.0.attn.qkv", *pair()), "blocks.0.attn.qkv"),
        ({"blocks.0.ffn.0.lora_A.weight": torch.ones(4, DIM)}, "blocks.0.ffn.0' has no up"),
        (named("lora_unet_blocks_0_ffn_0", *pair()), "has no alpha"),
        ({"blocks.0.norm3.diff_b": torch.arange(8.0)}, "blocks.0.norm3"),
        ({"blocks.0.self_attn.q.hada_w1_a": torch.ones(2, 2)}, "hada_w1_a"),
        (named("blocks.0.cross_attn.k_img", *pair()), "blocks.0.cross_attn.k_img"),
        (
            named("blocks.0.self_attn.q", torch.ones(4, DIM), torch.ones(DIM, 5)),
            r"\(4, 24\) and up \(24, 5\)",
        ),
        ({"blocks.0.norm3.diff": torch.arange(8.0)}, "holds no LoRA weights"),
    ],
)
def test_leftovers_are_named(write, tensors, quoted):
    with pytest.raises(InvalidInputError, match=quoted):
        read_lora(write(tensors))


@pytest.mark.parametrize(
    "tensors, quoted",
    [
        (named("blocks.0.self_attn.q", *pair(DIM, 2 * DIM)), "24 x 48, the network has 24 x 24"),
        (named("blocks.39.self_attn.q", *pair()), "no such layer"),
        (named("blocks.0.norm3", *pair()), "the network has 24"),
        (
            named("blocks.0.cam_encoder", *pair(DIM, 48))
            | {"blocks.0.cam_encoder.diff_b": torch.arange(24.0)},
            "bias of blocks.0.camera_embedder",
        ),
    ],
)
def test_a_lora_of_another_model_is_refused(write, tensors, quoted):
    with pytest.raises(InvalidInputError, match=quoted):
        LoraMerger({write(tensors): 1.0}, shapes())


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "lora.safetensors").write_bytes(b"\x80\x02cos\nsystem")
    with pytest.raises(InvalidInputError, match=r"lora\.safetensors cannot be read"):
        read_lora(tmp_path / "lora.safetensors")
