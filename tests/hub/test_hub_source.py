import pytest

from lyra.common.errors import EngineNotReadyError
from lyra.hub import HubSource, Weights, download
from lyra.hub.manifest import partial
from tests.hub.hub_server import COMMIT, HubServer

pytest.importorskip("huggingface_hub", reason="needs the extra lyra-worlds[lyra2]")

VAE, TOKENIZER, LORA = "wan-vae", "wan-tokenizer", "lyra2-distillation"
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def hub(mirror):
    with HubServer(mirror) as server:
        yield server


@pytest.fixture
def empty(tmp_path) -> Weights:
    return Weights(tmp_path / "empty")


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))


def test_a_download_from_the_hub_is_checked_and_whole(hub, mirror, empty, licences):
    size = download([VAE, TOKENIZER], empty, HubSource(hub.url), licences)
    repository = "Wan-AI--Wan2.1-I2V-14B-480P-Diffusers"
    assert (empty.root / repository / VAE_FILE).read_bytes() == (mirror / repository / VAE_FILE).read_bytes()
    assert empty.has(VAE) and empty.has(TOKENIZER)
    manifest = empty.manifest(VAE)
    assert manifest.revision == COMMIT and size > manifest.size
    assert all(entry.sha256 or entry.git_blob for entry in manifest.files)


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_begun_file_is_continued_by_range(hub, mirror, empty, licences, ignores_ranges):
    hub.ignores_ranges = ignores_ranges
    repository = "Wan-AI--Wan2.1-I2V-14B-480P-Diffusers"
    begun = partial(empty.root / repository / VAE_FILE)
    begun.parent.mkdir(parents=True)
    begun.write_bytes((mirror / repository / VAE_FILE).read_bytes()[:100_000])
    download([VAE], empty, HubSource(hub.url), licences)
    assert hub.ranges == [f"{VAE_FILE} bytes=100000-"]
    assert empty.has(VAE)


def test_an_answer_that_breaks_off_is_continued(hub, empty, licences):
    hub.cut[VAE_FILE] = 50_000
    download([VAE], empty, HubSource(hub.url), licences)
    assert empty.has(VAE) and not hub.cut


def test_a_gated_repository_wants_a_token(hub, empty, licences, monkeypatch):
    hub.gated.add("nvidia/Lyra-2.0")
    with pytest.raises(EngineNotReadyError, match=r"nvidia/Lyra-2\.0 is gated.*HF_TOKEN"):
        download([LORA], empty, HubSource(hub.url), licences)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    download([LORA], empty, HubSource(hub.url), licences)
    assert empty.has(LORA)


def test_a_repository_that_is_not_there(hub, empty, licences):
    with pytest.raises(EngineNotReadyError, match="does not show depth-anything/DA3NESTED"):
        download(["depth-anything-3"], empty, HubSource(hub.url), licences)


def test_a_hub_that_cannot_be_reached(empty, licences):
    with pytest.raises(EngineNotReadyError, match="cannot be reached for Wan-AI"):
        download([VAE], empty, HubSource("http://127.0.0.1:9"), licences)


def test_offline_mode_is_respected(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EngineNotReadyError, match=r"HF_HUB_OFFLINE is set.*--mirror"):
        HubSource()
