import pytest
import torch
from torch.testing import assert_close

from tests.engines.lyra2 import network_case as case

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")


def velocity_on_cuda(network, batch=1):
    """One pass over inputs that lie on the GPU, wherever the weights are."""
    prepared = network.prepare(**{key: value.to(CUDA) for key, value in case.prepare_inputs().items()})
    context = network.encode_context(*(value.to(CUDA) for value in case.context_inputs(batch)))
    return network(case.latents().to(CUDA), torch.tensor(700.5, device=CUDA), prepared, context).cpu()


def test_cpu_and_cuda_agree():
    """Float32 without TF32: 1e-4; bfloat16 against float32 of the same rounded weights: 0.1 of a deviation of 0.6."""
    expected = case.velocity(case.tiny_network(), batch=2)
    assert_close(velocity_on_cuda(case.tiny_network().to(CUDA), batch=2), expected, atol=1e-4, rtol=0)
    rounded = case.velocity(case.tiny_network().bfloat16().float(), batch=2)
    assert_close(
        velocity_on_cuda(case.tiny_network().bfloat16().to(CUDA), batch=2), rounded, atol=0.1, rtol=0
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("float8", [False, True])
def test_group_offload_changes_no_number(stream, float8):
    resident, offloaded = case.tiny_network().bfloat16(), case.tiny_network().bfloat16()
    if float8:
        for network in (resident, offloaded):
            network.enable_layerwise_casting(torch.float8_e4m3fn, torch.bfloat16)
    expected = velocity_on_cuda(resident.to(CUDA))
    offloaded.enable_group_offload(
        onload_device=CUDA, offload_type="block_level", num_blocks_per_group=1, use_stream=stream
    )
    for _ in range(3):
        assert_close(velocity_on_cuda(offloaded), expected)
    assert next(offloaded.blocks[0].parameters()).device.type == "cpu"


def test_compiled_blocks_agree():
    network = case.tiny_network().to(CUDA)
    expected = velocity_on_cuda(network)
    network.compile_repeated_blocks()
    assert_close(velocity_on_cuda(network), expected, atol=1e-3, rtol=0)
