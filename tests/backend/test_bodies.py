"""Bodies are bounded before they take memory, and what is wrong with one is said in one short line."""

import asyncio
import json

import numpy as np
import pytest

from backend.api.app import create_app
from backend.api.json_body import MAX_DEPTH, MAX_KEYS, read_json
from backend.api.schemas import ExportSettings, ExtendSettings, NewWorldSettings, RevertBody, WorldChanges
from backend.api.security import Guard
from backend.api.validation import MAX_CAPTIONS, check_captions
from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import MAX_FRAMES
from tests.backend.inside import WORLD, ask, backend_of
from tests.backend.service import picture, straight_path

JSON = {"Content-Type": "application/json"}
CHUNKS = f"/v1/worlds/{WORLD}/chunks"


def path_with(w2c: str) -> bytes:
    """An extend request with this text in place of the poses."""
    return json.dumps({"trajectory": {**straight_path(), "w2c": "?"}}).replace('"?"', w2c).encode()


def refusal(answer, status: int = 400) -> str:
    """The one line of a refusal, which quotes little of what was sent."""
    assert answer.status_code == status, answer.text
    text = answer.json()["detail"]
    assert len(answer.content) <= 1024 and len(text) <= 300 and text.isprintable()
    return text


BODIES = {
    "millions of numbers": (path_with(f"[{'1,' * 2_000_000}1]"), "about 2001", 400),
    "millions of lists": (path_with(f"[{'[],' * 200_000}[]]"), "values; at most", 400),
    "one list of too many": (path_with(f"[{'1,' * 300_000}1]"), "300001", 400),
    "texts for numbers": (path_with("[" + '[["a"]],' * 60_000 + '[["a"]]]'), "trajectory.w2c.0.0.0 is 'a'", 400),
    "a long text for a number": (path_with(f'[[["{"a" * 100_000}"]]]'), "a number is needed", 400),
    "truth for a number": (path_with("[[[1, true]]]"), "trajectory.w2c.0.0.1 is True", 400),
    "no array": (path_with("5"), "an array of numbers is needed", 400),
    "a number of 400 digits": (path_with(f"[[[{'9' * 400}]]]"), "too large", 400),
    "a number of 5000 digits": (path_with(f"[[[{'9' * 5000}]]]"), "thousands of digits", 400),
    "a fraction of a million digits": (path_with(f"[[[0.{'3' * 1_000_000}]]]"), "w2c has shape (1, 1, 1)", 400),
    "deep": (b"[" * 1_000_000, "values; at most", 400),
    "deep enough for Python": (b"[" * 20_000 + b"]" * 20_000, f"nested 20000 deep; at most {MAX_DEPTH}", 400),
    "deep objects": (b'{"trajectory":' * 900 + b"1" + b"}" * 900, "nested 900 deep", 400),
    "a key twice": (b'{"prompt": "a", "prompt": "b"}', "'prompt' stands in one object twice", 400),
    "many keys": (b"{%s}" % b",".join(b'"k%d":1' % i for i in range(MAX_KEYS + 1)), "8002 keys", 400),
    "wrong keys": (
        json.dumps({"trajectory": straight_path(), **{f"k{i}": 1 for i in range(5000)}}).encode(),
        "k0 is 1: extra inputs are not permitted (4999 more like it)", 400,
    ),
    "a key of kilobytes": (
        json.dumps({"trajectory": straight_path(), "k" * 100_000: 1}).encode(), "kkk is 1: extra", 400,
    ),
    "no UTF-8": (b'{"prompt": "\xff\xfe"}', "no UTF-8 (byte 12 is 0xff)", 400),
    "half a surrogate": (b'{"trajectory": {}, "prompt": "\\ud800"}', "", 400),
    "a surrogate's bytes": (b'{"prompt": "\xed\xa0\x80"}', "no UTF-8", 400),
    "UTF-16": ('{"prompt": "a"}'.encode("utf-16"), "no UTF-8", 400),
    "a mark before it": ('\ufeff{"prompt": "a"}'.encode(), "JSON", 400),
    "nothing": (b"", "The body is missing", 400),
    "a list": (b"[]", "The body is []", 400),
    "null": (b"null", "The body is None", 400),
    "a NUL": (b"\0", "JSON", 400),
    "too many bytes": (b" " * 17_000_000, "17.0 MB; at most 16.0 MB", 413),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_out_of_bounds_is_one_line(tmp_path, name):
    body, says, status = BODIES[name]
    (answer,) = ask(tmp_path, ("POST", CHUNKS, {"content": body, "headers": JSON}))
    assert says in refusal(answer, status)


def test_text_may_hold_brackets_and_commas(tmp_path):
    text = "[{" * 60 + '"' * 50 + "\\" + "," * 5000
    body = {"trajectory": straight_path(), "prompt": text}
    (answer,) = ask(tmp_path, ("POST", CHUNKS, {"json": body}))
    assert answer.status_code == 202, answer.text


def test_text_without_an_end_is_looked_through_once():
    """The search for strings does not begin anew behind every quote."""
    body = b"[" * (MAX_DEPTH + 1) + b'"' + b'\\"' * 200_000
    with pytest.raises(InvalidInputError, match="nested 33 deep"):
        read_json(body, ExtendSettings)


def test_the_longest_path_is_read_as_arrays():
    body = read_json(json.dumps({"trajectory": straight_path(MAX_FRAMES)}, indent=1).encode(), ExtendSettings)
    assert body.trajectory.w2c.shape == (MAX_FRAMES, 4, 4) and body.trajectory.w2c.dtype == np.float64
    assert body.trajectory.intrinsics.shape == (MAX_FRAMES, 3, 3)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (RevertBody, '{"chunks": 1, "x": [%s1]}' % ("1," * 2000)),
        (ExportSettings, '{"items": [%s1]}' % ("1," * 2000)),
        (NewWorldSettings, '{"intrinsics": [%s1]}' % ("1," * 2000)),
    ],
)
def test_small_bodies_hold_few_values(kind, text):
    with pytest.raises(InvalidInputError, match="at most 1000 belong here"):
        read_json(text.encode(), kind)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "[1]", "null"])
def test_a_scale_that_is_none_is_refused(value):
    with pytest.raises(InvalidInputError, match="scale is"):
        read_json(f'{{"scale": {value}}}'.encode(), WorldChanges)


@pytest.mark.parametrize("value", ["true", '"1"', "null", "{}"])
def test_what_is_no_number_is_none_in_an_array_either(value):
    with pytest.raises(InvalidInputError, match=r"intrinsics\.0\.1 is .*: a number is needed"):
        read_json(f'{{"intrinsics": [[1, {value}]]}}'.encode(), NewWorldSettings)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "é", ""]
)
def test_a_body_of_another_type_is_refused(tmp_path, kind):
    headers = {"Content-Type": kind.encode()}
    (answer,) = ask(tmp_path, ("POST", CHUNKS, {"content": b"{}", "headers": headers}))
    assert "application/json" in refusal(answer, 415)


def test_small_bodies_have_fewer_bytes(tmp_path):
    content = b'{"scale": 1.0}' + b" " * 70_000
    (answer,) = ask(tmp_path, ("PUT", f"/v1/worlds/{WORLD}", {"content": content, "headers": JSON}))
    assert "at most 0.1 MB" in refusal(answer, 413)


def test_a_length_of_thousands_of_digits_is_too_large(tmp_path):
    headers = {**JSON, "Content-Length": "9" * 5000}
    (answer,) = ask(tmp_path, ("PUT", f"/v1/worlds/{WORLD}", {"content": b"{}", "headers": headers}))
    refusal(answer, 413)


def test_captions_are_few_enough_to_be_saved_with_every_step():
    check_captions({"0": "a" * MAX_CAPTIONS}, "", 81)
    with pytest.raises(InvalidInputError, match="1000001 characters together; at most 1000000"):
        check_captions({"0": "a" * MAX_CAPTIONS, "1": "b"}, "", 81)


def form(*parts: bytes) -> bytes:
    return b"".join(b"--X\r\n" + part + b"\r\n" for part in parts) + b"--X--\r\n"


IMAGE = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + picture()
SETTINGS = b'Content-Disposition: form-data; name="settings"\r\n\r\n'
FORMS = {
    "thousands of files": (form(*[IMAGE] * 2000), "multipart/form-data; boundary=X", "files"),
    "thousands of fields": (form(*[SETTINGS + b"{}"] * 20_000), "multipart/form-data; boundary=X", "fields"),
    "a giant header": (form(b"X: " + b"y" * 1_000_000 + b"\r\n" + IMAGE), "multipart/form-data; boundary=X", ""),
    "thousands of headers": (form(b"X: y\r\n" * 10_000 + IMAGE), "multipart/form-data; boundary=X", ""),
    "a giant field": (form(SETTINGS + b" " * 100_000), "multipart/form-data; boundary=X", "64KB"),
    "no name": (form(b"Content-Disposition: form-data\r\n\r\nx"), "multipart/form-data; boundary=X", "name"),
    "no boundary": (form(IMAGE), "multipart/form-data", "boundary"),
    "a giant boundary": (form(IMAGE), f"multipart/form-data; boundary={'X' * 10_000}", ""),
    "a codec that takes minutes": (form(IMAGE), "multipart/form-data; boundary=X; charset=punycode", "UTF-8"),
    "a codec that raises": (form(SETTINGS + b"\xff" * 99), "multipart/form-data; boundary=X; charset=idna", "UTF-8"),
    "JSON": (b"{}", "application/json", "multipart/form-data"),
    "no form": (b"\0" * 1000, "multipart/form-data; boundary=X", ""),
    "no type": (form(IMAGE), "", "multipart/form-data"),
    "deep settings": (form(IMAGE, SETTINGS + b"[" * 60_000), "multipart/form-data; boundary=X", "settings: "),
    "settings that are no Unicode": (
        form(IMAGE, SETTINGS + b'{"name": "\\ud800"}'), "multipart/form-data; boundary=X", "settings: name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_out_of_bounds_is_one_line_and_leaves_nothing(tmp_path, name):
    body, kind, says = FORMS[name]
    headers = {"Content-Type": kind}
    requests = [
        ("POST", path, {"content": body, "headers": headers})
        for path in ("/v1/worlds", "/v1/pictures/measure")
    ]
    made, measured = ask(tmp_path, *requests)
    assert says in refusal(made)
    if "settings" not in says:
        refusal(measured)
    private = tmp_path / "worlds" / ".backend"
    assert not any((private / "jobs").iterdir()) and not any((private / "uploads").iterdir())


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("PUT", f"/v1/worlds/{WORLD}", "application/json"),
        ("POST", "/v1/worlds", "multipart/form-data; boundary=X"),
        ("POST", "/v1/pictures/measure", "multipart/form-data; boundary=X"),
    ],
)
def test_a_client_that_leaves_in_the_middle_of_a_body_leaves_nothing(tmp_path, method, path, kind):
    backend = backend_of(tmp_path)
    guard = Guard(create_app(backend), token=backend.token, port=1, limits=backend.config.limits)
    messages = [
        {"type": "http.request", "body": form(IMAGE)[:200], "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {backend.token}", "content-type": kind}
    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def receive() -> dict:
        return messages.pop(0)

    async def send(message: dict) -> None:
        assert message.get("status", 400) == 400

    asyncio.run(guard(scope, receive, send))
    private = backend.config.private_folder
    assert not any((private / "jobs").iterdir()) and not any((private / "uploads").iterdir())
    backend.book.close()
