"""Memory that others than torch ask for, and weights that wait in the computer's memory."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.engines.lyra2.allocation import OUT_OF_MEMORY, pin  # noqa: E402
from lyra.engines.lyra2.history import History  # noqa: E402
from lyra.engines.lyra2.memory_modes import LADDER, DeviceMemory, Placement  # noqa: E402


class Failing:
    """Fails so many times with an error, then succeeds."""

    def __init__(self, times, error):
        self.left, self.error = times, error

    def __call__(self):
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.fixture
def memory(monkeypatch):
    memory = DeviceMemory({"transformer": torch.nn.Linear(1, 1)}, torch.device("cpu"))
    memory.emptied = 0
    monkeypatch.setattr(memory, "_clear", lambda: setattr(memory, "emptied", memory.emptied + 1))
    return memory


@pytest.mark.parametrize(
    "words",
    [
        "Failed to allocate 134217728 bytes on device 'cuda:0'",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_others_first_get_what_torch_keeps(memory, words):
    assert memory.attempt(Failing(1, RuntimeError(words))) == "done"
    assert (memory.emptied, memory.placement, memory.notes) == (1, LADDER[0], [])
    assert memory.attempt(Failing(2, RuntimeError(words))) == "done"
    assert memory.placement == LADDER[1]
    assert "ran out" in memory.notes[0]


def test_torch_has_given_back_already(memory):
    assert memory.attempt(Failing(1, torch.OutOfMemoryError("CUDA out of memory."))) == "done"
    assert memory.placement == LADDER[1]


def test_other_errors_pass_through(memory):
    with pytest.raises(RuntimeError, match="sizes of tensors"):
        memory.attempt(Failing(1, RuntimeError("The sizes of tensors must match.")))
    assert memory.placement == LADDER[0]


def test_the_words_are_those_of_warp():
    import warp as wp

    wp.init()
    with pytest.raises(RuntimeError) as caught:
        wp.empty((1 << 30, 1 << 20), dtype=wp.uint8, device="cpu")
    assert any(words in str(caught.value) for words in OUT_OF_MEMORY)


def test_weights_are_pinned_one_by_one(monkeypatch):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    places = {tensor.data_ptr() for tensor in network.state_dict().values()}
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    pin(network)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not places & {tensor.data_ptr() for tensor in after.values()}


class Blocks(torch.nn.Linear):
    """Keeps what it is told about being brought block by block."""

    def enable_group_offload(self, **options):
        self.options = options


def test_what_cannot_be_pinned_is_brought_without_a_stream(monkeypatch):
    pinned = set()

    def pin_memory(tensor):
        if pinned:
            raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later.")
        copy = tensor.clone()
        pinned.add(copy.data_ptr())
        return copy

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.accelerator, "empty_host_cache", lambda: None, raising=False)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda tensor: tensor.data_ptr() in pinned)
    network = Blocks(3, 4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    memory = DeviceMemory({"transformer": network}, torch.device("cuda"), Placement("offload"))
    assert network.options["use_stream"] is False
    (note,) = memory.taken_notes()
    assert "(CUDA error: out of memory)" in note
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(value.is_pinned() for value in after.values())


def test_what_is_pinned_is_brought_by_a_stream(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    network = Blocks(3, 4)
    memory = DeviceMemory({"transformer": network}, torch.device("cuda"), Placement("offload"))
    assert network.options["use_stream"] is True and memory.taken_notes() == ()


def test_pinned_memory_is_given_back_in_the_end(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.accelerator, "empty_host_cache", lambda: emptied.append(True), raising=False)
    for device in ("cpu", "cuda"):
        memory = DeviceMemory({"transformer": torch.nn.Linear(1, 1)}, torch.device(device))
        memory.close()
        assert not memory.models
    assert emptied == [True]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_is_pinned_is_not_copied_again():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4))
    pin(network)
    weight = network[0].weight
    assert weight.is_pinned()
    assert weight.data.cpu().pin_memory().data_ptr() == weight.data_ptr()


def test_the_newest_frame_does_not_hold_its_chunk():
    latents = torch.zeros(1, 16, 19, 2, 2)
    history = History(latents[:, :, :1], latents, torch.zeros(1, 3, 16, 16), 1, {}, None, None)
    frames = torch.rand(1, 3, 80, 16, 16)
    after = history.continued(frames, torch.zeros(1, 16, 20, 2, 2))
    assert torch.equal(after.newest, frames[:, :, -1])
    assert after.newest.untyped_storage().nbytes() == after.newest.nbytes
