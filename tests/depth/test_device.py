"""Depth models run on PyTorch's device, not Warp's, and report it to the user."""

import numpy as np
import pytest
import warp as wp

from lyra.depth import (
    DepthAnything,
    create_estimator,
    create_window_estimator,
    depth_anything,
    depth_anything_3,
)
from lyra.depth.device import NO_GPU, NO_ROOM, torch_device
from lyra.pipeline.create import create_world

from . import package_3
from .test_depth_anything import tiny_model
from .views import SIZE

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[depth]")

PICTURE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture(params=[False, True], ids=["torch for the CPU", "torch for a GPU"])
def torch_sees(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """Depth Anything 3 as a stand-in whose `to` is only written down."""
    package_3.install(monkeypatch)
    for name in depth_anything_3.FILES:
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("asked", ["cpu", "cuda", None])
@pytest.mark.parametrize("warp_sees", [False, True])
def test_what_is_asked_and_what_there_is(torch_sees, monkeypatch, asked, warp_sees):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: warp_sees)
    device, notes = torch_device(asked)
    assert device == ("cuda" if torch_sees and asked != "cpu" else "cpu")
    missed = not torch_sees and (asked == "cuda" or (asked is None and warp_sees))
    assert notes == ((NO_GPU,) if missed else ())


@pytest.mark.parametrize("create", [create_estimator, create_window_estimator])
def test_nothing_asked_takes_the_gpu_that_torch_sees(torch_sees, weights, create):
    assert create("depth-anything-3", weights=weights).device == ("cuda" if torch_sees else "cpu")


def test_a_gpu_that_only_warp_sees_gives_a_world_all_the_same(monkeypatch, weights, small_scene, tmp_path):
    """What the worker does on a machine with an NVIDIA card and PyTorch for the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(wp, "is_cuda_available", lambda: True)
    monkeypatch.setattr(depth_anything_3, "_cached", lambda: True)
    world = create_world(
        tmp_path / "world", small_scene / "image.png", depth="depth-anything-3", size=SIZE, device="cuda"
    )
    assert NO_GPU in world.notes


def test_version_2_runs_on_the_cpu_where_torch_sees_no_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(depth_anything, "SHORT_SIDE", 56)
    tiny_model().save_pretrained(tmp_path)
    estimate = DepthAnything(tmp_path, device="cuda").estimate(PICTURE)
    assert NO_GPU in estimate.notes and (estimate.depth > 0).all()


def test_a_full_gpu_leaves_the_depth_to_the_cpu(monkeypatch, weights, small_scene, tmp_path):
    """The same model, slower, rather than no world; only for want of memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(depth_anything_3, "_cached", lambda: True)
    reason: list[Exception] = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")]
    estimate = depth_anything_3.DepthAnything3.estimate

    def full(self, image, intrinsics=None):
        if self.device == "cuda":
            raise reason[0]
        return estimate(self, image, intrinsics)

    monkeypatch.setattr(depth_anything_3.DepthAnything3, "estimate", full)

    def create(name):
        return create_world(
            tmp_path / name, small_scene / "image.png", depth="depth-anything-3", size=SIZE, device="cuda"
        )

    assert NO_ROOM in create("full").notes
    reason[0] = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal"):
        create("broken")
