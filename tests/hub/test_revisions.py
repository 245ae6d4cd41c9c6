"""Every download of a repository is of one pinned revision, the release's or that of the first download."""

import json
import re

import pytest

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.hub import HubSource, MirrorSource, Weights, download, verify
from lyra.hub import downloads as module
from lyra.hub.catalog import ITEMS
from lyra.hub.revisions import pinned_revision, released_revisions
from scripts.pin_models import pin
from tests.hub.hub_server import COMMIT, HubServer

pytest.importorskip("huggingface_hub", reason="needs the extra lyra-worlds[lyra2]")

VAE, TOKENIZER = "wan-vae", "wan-tokenizer"
WAN = ITEMS[VAE].repository
LATER, RELEASED = "f" * 40, "a" * 40


@pytest.fixture
def hub(mirror, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    with HubServer(mirror) as server:
        yield server


@pytest.fixture
def empty(tmp_path) -> Weights:
    return Weights(tmp_path / "empty")


def test_the_first_download_pins_the_repository(hub, empty, licences):
    assert pinned_revision(WAN, empty, {}) is None
    download([VAE], empty, HubSource(hub.url), licences)
    hub.commit = LATER
    download([TOKENIZER], empty, HubSource(hub.url), licences)
    assert hub.revisions == [None, COMMIT]
    assert {empty.manifest(item).revision for item in (VAE, TOKENIZER)} == {COMMIT}
    assert not verify(empty, [TOKENIZER])


def test_the_newest_revision_is_taken_on_request(hub, empty, licences):
    download([VAE], empty, HubSource(hub.url), licences)
    hub.commit = LATER
    download([VAE], empty, HubSource(hub.url), licences, newest=True)
    assert empty.manifest(VAE).revision == LATER


def test_a_release_names_revisions(hub, empty, licences, monkeypatch):
    monkeypatch.setattr(
        module, "pinned_revision", lambda name, weights: pinned_revision(name, weights, {WAN: RELEASED})
    )
    download([VAE], empty, HubSource(hub.url), licences)
    assert hub.revisions == [RELEASED]


def test_a_pinned_revision_that_is_gone_is_explained(hub, empty, licences):
    download([VAE], empty, HubSource(hub.url), licences)
    hub.gone.add(COMMIT)
    with pytest.raises(EngineNotReadyError, match=r"no longer has the revision .* --newest"):
        download([TOKENIZER], empty, HubSource(hub.url), licences)


def test_a_mirror_pins_nothing(mirror, empty, licences):
    download([VAE], empty, MirrorSource(mirror), licences)
    assert pinned_revision(WAN, empty, {}) is None


def test_the_revisions_of_this_release_are_commits():
    assert released_revisions().keys() <= {entry.repository for entry in ITEMS.values()}


@pytest.mark.parametrize("content", ["[]", '{"owner/name": "main"}', '{"owner/name": 5}'])
def test_damaged_revisions_are_refused(tmp_path, content):
    (tmp_path / "revisions.json").write_text(content)
    with pytest.raises(InvalidInputError, match=r"revisions\.json is damaged .* install lyra-worlds again"):
        released_revisions(tmp_path / "revisions.json")


def test_pinning_writes_what_the_hub_has(hub, tmp_path):
    file = tmp_path / "revisions.json"
    file.write_text(json.dumps({"other/name": RELEASED}))
    pin([WAN], HubSource(hub.url), file)
    assert released_revisions(file) == {"other/name": RELEASED, WAN: COMMIT}
    assert re.search(r"\n$", file.read_text())
