"""Whatever answers at a port: the exchange ends with one line, in bounds, and leaves no file. Needs no Blender."""

import socket
import threading
import time
from contextlib import contextmanager
from itertools import repeat

import pytest

from tests.blender.addon import load
from tests.blender.test_client import ask

client, hello, process, resources, wire = map(
    load, ("service.client", "service.hello", "service.process", "service.resources", "service.wire")
)
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(pieces, pause=0.0):
    """A port that sends these pieces to whoever connects, and the heads of the requests that came."""
    server, heads = socket.create_server(("127.0.0.1", 0)), []
    ended = threading.Event()

    def serve():
        while not ended.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            try:
                heads.append(connection.recv(1 << 16))
                for piece in pieces:
                    if ended.is_set():
                        break
                    connection.sendall(piece)
                    time.sleep(pause)
            except OSError:
                pass  # the client has heard enough
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield wire.Address("127.0.0.1", server.getsockname()[1], "secret"), heads
    finally:
        ended.set()
        server.close()


def endless(piece, megabytes=80):
    """A piece many times over: more than anything may take."""
    return repeat(piece * (65536 // len(piece)), megabytes * 16)


HOSTILE = {
    "no HTTP": ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], "not a Lyra service"),
    "HTTP/2": ([b"HTTP/2 200\r\n\r\n"], "not a Lyra service"),
    "no status": ([b"HTTP/1.1 2000 OK\r\n\r\n"], "not a Lyra service"),
    "informational": ([b"HTTP/1.1 100 Continue\r\n\r\n"], "not a Lyra service"),
    "HTML": ([OK + b"Content-Length: 6\r\n\r\n<html>"], "not a Lyra service ('<html>')"),
    "broken UTF-8": ([OK + b"Content-Length: 3\r\n\r\n\xff\xfe\xc0"], "not a Lyra service"),
    "NaN": ([OK + b"Content-Length: 3\r\n\r\nNaN"], "not a Lyra service"),
    "deep JSON": ([OK + b"\r\n", b"[" * 200_000], "not a Lyra service"),
    "a long number": ([OK + b"\r\n", b"1" * 100_000], "not a Lyra service"),
    "endless head": (lambda: [OK, *endless(b"X: y\r\n")], "not a Lyra service"),
    "endless header": (lambda: [OK, *endless(b"x")], "not a Lyra service"),
    "endless body": (lambda: [OK + b"\r\n", *endless(b"x")], "larger than"),
    "endless chunk line": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n", *endless(b"1")],
        "A chunk of the answer has no end",
    ),
    "endless chunk extension": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n1;", *endless(b"x")],
        "A chunk of the answer has no end",
    ),
    "endless trailer": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *endless(b"X: y\r\n")],
        "does not end",
    ),
    "endless empty lines": (
        lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n", *endless(b"\r\n")],
        "declares a length of",
    ),
    "negative chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n"], "declares a length of"),
    "underscored chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\n1_0\r\n"], "declares a length of"),
    "long chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n"], "longer than it says"),
    "negative length": ([OK + b"Content-Length: -1\r\n\r\n"], "a length of '-1'"),
    "huge length": ([OK + b"Content-Length: " + b"9" * 50 + b"\r\n\r\n"], "declares a length of"),
    "two lengths": ([OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"], "names content-length twice"),
    "length and chunks": (
        [OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"],
        "encoded as 'chunked'",
    ),
    "gzip": ([OK + b"Transfer-Encoding: gzip\r\n\r\nx"], "encoded as 'gzip'"),
    "too little": ([OK + b"Content-Length: 9\r\n\r\nx"], "middle of an answer"),
    "redirect": (
        [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"],
        "status 302",
    ),
    "long error": ([b"HTTP/1.1 500 x\r\n\r\n", b'{"detail": "' + b"x\\n" * 9000 + b'"}'], "..."),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_answer_ends_in_one_line(name):
    pieces, says = HOSTILE[name]
    with answering(pieces() if callable(pieces) else pieces) as (address, _):
        connection, parsed, errors = client.Client(address), [], []
        exchange = connection.request(
            "GET", "/worlds", on_reply=lambda reply: parsed.append(reply.json()), on_error=errors.append
        )
        end = time.monotonic() + 20
        while connection.busy:
            assert time.monotonic() < end
            connection.tick()
            assert len(exchange._decoder._buffer) < 2 * (wire.MAX_HEAD + wire.SLICE)
            time.sleep(0.0005)
    (error,) = errors
    assert not parsed and says in error and len(error) <= 300 and "\n" not in error, error


def test_a_byte_now_and_then_is_silence():
    with answering([OK + b"\r\n", *[b"x"] * 500], pause=0.02) as (address, _):
        _, (error,) = ask(client.Client(address), "GET", "/worlds", patience=0.3)
    assert "has not answered" in error


FILES = {
    "too long": (OK + b"Content-Length: 9\r\n\r\n123456789", 5, "9 bytes, not the 5 that were announced"),
    "too short": (OK + b"Content-Length: 3\r\n\r\n123", 5, "3 bytes, not the 5"),
    "endless": (OK + b"\r\n" + b"x" * 300_000, 5, "longer than the 5 bytes"),
    "ends early": (OK + b"\r\n123", 5, "3 bytes, not the 5"),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", 5, "0 bytes, not the 5"),
    "more than the disk": (OK + b"\r\n", 1 << 60, "are free"),
    "unannounced and long": (OK + b"Content-Length: 99999999999\r\n\r\nx", None, "at most"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_written_whole_or_not_at_all(name, tmp_path):
    message, size, says = FILES[name]
    with answering([message]) as (address, _):
        connection = client.Client(address)
        _, (error,) = ask(connection, "GET", "/worlds/w/files/x", save_to=tmp_path / "x", size=size)
        assert says in error and not list(tmp_path.iterdir()), error
        (tmp_path / "x").write_bytes(b"before")
        ask(connection, "GET", "/worlds/w/files/x", save_to=tmp_path / "x", size=size)
        assert (tmp_path / "x").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


def test_an_announced_file_arrives(tmp_path):
    with answering([OK + b"Content-Length: 5\r\n\r\n12345"]) as (address, _):
        (reply,), errors = ask(client.Client(address), "GET", "/x", save_to=tmp_path / "x", size=5)
    assert not errors and reply.status == 200 and (tmp_path / "x").read_bytes() == b"12345"


def test_what_is_not_proven_gets_no_token():
    """At Blender's exit too, where a stale state file may name another program's port."""
    with answering([OK + b"Content-Length: 2\r\n\r\n{}"]) as (address, heads):
        connection = client.Client(address)
        ask(connection, "GET", hello.path(hello.new_challenge()), authorized=False)
        assert process.stop_if_idle(address) is False
    assert len(heads) == 2 and all(head.startswith(b"GET /v1/hello?challenge=") for head in heads)
    assert not any(b"secret" in head or b"Authorization" in head for head in heads)


def test_nothing_waits_for_a_port_that_says_nothing():
    with answering([b""], pause=3) as (address, _):
        assert process.stop_if_idle(address, timeout=0.1) is False
