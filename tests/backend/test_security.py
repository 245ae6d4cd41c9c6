"""Who may talk to the backend, and how much they may send."""

import asyncio
import http.client
import json
import socket

import httpx
import pytest

from backend.api import security
from backend.config import Limits
from tests.backend.service import picture


def raw(slow, headers, path="/v1/health", method="GET", body=None):
    """A request with exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", slow.state["port"], timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for key, value in headers:
        connection.putheader(key, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.fixture
def token(slow):
    return ("Authorization", f"Bearer {slow.state['token']}")


@pytest.fixture
def host(slow):
    return ("Host", f"127.0.0.1:{slow.state['port']}")


@pytest.mark.parametrize("value", ["Bearer wrong", "Bearer ", "Basic abc", "Bearer \xff"])
def test_a_wrong_token_is_refused(slow, host, value):
    status, text = raw(slow, [host, ("Authorization", value)])
    assert status == 401
    assert "state file" in json.loads(text)["detail"]


def test_a_missing_token_is_refused_and_a_repeated_one_too(slow, host, token):
    assert raw(slow, [host])[0] == 401
    assert raw(slow, [host, token])[0] == 200
    assert raw(slow, [host, token, ("Authorization", "Bearer other")])[0] == 401


@pytest.mark.parametrize(
    "name", ["evil.example:{port}", "evil.example", "127.0.0.1.evil:1", "localhost.evil:{port}"]
)
def test_a_foreign_host_is_refused_even_with_the_token(slow, token, name):
    name = name.format(port=slow.state["port"])
    status, text = raw(slow, [("Host", name), token])
    assert status == 403
    assert name in json.loads(text)["detail"]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "[::1]", "127.0.0.1"])
def test_every_loopback_name_is_accepted_on_any_port_as_behind_a_tunnel(slow, token, name):
    assert raw(slow, [("Host", f"{name}:{slow.state['port']}"), token])[0] == 200
    assert raw(slow, [("Host", f"{name}:8000"), token])[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://localhost"]
)
def test_a_foreign_origin_is_refused(slow, host, token, origin):
    assert raw(slow, [host, token, ("Origin", origin.format(port=slow.state["port"]))])[0] == 403
    own = ("Origin", f"http://127.0.0.1:{slow.state['port']}")
    assert raw(slow, [host, token, own])[0] == 200


def test_the_openapi_page_is_open_and_nothing_else(slow):
    page = httpx.get(f"{slow.url}/docs")
    assert page.status_code == 200
    assert "/v1/worlds/{world_id}/chunks" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://127.0.0.1", "")
    assert "https://" not in page.text
    schema = httpx.get(f"{slow.url}/docs/openapi.json").json()
    assert {"World", "Job", "Event", "Engine", "ExtendSettings"} <= set(schema["components"]["schemas"])
    for path in ("/openapi.json", "/redoc", "/", "/v1/engines", "/docs/"):
        assert httpx.get(f"{slow.url}{path}").status_code == 401


def test_too_large_bodies_are_refused_whether_announced_or_not(slow, slow_world):
    path = f"/v1/worlds/{slow_world['id']}/chunks"
    announced = slow.client.post(path, content=b" " * 500_000, headers={"Content-Type": "application/json"})
    assert announced.status_code == 413
    assert "0.5 MB" in announced.json()["detail"]

    def pieces():
        for _ in range(50):
            yield b" " * 10_000

    streamed = slow.client.post(path, content=pieces(), headers={"Content-Type": "application/json"})
    assert streamed.status_code == 413


def test_an_upload_with_the_token_of_an_earlier_service_is_told_so(slow):
    """The answer is read after the whole picture was sent, which is larger than what a connection holds."""
    headers = {"Authorization": "Bearer old"}
    files = {"image": ("a.png", bytes(450_000))}
    answer = httpx.post(f"{slow.url}/v1/worlds", files=files, headers=headers, timeout=20)
    assert answer.status_code == 401 and "read the state file again" in answer.json()["detail"]


def test_a_body_without_end_is_not_read_for_one_who_may_not_enter(slow):
    """More than the limit is read by what lies on the way, so a multiple of it is offered."""
    head = b"POST /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", slow.state["port"]), timeout=10) as connection:
        connection.sendall(head)
        with pytest.raises(OSError):
            for _ in range(500):
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(security, "DRAIN_SECONDS", 0.01)
    sent = []

    async def never() -> dict:
        await asyncio.sleep(60)

    async def send(message: dict) -> None:
        sent.append(message)

    guard = security.Guard(None, token="right", port=1, limits=Limits())
    scope = {"type": "http", "method": "POST", "path": "/v1/health", "headers": [(b"host", b"127.0.0.1")]}
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 401 and (b"connection", b"close") in sent[0]["headers"]


def test_too_large_uploads_are_refused_and_leave_nothing(slow):
    jobs = slow.worlds / ".backend" / "jobs"
    before = set(jobs.iterdir())
    picture_too_large = slow.post_world(image=b"x" * 300_001)
    assert picture_too_large.status_code == 413
    assert "a picture.png has 0.3 MB" in picture_too_large.json()["detail"]
    depth_too_large = slow.post_world(depth=("depth.npz", b"x" * 100_001))
    assert depth_too_large.status_code == 413
    far_too_large = slow.post_world(image=b"x" * 5_000_000)
    assert far_too_large.status_code == 413
    assert set(jobs.iterdir()) == before


def test_the_token_never_reaches_the_log(slow):
    slow.client.get("/v1/health")
    assert slow.state["token"] not in slow.log_file.read_text()
    assert any(line.get("path") == "/v1/health" and line["status"] == 200 for line in slow.log())


def test_websockets_are_refused(slow, host, token):
    upgrade = [host, token, ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    keys = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    assert raw(slow, upgrade + keys)[0] != 101


def test_a_picture_of_the_allowed_size_passes(slow):
    assert len(picture()) < 300_000
    assert slow.new_world({"name": "allowed"})["width"] == 208
