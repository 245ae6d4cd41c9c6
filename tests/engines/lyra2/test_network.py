import json
from pathlib import Path

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from peft import LoraConfig
from torch.testing import assert_close

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2 import names
from lyra.engines.lyra2.attention import RMSNorm
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from tests.engines.lyra2 import network_case as case
from tests.parity.base import Folder
from tests.parity.network import checks

GOLDENS = Path(__file__).parents[2] / "goldens"
EXACT = {"atol": 0, "rtol": 0}


def test_equals_the_published_numbers():
    folder = Folder(GOLDENS)
    deviations = {check.golden: check(folder) for check in checks(folder)}
    assert len(deviations) == 2 and all(deviation.passes for deviation in deviations.values()), deviations


def test_manifest_of_the_full_network():
    with torch.device("meta"):
        network = Lyra2Transformer3DModel()
    shapes = {names.to_published_key(key): list(value.shape) for key, value in network.state_dict().items()}
    golden = json.loads((GOLDENS / "net_keys_14b.json").read_text())
    assert shapes == {key: shape for key, shape in golden.items() if not names.is_ignorable(key)}


def test_guidance_branches_together_and_apart_agree():
    network = case.tiny_network()
    text, image = case.context_inputs(batch=2)
    prepared = network.prepare(**case.prepare_inputs())
    timestep = torch.tensor(500)
    together = network(case.latents(), timestep, prepared, network.encode_context(text, image))
    apart = [
        network(case.latents(), timestep, prepared, network.encode_context(one[None], image)) for one in text
    ]
    assert together.shape == (2, 16, 20, *case.GRID)
    assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)
    assert (apart[0] - apart[1]).abs().max() > 1e-3


def test_any_even_size():
    network = case.tiny_network()
    prepared = network.prepare(**case.prepare_inputs((6, 10)))
    velocity = network(case.latents((6, 10)), torch.tensor(10), prepared, case.prepared(network)[1])
    assert velocity.shape == (1, 16, 20, 6, 10) and velocity.isfinite().all()


def test_temporal_slots_read_no_correspondences():
    network, inputs = case.tiny_network(), case.prepare_inputs()
    reference = network.prepare(**inputs)
    changed = inputs["correspondence"].clone()
    changed[:, :, network.layout.temporal_slots] = 7
    for before, after in zip(
        reference.squeezed, network.prepare(**inputs | {"correspondence": changed}).squeezed, strict=True
    ):
        assert_close(before, after, **EXACT)


@pytest.mark.parametrize(
    "name, shape, quoted",
    [
        ("history", (1, 16, 24, 8, 12), r"\(1, 16, 24, 8, 12\)"),
        ("rays", (1, 12, 45, 8, 10), r"rays has the shape \(1, 12, 45, 8, 10\)"),
        ("correspondence", (2, 20, 45, 8, 12), r"\(2, 20, 45, 8, 12\)"),
        ("history", (1, 16, 25, 7, 12), "12 x 7"),
    ],
)
def test_refuses_inputs_of_other_shapes(name, shape, quoted):
    with pytest.raises(InvalidInputError, match=quoted):
        case.tiny_network().prepare(**case.prepare_inputs() | {name: torch.zeros(shape)})


def test_float32_islands_of_a_bfloat16_network():
    """Time and head are computed in float32 from weights that are bfloat16 values."""
    network = case.tiny_network().bfloat16()
    rounded = case.tiny_network().bfloat16().float()
    timestep = torch.tensor(437.5)
    for ours, theirs in zip(
        network.condition_embedder("time", timestep),
        rounded.condition_embedder("time", timestep),
        strict=True,
    ):
        assert ours.dtype == torch.float32
        assert_close(ours, theirs, **EXACT)
    x = torch.randn(3, 24)
    assert_close(network.proj_out(x), rounded.proj_out(x), **EXACT)

    prepared, _ = case.prepared(network)
    assert prepared.rotary[0].dtype == torch.float32 and prepared.history.dtype == torch.bfloat16
    velocity = case.velocity(network)
    assert velocity.dtype == torch.float32
    assert_close(velocity, case.velocity(rounded), atol=0.1, rtol=0)


def test_the_head_rounds_its_norm_and_nothing_else():
    network = case.tiny_network().bfloat16()
    given = []
    network.norm_out.register_forward_hook(lambda module, inputs, output: given.append(output))
    network.proj_out.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    case.velocity(network)
    normed, modulated = given
    assert normed.dtype == torch.bfloat16 and modulated.dtype == torch.float32
    embedding, _ = network.condition_embedder("time", torch.tensor(700.5))
    shift, scale = (network.scale_shift_table.float() + embedding[:, None]).unbind(1)
    assert_close(modulated, normed.float() * (1 + scale) + shift)


def test_rms_norm_rounds_before_its_weight():
    norm = RMSNorm(32, 1e-6).bfloat16()
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(5, 32).bfloat16()
    exact = x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)
    assert_close(norm(x), exact.bfloat16() * norm.weight, **EXACT)


def test_save_and_load(tmp_path):
    network = case.tiny_network()
    network.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again = Lyra2Transformer3DModel.from_pretrained(tmp_path)
    assert dict(again.config).items() >= case.TINY.items()
    for key, value in network.state_dict().items():
        assert_close(again.state_dict()[key], value, **EXACT)
    # Weights in a memory map are aligned otherwise, which changes the order of a CPU's sums.
    assert_close(case.velocity(again), case.velocity(network))
    rounded = Lyra2Transformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "options", [{"num_blocks_per_group": 1}, {"num_blocks_per_group": 2}, {"leaf": True}]
)
def test_group_offload_changes_no_number(tmp_path, options):
    """Offloaded to disk, a weight that is used without being fetched would be other memory's contents."""
    network = case.tiny_network()
    expected = case.velocity(network)
    kind = "leaf_level" if options.pop("leaf", False) else "block_level"
    apply_group_offloading(
        network, torch.device("cpu"), offload_type=kind, offload_to_disk_path=str(tmp_path), **options
    )
    for parameter in network.parameters():
        parameter.data.fill_(torch.nan)
    assert_close(case.velocity(network), expected)
    assert_close(case.velocity(network), expected)


@pytest.mark.parametrize("offload", [False, True])
def test_layerwise_casting_changes_no_number(tmp_path, offload):
    network, resident = case.tiny_network().bfloat16(), case.tiny_network().bfloat16()
    for key, parameter in resident.named_parameters():
        if names.stored_in_float8(key):
            parameter.data = parameter.to(torch.float8_e4m3fn).bfloat16()
    network.enable_layerwise_casting(torch.float8_e4m3fn, torch.bfloat16)
    stored = {key for key, parameter in network.named_parameters() if parameter.dtype == torch.float8_e4m3fn}
    assert stored == {key for key in network.state_dict() if names.stored_in_float8(key)}
    assert network.dtype == torch.bfloat16
    network.enable_layerwise_casting(torch.float8_e4m3fn, torch.bfloat16)
    if offload:
        apply_group_offloading(
            network, torch.device("cpu"), num_blocks_per_group=1, offload_to_disk_path=str(tmp_path)
        )
    for _ in range(2):
        assert_close(case.velocity(network), case.velocity(resident), **EXACT)


def test_attention_backends():
    network = case.tiny_network()
    expected = case.velocity(network)
    network.set_attention_backend("_native_math")
    try:
        assert_close(case.velocity(network), expected, atol=1e-5, rtol=1e-5)
    finally:
        # diffusers keeps the choice for every model of the process.
        network.set_attention_backend("native")
        network.reset_attention_backend()


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        network = case.tiny_network().requires_grad_(True)
        if checkpointing:
            network.enable_gradient_checkpointing()
        case.velocity(network).square().mean().backward()
        gradients.append({key: parameter.grad for key, parameter in network.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    for key, gradient in gradients[0].items():
        assert_close(gradients[1][key], gradient, msg=key)


def test_peft_adapter():
    network = case.tiny_network()
    expected = case.velocity(network)
    network.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_out.0"], init_lora_weights=False))
    changed = case.velocity(network)
    assert (changed - expected).abs().max() > 1e-3
    network.disable_adapters()
    assert_close(case.velocity(network), expected)


def test_compiles_without_graph_breaks():
    network = case.tiny_network()
    inputs = (case.latents(), torch.tensor(300.0), *case.prepared(network))
    expected = network(*inputs)
    for block in network.blocks:
        # Tracing alone: a compiler would take a minute here.
        block.compile(fullgraph=True, backend="eager")
    assert_close(network(*inputs), expected)


def test_offloaded_modules_do_not_lie_in_each_other():
    """diffusers' prefetching along a stream, which only runs on a GPU, refuses modules within modules."""
    network = case.tiny_network()
    chosen = set(network._group_offload_block_modules)
    for name in chosen:
        assert not chosen & {
            path.split(".")[-1] for path, _ in getattr(network, name).named_modules() if path
        }


def test_shapes_of_the_published_size():
    with torch.device("meta"):
        network = Lyra2Transformer3DModel(num_layers=1).bfloat16()
        sizes = {"history": (16, 25), "condition": (20, 45), "rays": (384, 45), "correspondence": (1280, 45)}
        inputs = {name: torch.empty(1, *size, 60, 104) for name, size in sizes.items()}
        text, image, latents = (
            torch.empty(2, 512, 4096),
            torch.empty(1, 257, 1280),
            torch.empty(1, 16, 20, 60, 104),
        )
        timestep = torch.empty(())
    prepared = network.prepare(**inputs)
    assert prepared.history.shape == (1, 7046, 5120)
    assert prepared.squeezed[0].shape == (1, 38246, 256)
    velocity = network(latents, timestep, prepared, network.encode_context(text, image))
    assert velocity.shape == (2, 16, 20, 60, 104) and velocity.dtype == torch.float32
