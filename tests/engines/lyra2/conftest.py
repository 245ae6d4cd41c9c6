import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Tensors of a few thousand numbers are slower on many cores, and much slower beside other work."""
    torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
