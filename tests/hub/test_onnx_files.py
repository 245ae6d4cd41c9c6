"""ONNX files that are damaged or hostile are refused with one line, before anything loads them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.depth.onnx_moge import MoGe
from lyra.hub import ITEMS, Weights, onnx_files, verify
from lyra.hub.onnx_files import check_onnx

onnx = pytest.importorskip("onnx", reason="needs the extra lyra-worlds[test]")
from onnx import TensorProto, helper  # noqa: E402

from tests.depth.onnx_networks import write, write_depth_anything, write_moge  # noqa: E402

IMAGE = np.zeros((48, 64, 3), np.uint8)
MOGE_OUTPUTS = "points", "normal", "mask", "metric_scale"


def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)


def save(path, nodes, outputs, tensors=(), inputs=(), **graph):
    """A network with MoGe's inputs unless others are given."""
    inputs = inputs or (
        value("image", TensorProto.FLOAT, 1, 3, "h", "w"),
        value("num_tokens", TensorProto.INT64),
    )
    made = helper.make_graph(nodes, "graph", inputs, outputs, tensors, **graph)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def external(location):
    tensor = TensorProto(name="stolen", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def refused(path, reason):
    with pytest.raises(InvalidInputError, match=reason) as caught:
        check_onnx(path)
    message = str(caught.value)
    assert len(message) <= 300 and "\n" not in message and "download it again" in message


def test_the_networks_of_the_tests_are_good(tmp_path):
    check_onnx(write_moge(tmp_path))
    check_onnx(write_depth_anything(tmp_path, half=True))


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "beside.bin"])
@pytest.mark.parametrize("where", ["initializer", "attribute", "subgraph", "function"])
def test_data_in_other_files_is_refused_wherever_it_hides(tmp_path, location, where):
    (tmp_path / "beside.bin").write_bytes(bytes(16))
    tensor = external(location)
    output = [value("y", TensorProto.FLOAT, 4)]
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    path = tmp_path / "model.onnx"
    if where == "initializer":
        save(path, [helper.make_node("Identity", ["stolen"], ["y"])], output, [tensor])
    elif where == "attribute":
        save(path, [constant], output)
    elif where == "subgraph":
        branch = helper.make_graph([constant], "branch", [], output)
        condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
        node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
        save(path, [node], output, [condition])
    else:
        opset = [helper.make_opsetid("", 17)]
        own = helper.make_function("own", "steal", [], ["y"], [constant], opset)
        graph = helper.make_graph([helper.make_node("steal", [], ["y"], domain="own")], "g", [], output)
        opsets = [*opset, helper.make_opsetid("own", 1)]
        path.write_bytes(helper.make_model(graph, functions=[own], opset_imports=opsets).SerializeToString())
    refused(path, "keeps data in another file")


def test_tensors_that_would_grow_are_refused(tmp_path):
    path, output = tmp_path / "model.onnx", [value("y", TensorProto.FLOAT, "n", "m")]
    use = [helper.make_node("Identity", ["w"], ["y"])]
    for dims in ([10**6, 10**6], [2**62, 8], [-1]):
        save(path, use, output, [TensorProto(name="w", data_type=1, dims=dims, raw_data=bytes(4))])
        refused(path, "has the shape")
    save(path, use, output, [TensorProto(name="w", data_type=1, dims=[1] * 40, raw_data=bytes(4))])
    refused(path, "more than 16 axes")
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, indices, [10**6, 10**6])
    save(path, use, output, sparse_initializer=[sparse])
    refused(path, "sparse tensors")


def test_graphs_in_graphs_end_somewhere(tmp_path, monkeypatch):
    output = [value("y", TensorProto.FLOAT, 1)]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], output)
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph.ClearField("node")
        graph.node.append(node)
        if graph.ByteSize() > 10**6:
            break
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    refused(path, "nested too deeply")
    write_moge(tmp_path)
    monkeypatch.setattr(onnx_files, "MOST_FIELDS", 50)
    refused(path, "too many parts")


def test_what_is_cut_off_or_no_network_is_refused(tmp_path):
    path = write_moge(tmp_path)
    whole = path.read_bytes()
    for content in (
        b"",
        b"\x00" * 64,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        b"\xff" * 99,
    ):
        path.write_bytes(content)
        refused(path, "no whole ONNX network|damaged, or not an ONNX network")
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "damaged, or not an ONNX network")
    path.unlink()
    refused(path, "cannot be read")


def test_any_flipped_byte_is_refused_or_harmless(tmp_path):
    """Whatever a file holds: a message, or a check that passes; never another error."""
    whole = bytearray(write_moge(tmp_path).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "other.onnx"
    for _ in range(300):
        damaged = whole.copy()
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            check_onnx(path)
        except InvalidInputError as error:
            assert len(str(error)) <= 300


@pytest.mark.parametrize("wrong", ["names", "inputs", "kinds", "operator", "shape", "nan", "scale"])
def test_other_networks_are_refused_by_the_estimator(tmp_path, wrong):
    path = write_moge(tmp_path)
    model = onnx.load(path)
    made = {node.output[0]: node for node in model.graph.node}
    if wrong == "names":
        model.graph.output[2].name = made["mask"].output[0] = "sky"
    elif wrong == "inputs":
        model.graph.input.append(value("prompt", TensorProto.FLOAT, 1))
    elif wrong == "kinds":
        write_depth_anything(tmp_path)
        model = onnx.load(tmp_path / "onnx" / "model_fp16.onnx")
    elif wrong == "operator":
        made["mask"].op_type = "Launch"
    elif wrong == "shape":
        made["normal"].op_type = "Identity"
        made["normal"].input[:] = ["facing"]
        model.graph.output[1].CopyFrom(value("normal", TensorProto.FLOAT, 3))
    elif wrong == "nan":
        made["mask"].op_type = "Sqrt"
    else:
        made["metric_scale"].op_type = "Neg"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineNotReadyError) as caught:
        MoGe(tmp_path, "cpu").estimate(IMAGE + 250)
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    assert "MoGe-2 Small" in str(caught.value)


BOMBS = {
    "as it runs": "n = Shape(image) b = Mul(n, k) big = ConstantOfShape(b)",
    "as it loads": "big = ConstantOfShape(k)",
}


@pytest.mark.parametrize("when", BOMBS)
def test_memory_that_a_network_asks_for_is_bounded(tmp_path, when):
    """A terabyte made of nothing, in a process whose address space would not hold it either."""
    text = f"""<ir_version: 9, opset_import: ["" : 17]>
    moge (float[1, 3, height, width] image, int64 num_tokens) => (
      float points, float normal, float mask, float metric_scale)
      <int64[4] k = {{1000, 1000, 1000, 250}}> {{
      {BOMBS[when]}
      points = ReduceMax<keepdims = 0>(big) normal = ReduceMax<keepdims = 0>(image)
      mask = ReduceMax<keepdims = 0>(image) metric_scale = ReduceMax<keepdims = 0>(image) }}"""
    write(text, tmp_path / "model.onnx")
    script = f"""
from pathlib import Path
import numpy as np
from lyra.common.errors import EngineNotReadyError
from lyra.depth.onnx_moge import MoGe
try:
    MoGe({str(tmp_path)!r}, "cpu").estimate(np.zeros((48, 64, 3), np.uint8))
except EngineNotReadyError as error:
    assert len(str(error)) <= 300, error
    print(error)
else:
    raise AssertionError("not refused")
# ru_maxrss would begin with that of the process that started this one.
status = Path("/proc/self/status").read_text()
assert int(status.split("VmHWM:")[1].split()[0]) < 2_000_000
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert "MoGe-2 Small" in done.stdout


def test_verify_looks_into_onnx_files(tmp_path):
    weights = Weights(tmp_path)
    place = weights.place(ITEMS["moge-2-small-onnx"])
    write_moge(place.parent)
    assert not verify(weights, ["moge-2-small-onnx"])
    place.write_bytes(place.read_bytes()[:500])
    (finding,) = verify(weights, ["moge-2-small-onnx"])
    assert "damaged, or not an ONNX network" in finding.problem
