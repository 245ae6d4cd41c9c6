import contextlib
import json
import shutil
import subprocess
import sys
import time

import pytest

from lyra.common.errors import (
    CancelledError,
    DiskFullError,
    EngineNotReadyError,
    InUseError,
    InvalidInputError,
)
from lyra.common.progress import Progress
from lyra.hub import AcceptedLicences, MirrorSource, Weights, choose_source, download
from lyra.hub import downloads as module
from lyra.hub.catalog import CHECKPOINT
from lyra.hub.manifest import partial
from lyra.hub.sources import read_checksums

VAE = "wan-vae"
TEXT = "wan-text-encoder"


@pytest.fixture
def empty(tmp_path) -> Weights:
    return Weights(tmp_path / "empty")


def big_file(weights: Weights):
    return weights.path(VAE) / "diffusion_pytorch_model.safetensors"


def test_a_downloaded_item_is_whole_and_costs_nothing_again(mirror, empty, licences):
    size = download([VAE, TEXT], empty, MirrorSource(mirror), licences)
    assert size > 2e6
    source = mirror / empty.path(VAE).parent.name / "vae" / "diffusion_pytorch_model.safetensors"
    assert big_file(empty).read_bytes() == source.read_bytes()
    assert empty.missing_bytes(VAE) == 0
    assert download([VAE, TEXT], empty, MirrorSource(mirror), licences) == 0


def test_progress_counts_bytes_to_the_end(mirror, empty, licences):
    heard = []
    listener = Progress(lambda stage, fraction, frame: heard.append((stage, fraction)))
    download([VAE], empty, MirrorSource(mirror), licences, listener)
    fractions = [fraction for stage, fraction in heard if stage == "download"]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_nothing_is_fetched_before_the_licence_is_accepted(mirror, empty, tmp_path):
    with pytest.raises(EngineNotReadyError, match=r"lyra models licence nvidia-lyra-2\.0 --accept"):
        download(["lyra2-distillation"], empty, MirrorSource(mirror), AcceptedLicences(tmp_path / "none"))
    assert not empty.root.exists()


class Interrupted(MirrorSource):
    """A source whose line breaks in the middle of every file that is larger than `limit`."""

    limit = 1_000_000

    def fetch(self, repository_id, revision, entry, target, on_bytes):
        if entry.size <= self.limit:
            return super().fetch(repository_id, revision, entry, target, on_bytes)
        with (self._repository(repository_id) / entry.path).open("rb") as source:
            target.write(source.read(self.limit))
            on_bytes(self.limit)
        raise EngineNotReadyError("the line broke")


class Silent(Interrupted):
    """A source whose line breaks without a word."""

    def fetch(self, repository_id, revision, entry, target, on_bytes):
        with contextlib.suppress(EngineNotReadyError):
            super().fetch(repository_id, revision, entry, target, on_bytes)


class Counting(MirrorSource):
    """Remembers where each file was continued."""

    def __init__(self, folder):
        super().__init__(folder)
        self.starts = {}

    def fetch(self, repository_id, revision, entry, target, on_bytes):
        self.starts[entry.path] = target.tell()
        super().fetch(repository_id, revision, entry, target, on_bytes)


def test_a_broken_download_goes_on_where_it_stopped(mirror, empty, licences):
    with pytest.raises(EngineNotReadyError, match="the line broke"):
        download([VAE], empty, Interrupted(mirror), licences)
    left = empty.missing_bytes(VAE)
    assert left > 0 and not empty.has(VAE)
    source = Counting(mirror)
    fetched = download([VAE], empty, source, licences)
    assert source.starts["vae/diffusion_pytorch_model.safetensors"] == Interrupted.limit
    assert fetched <= left and empty.has(VAE)


def test_a_line_that_breaks_without_a_word_costs_nothing_that_came(mirror, empty, licences):
    with pytest.raises(
        EngineNotReadyError, match=r"was cut short; download again\. What is downloaded is kept"
    ):
        download([VAE], empty, Silent(mirror), licences)
    source = Counting(mirror)
    download([VAE], empty, source, licences)
    assert source.starts["vae/diffusion_pytorch_model.safetensors"] == Silent.limit and empty.has(VAE)


def test_cancel_keeps_what_is_there(mirror, empty, licences):
    class Slow(Counting):
        def fetch(self, repository_id, revision, entry, target, on_bytes):
            with (self._repository(repository_id) / entry.path).open("rb") as source:
                source.seek(target.tell())
                while block := source.read(1000):
                    target.write(block)
                    on_bytes(len(block))
                    asked.append(True)
                    time.sleep(0.002)

    asked = []
    with pytest.raises(CancelledError):
        download([VAE], empty, Slow(mirror), licences, Progress(cancelled=lambda: bool(asked)))
    assert not empty.has(VAE)
    download([VAE], empty, MirrorSource(mirror), licences)
    assert empty.has(VAE)


def test_bytes_that_are_not_the_stated_ones_are_thrown_away(writable_mirror, empty, licences):
    file = next(writable_mirror.rglob("vae/*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(EngineNotReadyError, match=r"SHA-256 .* should have .* download again"):
        download([VAE], empty, MirrorSource(writable_mirror), licences)
    assert not empty.has(VAE)
    assert not list(empty.root.rglob("*.part"))


def test_begun_bytes_of_another_file_are_found_out(mirror, empty, licences):
    target = (
        empty.root / "Wan-AI--Wan2.1-I2V-14B-480P-Diffusers" / "vae" / "diffusion_pytorch_model.safetensors"
    )
    target.parent.mkdir(parents=True)
    partial(target).write_bytes(b"x" * 1000)
    with pytest.raises(EngineNotReadyError, match="It was deleted; download again"):
        download([VAE], empty, MirrorSource(mirror), licences)
    assert download([VAE], empty, MirrorSource(mirror), licences) > 0
    assert empty.has(VAE)


def test_more_bytes_than_the_file_has_are_begun_anew(mirror, empty, licences):
    target = empty.repository("Wan-AI/Wan2.1-I2V-14B-480P-Diffusers") / "vae" / "config.json"
    target.parent.mkdir(parents=True)
    partial(target).write_bytes(b"x" * 100_000)
    download([VAE], empty, MirrorSource(mirror), licences)
    assert empty.has(VAE)


def test_a_newer_revision_replaces_files_of_the_same_size(writable_mirror, empty, licences):
    from tests.miniature import write_checksums

    download([VAE], empty, MirrorSource(writable_mirror), licences)
    file = next(writable_mirror.rglob("vae/config.json"))
    changed = file.read_text().replace("dropout", "Dropout")
    file.write_text(changed)
    write_checksums(file.parents[1])
    download([VAE], empty, MirrorSource(writable_mirror), licences)
    assert (empty.path(VAE) / "config.json").read_text() == changed


def test_a_mirror_that_lacks_a_file_is_refused(writable_mirror, empty, licences):
    file = next(writable_mirror.rglob("vae/config.json"))
    file.unlink()
    with pytest.raises(
        EngineNotReadyError, match=r"names 'vae/config\.json', which the mirror does not have"
    ):
        download([VAE], empty, MirrorSource(writable_mirror), licences)
    (file.parents[1] / "SHA256SUMS").unlink()
    with pytest.raises(EngineNotReadyError, match=r"has no 'vae/config\.json' of Causal video autoencoder"):
        download([VAE], empty, MirrorSource(writable_mirror), licences)


def test_the_disk_is_checked_first(mirror, empty, licences, monkeypatch):
    monkeypatch.setattr(module, "SPARE_BYTES", 10**18)
    with pytest.raises(DiskFullError, match="GB free and this needs about"):
        download([VAE], empty, MirrorSource(mirror), licences)
    assert not list(empty.root.rglob("*.part"))


def test_two_downloads_do_not_write_the_same_files(mirror, empty, licences):
    lock = empty.root / ".lyra-download.lock"
    script = (
        "import sys; from pathlib import Path; from lyra.common.locks import only_one\n"
        "with only_one(Path(sys.argv[1]), 'it'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(InUseError, match="is under way already, in another process"):
            download([VAE], empty, MirrorSource(mirror), licences)
        other.kill()
    download([VAE], empty, MirrorSource(mirror), licences)
    assert empty.has(VAE)


def test_checksum_files_that_lead_outside_are_refused(writable_mirror, empty, licences):
    repository = next(writable_mirror.glob("Wan-AI--*"))
    (repository / "SHA256SUMS").write_text(f"{'0' * 64}  ../elsewhere\n")
    with pytest.raises(InvalidInputError, match=r"'\.\./elsewhere' leads out of its folder"):
        download([VAE], empty, MirrorSource(writable_mirror), licences)


def test_the_mirror_is_chosen_by_argument_then_environment(mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("LYRA_MIRROR", str(mirror))
    assert choose_source().folder == mirror
    assert choose_source(tmp_path).folder == tmp_path
    with pytest.raises(InvalidInputError, match="is no folder"):
        choose_source(tmp_path / "nowhere")


def test_a_weights_folder_is_a_mirror(weights, empty, licences):
    leftover = partial(weights.path(CHECKPOINT) / "__0_9.distcp")
    leftover.write_bytes(b"begun")
    download([VAE, CHECKPOINT], empty, MirrorSource(weights.root), licences)
    assert empty.has(VAE) and empty.has(CHECKPOINT)
    assert not (empty.path(CHECKPOINT) / leftover.name).exists()


def test_files_put_there_by_hand_count_when_all_are_there(mirror, empty):
    assert empty.missing_bytes(TEXT) > 1e10
    source = mirror / "Wan-AI--Wan2.1-I2V-14B-480P-Diffusers"
    shutil.copytree(source, empty.root / source.name)
    assert empty.has(TEXT)
    next(empty.path(TEXT).glob("model-00002-*")).unlink()
    assert not empty.has(TEXT)
    with pytest.raises(EngineNotReadyError, match="lyra models download wan-text-encoder"):
        empty.path(TEXT)


def test_a_damaged_manifest_is_named(weights):
    file = weights.manifest_file(VAE)
    data = json.loads(file.read_text())
    data["files"][0]["path"] = "../../escape"
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidInputError, match="leads out of its folder"):
        weights.has(VAE)
    file.write_text("{}")
    with pytest.raises(InvalidInputError, match="download the weights again"):
        weights.has(VAE)


def test_checksums_that_windows_has_marked_as_utf_8(tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"{'A' * 64} *vae/config.json\n", "utf-8-sig")
    assert read_checksums(tmp_path / "SHA256SUMS") == {"vae/config.json": "a" * 64}
