"""A service proves that it knows the token before anyone sends it."""

import hashlib
import hmac
import json
import socket
import threading

import httpx
import pytest

from backend.state_file import BackendState, is_alive, new_challenge, proof

CHALLENGE = "0f" * 32


def test_the_proof_is_what_the_documentation_says():
    message = f"lyra-hello:{CHALLENGE}:4242".encode()
    assert (
        proof("a tokén", CHALLENGE, 4242) == hmac.new("a tokén".encode(), message, hashlib.sha256).hexdigest()
    )


def test_the_service_proves_itself_without_the_token(slow):
    answer = httpx.get(f"{slow.url}/v1/hello", params={"challenge": CHALLENGE})
    assert answer.status_code == 200
    assert answer.json() == {
        "service": "lyra-worlds",
        "api": 1,
        "pid": slow.process.pid,
        "proof": proof(slow.state["token"], CHALLENGE, slow.process.pid),
    }
    assert slow.state["token"] not in answer.text


@pytest.mark.parametrize(
    "challenge", [None, "", "0f" * 31, "0f" * 33, "0F" * 32, "0g" * 32, CHALLENGE + "\n", "é" * 64]
)
def test_what_is_no_challenge_is_refused(slow, challenge):
    params = {} if challenge is None else {"challenge": challenge}
    answer = httpx.get(f"{slow.url}/v1/hello", params=params)
    assert answer.status_code == 422
    assert "64" in answer.json()["detail"] and len(answer.json()["detail"]) <= 300


def test_a_foreign_page_gets_no_proof(slow):
    url = f"{slow.url}/v1/hello?challenge={CHALLENGE}"
    assert httpx.get(url, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.post(url).status_code == 401


class Impostor:
    """A program on the port of a service that is gone. Answers everything with `answer`; keeps what it was sent."""

    def __init__(self, answer: bytes):
        self._answer = answer
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Impostor":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while b"\r\n\r\n" not in self.heard:
                self.heard += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + self._answer)


def says(pid=1, **facts) -> bytes:
    return json.dumps({"pid": pid, "proof": proof("guessed", CHALLENGE, pid), **facts}).encode()


@pytest.mark.parametrize(
    "answer",
    [says(), says(proof=1), says(proof="é"), b"<html>", b"\xff", b"[]", b"[" * 60_000, b"9" * 100_000],
)
def test_a_stale_port_is_not_told_the_token(answer):
    with Impostor(answer) as impostor:
        assert not is_alive(BackendState("127.0.0.1", impostor.port, "the secret", 1, "user"))
    assert b"/v1/hello" in impostor.heard
    assert b"the secret" not in impostor.heard and b"Authorization" not in impostor.heard


def test_the_service_of_a_state_file_is_known_by_its_proof(slow):
    state = BackendState(**slow.state)
    assert is_alive(state)
    assert not is_alive(BackendState(**{**slow.state, "token": "another"}))
    assert not is_alive(BackendState(**{**slow.state, "pid": 1}))
    assert new_challenge() != new_challenge()
