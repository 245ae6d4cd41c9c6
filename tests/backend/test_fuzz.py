"""Requests damaged in every way: the service answers each with less than 500, and refuses in one short line."""

import asyncio
import json
import os
import random
from urllib.parse import quote

import httpx
import pytest

from backend.inspection import Inspector
from tests.backend.inside import WORLD, backend_of, client_of
from tests.backend.service import picture, straight_path
from tests.backend.test_parts import job

SOAK = os.environ.get("LYRA_SOAK") == "1"
SEEDS = range(40 if SOAK else 2)
REQUESTS = 500 if SOAK else 150
JOB = "0123456789abcdef"
JSON = "application/json"
FORM = "multipart/form-data; boundary=X"

# What stands in for a value of JSON, as text.
VALUES = [
    "null", "true", "-1", "0", "1e999", "-1e999", "NaN", "Infinity", "1.5", "9" * 400, "9" * 5000, "-0", "0.1e-400",
    '""', '"a"', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"%s"' % ("a" * 20_000), '"../../etc/passwd"',
    '"é\U0001f600"', "[]", "{}", "[[]]",
    "[null]", "[[[1]]]", "[%s1]" % ("1," * 900), "[" * 200 + "]" * 200, "[" * 3000, '{"a":1,"a":2}',
    '{"%s":1}' % ("k" * 5000), "1" * 20 + ".5", "", "]", ",", "\ufeff", "'", "//", "\x00", "\x1f",
]  # fmt: skip
# What stands in for a part of a path or of a query.
NAMES = [
    "", ".", "..", "%2e%2e", "%2F", "..%2F..%2Fetc%2Fpasswd", "%00", "%ff%fe", "%ED%A0%80", "a" * 3000, "UPPER", "-",
    "é", "%0d%0aX: y", "world.json", ".lyra.lock", "results", "chunks/0001", "con", "*", "?", "#", "'", '"', "\\",
    "9" * 5000, "-1", "1e9", "true", WORLD, JOB, "preview", "lyra2",
]  # fmt: skip
HEADERS = {
    "Content-Type": [
        JSON, FORM, "", "text/plain", "application/json; charset=utf-16", "multipart/form-data", "x" * 3000, "é", ";",
        "a/b/c", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "X" * 300,
        FORM + "; charset=idna",
        FORM + "; charset=unicode_escape", "application/x-www-form-urlencoded", 'multipart/form-data; boundary="X',
    ],
    "Content-Length": ["", "-1", "0", "1", "9" * 30, "9" * 5000, "1e3", "é"],
    "Range": ["bytes=0-0", "bytes=-1", "bytes=9-1", "bytes=" + "0-1," * 500, "bytes=" + "9" * 5000 + "-", "bytes=٣-"],
    "Authorization": ["", "Bearer", "Bearer x", "Bearer é", "Basic " + "a" * 5000],
    "Host": ["", "evil.example", "127.0.0.1:", "127.0.0.1:999999", "[::1]:1", "localhost\x00"],
    "Origin": ["null", "http://127.0.0.1:1", "http://evil.example", "é" * 500],
    "Last-Event-ID": ["-1", "9" * 5000, "é"],
    "Accept": ["*/*", "x" * 5000, "é"],
}  # fmt: skip


def valid_requests() -> list[tuple[str, str, dict, bytes]]:
    """Method, path, headers and body of requests that the service takes."""
    extend = {
        "trajectory": straight_path(),
        "captions": {"0": "a street"},
        "seed": 1,
        "options": {"steps": 4},
    }
    settings = {
        "name": "A world", "engine": "preview", "size": [208, 112],
        "intrinsics": [[190, 0, 104], [0, 190, 56], [0, 0, 1]], "intrinsics_size": [208, 112], "depth": "builtin",
    }  # fmt: skip
    part = b'--X\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    image = part % (b"image", b'; filename="a.png"', picture())
    bodies = {
        f"/v1/worlds/{WORLD}/chunks": extend,
        f"/v1/worlds/{WORLD}/revert": {"chunks": 0},
        f"/v1/worlds/{WORLD}/switch": {"take": 0},
        f"/v1/worlds/{WORLD}/clean": {"dry_run": False},
        f"/v1/worlds/{WORLD}/reconstruct": {"mesh": True},
        f"/v1/worlds/{WORLD}/export": {"items": ["splats.ply", "mesh.glb"]},
        "/v1/shutdown": {"force": False},
    }
    found = [
        ("POST", path, {"Content-Type": JSON}, json.dumps(body).encode()) for path, body in bodies.items()
    ]
    found.append(("PUT", f"/v1/worlds/{WORLD}", {"Content-Type": JSON}, b'{"scale": 2.5}'))
    form = part % (b"settings", b"", json.dumps(settings).encode()) + image + b"--X--\r\n"
    found.append(("POST", "/v1/worlds", {"Content-Type": FORM}, form))
    found.append(("POST", "/v1/pictures/measure", {"Content-Type": FORM}, image + b"--X--\r\n"))
    calls = [
        "GET /v1/health", f"GET /v1/hello?challenge={'0f' * 32}", "GET /v1/worlds", f"GET /v1/worlds/{WORLD}",
        f"GET /v1/worlds/{WORLD}/files/seed.png", f"GET /v1/jobs?world_id={WORLD}&active=true", f"GET /v1/jobs/{JOB}",
        f"GET /v1/jobs/{JOB}/events?after=0", f"GET /v1/jobs/{JOB}/preview", f"POST /v1/jobs/{JOB}/cancel",
        f"POST /v1/jobs/{JOB}/resume", "POST /v1/licences/none/accept", "POST /v1/engines/none/download",
        "DELETE /v1/worlds/none", "GET /docs", "GET /docs/openapi.json",
    ]  # fmt: skip
    # Bodies have the most to damage.
    return 4 * found + [(*call.split(" "), {}, b"") for call in calls]


def mutated(rng: random.Random, request: tuple[str, str, dict, bytes]) -> tuple[str, str, dict, bytes]:
    """The request with one to three things wrong."""
    method, path, headers, body = request
    for _ in range(rng.randint(1, 3)):
        match rng.choice(["json", "bytes", "path", "query", "header", "method"]):
            case "json" if body.startswith(b"{"):
                body = with_value(rng, body)
            case "bytes" if body:
                body = with_bytes(rng, body)
            case "path":
                parts = path.split("/")
                parts[rng.randrange(1, len(parts))] = named(rng)
                path = "/".join(parts)
            case "query":
                path += (
                    "&" if "?" in path else "?"
                ) + f"{rng.choice(['after', 'active', 'world_id', 'challenge'])}={named(rng)}"
            case "header":
                name = rng.choice(list(HEADERS))
                headers = {**headers, name: rng.choice(HEADERS[name])}
            case "method" if rng.random() < 0.2:
                method = rng.choice(["GET", "POST", "PUT", "HEAD", "PATCH", "OPTIONS", "BREW"])
    return method, path, headers, body


def named(rng: random.Random) -> str:
    return quote(rng.choice(NAMES), safe="%./")


def with_value(rng: random.Random, body: bytes) -> bytes:
    """JSON with one of its values exchanged, wherever it stands."""
    try:
        place = root = json.loads(body)
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.2:
                break
            place = place[key]
        place[key] = "\0here\0"
        return json.dumps(root).replace(json.dumps("\0here\0"), rng.choice(VALUES)).encode()
    except (ValueError, IndexError, RecursionError):  # it was damaged before
        return body


def with_bytes(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body))
    match rng.randrange(4):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
        case 2:
            return body[:at] + rng.choice(VALUES).encode() + body[at:]
        case _:
            return body[:at] + body[rng.randrange(len(body)) :] + body


def check(request: tuple, answer: httpx.Response) -> None:
    assert answer.status_code < 500, (answer.text, request)
    if answer.status_code < 400 or request[0] == "HEAD":
        return
    assert len(answer.content) <= 1024, request
    text = answer.json()["detail"]
    assert text and len(text) <= 300 and text.isprintable(), request


@pytest.fixture(scope="module")
def inspector():
    inspector = Inspector()
    yield inspector
    inspector.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_requests_are_refused_in_one_line(tmp_path, monkeypatch, inspector, seed):
    for name in ("XDG_CONFIG_HOME", "LYRA_WEIGHTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    rng, requests = random.Random(seed), valid_requests()  # noqa: S311 - the same cases every time
    backend = backend_of(tmp_path, inspector=inspector)
    backend.book.submit(job(id=JOB, world_id=WORLD, kind="export", preview=True))

    async def story() -> None:
        async with client_of(backend) as client:
            for request in requests if seed == 0 else []:
                check(request, await send(client, request))
            for _ in range(REQUESTS):
                request = mutated(rng, rng.choice(requests))
                check(request, await send(client, request))
            assert (await client.get("/v1/health")).status_code == 200
            assert [world["state"] for world in (await client.get("/v1/worlds")).json()].count("ready") == 1

    asyncio.run(story())
    assert {path.name for path in tmp_path.iterdir()} <= {"worlds", "XDG_CONFIG_HOME", "LYRA_WEIGHTS"}


async def send(client: httpx.AsyncClient, request: tuple[str, str, dict, bytes]) -> httpx.Response:
    method, path, headers, body = request
    encoded = {name: value.encode() for name, value in headers.items()}
    # What a client makes of a path is its own business: this one is sent as it is.
    url = httpx.URL("http://127.0.0.1", raw_path=path.encode())
    return await asyncio.wait_for(client.request(method, url, headers=encoded, content=body), 60)
