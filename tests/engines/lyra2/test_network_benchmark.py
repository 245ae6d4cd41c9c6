import re

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import lyra2_step
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from tests.engines.lyra2 import network_case as case


def test_work_of_the_full_network():
    """38,246 tokens, 12.5 billion weights for each, full attention: about 2.2 PFLOP."""
    with torch.device("meta"):
        network = Lyra2Transformer3DModel()
    assert lyra2_step.pass_operations(network, 480, 832) == pytest.approx(2.2e15, rel=0.03)


def test_counts_what_torch_counts():
    network = case.tiny_network()
    inputs = (case.latents(), torch.tensor(300.0), *case.prepared(network))
    # Of attention on a CPU torch counts only its plain form.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(*inputs)
    # Torch counts the embedding of time as well.
    ours = lyra2_step.pass_operations(network, 8 * case.GRID[0], 8 * case.GRID[1])
    assert counter.get_total_flops() == pytest.approx(ours, rel=0.01)


def test_stages_that_lie_in_each_other_are_booked_once(monkeypatch):
    now = iter([0.0, 0.0, 1.0, 3.0, 7.0])
    monkeypatch.setattr(lyra2_step.time, "perf_counter", lambda: next(now))
    clock = lyra2_step.Clock(lyra2_step.Machine.of(torch.device("cpu")))
    with clock.stage("outer"), clock.stage("inner"):
        pass
    assert clock.taken() == {"outer": 1.0 + 4.0, "inner": 2.0}


def test_miniature_run_prints_a_table_per_engine(capsys):
    lyra2_step.main(["--tiny", "--steps", "1"])
    lines = capsys.readouterr().out.splitlines()
    for stage in (*lyra2_step.STAGES, "everything else", "total", "floor"):
        rows = [line for line in lines if line.startswith(f"{stage} ")]
        assert len(rows) == 2 and all(re.search(r"\d+\.\d\d s", row) for row in rows)
    assert any("2 run, 70 counted" in line for line in lines)
    assert any("4 run, 4 counted" in line for line in lines)
