"""Captions: which chunk has which, and files that are none."""

import pytest

from lyra.common.errors import InvalidInputError
from lyra.world.captions import caption_for, check_captions, load_captions


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ({}, ["", "", ""]),
        ({0: "a"}, ["a", "a", "a"]),
        ({0: "a", 81: "b", 161: "c"}, ["a", "b", "c"]),
        ({0: "a", 82: "b"}, ["a", "a", "b"]),
        ({100: "late"}, ["late", "late", "late"]),
    ],
)
def test_captions_belong_to_chunks_by_their_starting_frame(captions, expected):
    assert [caption_for(captions, chunk) for chunk in range(3)] == expected


@pytest.mark.parametrize(
    "data", [[], {}, {"a": "x"}, {"-1": "x"}, {"1.5": "x"}, {"0": 3}, {"0": None}, "text", {"٣": 1}]
)
def test_bad_captions_are_refused(data):
    with pytest.raises(InvalidInputError, match=r"captions\.json"):
        check_captions(data, "captions.json")


def test_captions_that_windows_has_marked_as_utf_8(tmp_path):
    file = tmp_path / "captions.json"
    file.write_text('{"0": "a hall, 広間"}', "utf-8-sig")
    assert load_captions(file) == {0: "a hall, 広間"}
    file.write_text('{"0": "a hall"}', "utf-16")
    with pytest.raises(InvalidInputError, match=r"no captions file \(JSON in UTF-8\)"):
        load_captions(file)
