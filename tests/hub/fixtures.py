"""Weights in miniature, shared by the tests that download, convert and use them."""

import shutil
from pathlib import Path

import pytest

from lyra.hub import LICENCES, AcceptedLicences, MirrorSource, Weights, download
from lyra.hub.catalog import needs


@pytest.fixture(scope="session")
def mirror(tmp_path_factory) -> Path:
    """The miniature of all repositories; not to be written to."""
    pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
    from tests.miniature import write_miniature

    return write_miniature(tmp_path_factory.mktemp("miniature"), vae_width=8)


@pytest.fixture
def licences(tmp_path) -> AcceptedLicences:
    """All accepted, in a folder of this test."""
    accepted = AcceptedLicences(tmp_path / "settings")
    for licence_id in LICENCES:
        accepted.accept(licence_id)
    return accepted


@pytest.fixture(scope="session")
def _downloaded(mirror, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("downloaded")
    accepted = AcceptedLicences(folder / "settings")
    for licence_id in LICENCES:
        accepted.accept(licence_id)
    items = [i for name in ("lyra2", "lyra2-fast", "depth-anything-v2") for i in needs(name).items]
    download(items, Weights(folder / "weights"), MirrorSource(mirror), accepted)
    return folder / "weights"


@pytest.fixture
def weights(_downloaded, tmp_path) -> Weights:
    """A weights folder of this test with everything downloaded and nothing converted."""
    shutil.copytree(_downloaded, tmp_path / "weights")
    return Weights(tmp_path / "weights")


@pytest.fixture
def writable_mirror(mirror, tmp_path) -> Path:
    shutil.copytree(mirror, tmp_path / "mirror")
    return tmp_path / "mirror"
