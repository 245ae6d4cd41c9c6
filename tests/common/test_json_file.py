"""The reader of JSON files: what is written comes back, the rest is refused in one line."""

import pytest

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import parse_json, read_json, read_object


def test_json_comes_back(tmp_path):
    file = tmp_path / "captions.json"
    file.write_bytes('\ufeff{"0": "Straße 😀 \\ud83d\\ude00", "n": [1, 2.5, true, null]}'.encode())
    assert read_object(file) == {"0": "Straße 😀 😀", "n": [1, 2.5, True, None]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'"\xff"',
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"' + b"x" * 5_000_000 + b'"',
    ],
)
def test_what_is_no_json_is_refused_in_one_line(data):
    with pytest.raises(InvalidInputError, match=r"^The answer is [^\n]{1,250}; ask again\.$"):
        parse_json(data, "The answer", advice="ask again")


def test_nesting_up_to_the_limit_is_read():
    assert parse_json(b"[" * 64 + b"]" * 64, "It")


def test_what_is_no_object_is_quoted(tmp_path):
    file = tmp_path / "world.json"
    file.write_text("[1]")
    with pytest.raises(InvalidInputError, match=r"world.json is damaged \(\[1\] where an object is needed"):
        read_object(file)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "missing.json")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_json(tmp_path)
