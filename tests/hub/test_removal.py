"""Removal takes the files of what is named, and nothing else."""

import pytest

from lyra.common.errors import InUseError, InvalidInputError
from lyra.common.locks import only_one
from lyra.hub import ITEMS, Weights
from lyra.hub.catalog import needs
from lyra.hub.manifest import FileEntry, Manifest, partial
from lyra.hub.removal import remove

MOGE, OTHER = "moge-2-small-onnx", "depth-anything-v2-small-onnx"


@pytest.fixture
def weights(tmp_path):
    """Both networks, as downloads left them, beside a file of the user's."""
    weights = Weights(tmp_path / "weights")
    for name in needs("depth").items:
        file = weights.place(ITEMS[name])
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(1000))
        Manifest("hub", "a" * 40, (FileEntry(ITEMS[name].path, 1000),)).write(weights.manifest_file(name))
    (weights.repository(ITEMS[MOGE].repository) / "notes.txt").write_text("mine")
    return weights


def test_what_is_named_goes_and_the_rest_stays(weights):
    assert remove([MOGE, MOGE], weights) == 1000
    assert not weights.has(MOGE) and weights.manifest(MOGE) is None and weights.has(OTHER)
    assert (weights.repository(ITEMS[MOGE].repository) / "notes.txt").read_text() == "mine"
    assert remove([MOGE], weights) == 0


def test_a_begun_download_goes_as_well(weights):
    file = weights.place(ITEMS[MOGE])
    file.replace(partial(file))
    assert remove([MOGE], weights) == 1000 and not partial(file).exists()


def test_what_a_link_leads_to_stays(weights, tmp_path):
    file, elsewhere = weights.place(ITEMS[MOGE]), tmp_path / "elsewhere.onnx"
    file.replace(elsewhere)
    file.symlink_to(elsewhere)
    with pytest.raises(InvalidInputError, match="is a link"):
        remove([MOGE], weights)
    assert elsewhere.stat().st_size == 1000


def test_a_conversion_goes_whole(weights):
    folder = weights.conversion("lyra2-bf16")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "shard.safetensors").write_bytes(bytes(50))
    assert remove(["lyra2-bf16"], weights) == 50 and not folder.exists()
    assert remove(["lyra2-bf16"], weights) == 0


def test_unknown_names_and_running_downloads(weights, tmp_path):
    with pytest.raises(InvalidInputError, match="'unet'"):
        remove([MOGE, "unet"], weights)
    assert weights.has(MOGE)
    with (
        only_one(weights.root / ".lyra-download.lock", "A download"),
        pytest.raises(InUseError, match="is under way already"),
    ):
        remove([MOGE], weights)
    assert remove([MOGE], Weights(tmp_path / "nowhere")) == 0
