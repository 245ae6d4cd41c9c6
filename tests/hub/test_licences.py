import dataclasses

import pytest

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.hub import licences as module
from lyra.hub.licences import LICENCES, AcceptedLicences


def test_acceptance_is_kept(tmp_path):
    AcceptedLicences(tmp_path).accept("nvidia-lyra-2.0")
    again = AcceptedLicences(tmp_path)
    assert again.accepted("nvidia-lyra-2.0")
    assert not again.accepted("cc-by-nc-4.0")


def test_free_licences_need_no_acceptance(tmp_path):
    AcceptedLicences(tmp_path).require(["apache-2.0"])
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_named_with_the_command(tmp_path):
    with pytest.raises(
        EngineNotReadyError, match=r"lyra models licence nvidia-lyra-2\.0 cc-by-nc-4\.0 --accept"
    ):
        AcceptedLicences(tmp_path).require(["nvidia-lyra-2.0", "cc-by-nc-4.0", "nvidia-lyra-2.0"])


def test_a_changed_text_is_shown_again(tmp_path, monkeypatch):
    accepted = AcceptedLicences(tmp_path)
    accepted.accept("cc-by-nc-4.0")
    changed = dataclasses.replace(LICENCES["cc-by-nc-4.0"], summary="Other words.")
    monkeypatch.setitem(module.LICENCES, "cc-by-nc-4.0", changed)
    assert not accepted.accepted("cc-by-nc-4.0")


@pytest.mark.parametrize("content", ["{", "[]", '{"cc-by-nc-4.0": true}'])
def test_a_damaged_file_is_named(tmp_path, content):
    accepted = AcceptedLicences(tmp_path)
    accepted.file.write_text(content)
    with pytest.raises(InvalidInputError, match=r"licences\.json is damaged"):
        accepted.accepted("cc-by-nc-4.0")


def test_unknown_licence(tmp_path):
    with pytest.raises(InvalidInputError, match="'bsd'"):
        AcceptedLicences(tmp_path).accept("bsd")
