"""The non-blocking client against a real HTTP server on a thread of its own. Needs no Blender."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.blender.addon import load

client = load("service.client")
wire = load("service.wire")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        pass

    def _answer(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append(self.headers)
        if self.path == "/v1/big":
            self._answer(200, self.server.big, "application/octet-stream")
        elif self.path == "/v1/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"[1, 2", b", 3]"):
                self.wfile.write(f"{len(piece):x};ext=1\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
                time.sleep(0.02)
            self.wfile.write(b"0\r\nTrailer: x\r\n\r\n")
        elif self.path == "/v1/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
        elif self.path == "/v1/silent":
            time.sleep(1.0)
            self.close_connection = True
        elif self.path == "/v1/no%20such%23thing":
            self._answer(404, b'{"detail": "World \'x\' is not there. List the worlds."}')
        else:
            self._answer(422, b'{"detail": [{"loc": ["body", "seed"], "msg": "must be a number"}]}')

    def do_POST(self):
        if self.path == "/v1/refused":
            # Answers and hangs up before the upload is through.
            self._answer(413, b'{"detail": "The image has 30 MB; at most 20 MB are taken."}')
            self.close_connection = True
            return
        self.server.posted = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(self.headers)
        self._answer(202, json.dumps({"bytes": len(self.server.posted)}).encode())


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is part of these tests."""


@pytest.fixture
def server():
    server = _Server(("127.0.0.1", 0), _Handler)
    server.seen, server.posted, server.big = [], b"", bytes(range(256)) * 40_000
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def to_server(server):
    return client.Client(wire.Address("127.0.0.1", server.server_address[1], "secret"))


def finish(connection, limit=10.0):
    end = time.monotonic() + limit
    while connection.busy:
        assert time.monotonic() < end, "the exchange did not end"
        connection.tick()
        time.sleep(0.001)


def ask(connection, method, path, **options):
    """(replies, errors) of one request that is brought to its end."""
    replies, errors = [], []
    connection.request(method, path, on_reply=replies.append, on_error=errors.append, **options)
    finish(connection)
    return replies, errors


def test_download_goes_to_disk_in_slices_and_nothing_partial_stays(server, to_server, tmp_path):
    target = tmp_path / "folder" / "big.bin"
    (reply,), errors = ask(to_server, "GET", "/big", save_to=target)
    assert not errors and reply.status == 200 and reply.body == b""
    assert target.read_bytes() == server.big
    assert [path.name for path in target.parent.iterdir()] == ["big.bin"]
    assert server.seen[0]["Authorization"] == "Bearer secret"
    assert server.seen[0]["Host"] == f"127.0.0.1:{server.server_address[1]}"


def test_upload_streams_file_between_fields(server, to_server, tmp_path):
    image = tmp_path / "a b.png"
    image.write_bytes(b"\x00\r\n--x" * 1_000_000)
    body = wire.Body.multipart({"settings": '{"seed": 1}'}, {"image": image})
    (reply,), errors = ask(to_server, "POST", "/worlds", body=body)
    assert not errors and reply.json() == {"bytes": len(body)}
    assert image.read_bytes() in server.posted
    assert b'name="settings"\r\n\r\n{"seed": 1}\r\n' in server.posted
    assert b'filename="a%20b.png"' in server.posted


def test_chunked_answer_in_pieces(to_server):
    (reply,), errors = ask(to_server, "GET", "/chunked")
    assert not errors and reply.json() == [1, 2, 3]


def test_errors_are_the_backends_own_line(to_server):
    assert ask(to_server, "GET", "/no such#thing") == ([], ["World 'x' is not there. List the worlds."])
    assert ask(to_server, "GET", "/other") == ([], ["body.seed: must be a number"])


def test_refusal_in_mid_upload_is_heard(to_server, tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(bytes(30_000_000))
    _, (error,) = ask(to_server, "POST", "/refused", body=wire.Body.multipart({}, {"image": image}))
    # The peer may reset the connection before its words are read; either way it ends with a line.
    assert "at most 20 MB" in error or "broke" in error


def test_broken_answer_leaves_no_file(to_server, tmp_path):
    _, (error,) = ask(to_server, "GET", "/short", save_to=tmp_path / "x")
    assert "middle of an answer" in error
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_replaced_or_written_are_not_blamed_on_the_connection(to_server, tmp_path):
    target = tmp_path / "big.bin"
    target.mkdir()  # nothing can be moved there, as onto a file that Windows holds open
    _, (error,) = ask(to_server, "GET", "/big", save_to=target)
    assert f"{target} could not be replaced" in error and "load the results again" in error
    assert [path.name for path in tmp_path.iterdir()] == ["big.bin"]
    (tmp_path / "other.part").mkdir()
    _, (error,) = ask(to_server, "GET", "/big", save_to=tmp_path / "other")
    assert "other.part could not be opened" in error


def test_silence_ends_by_patience(to_server):
    _, (error,) = ask(to_server, "GET", "/silent", patience=0.2)
    assert "has not answered" in error


def test_no_server_is_said(tmp_path):
    gone = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    address = wire.Address("127.0.0.1", gone.server_address[1], "t")
    gone.server_close()
    _, (error,) = ask(client.Client(address), "GET", "/health")
    assert f"No service answers at 127.0.0.1:{address.port}" in error


def test_cancelled_exchange_calls_nobody(to_server, tmp_path):
    called = []
    exchange = to_server.request(
        "GET", "/big", save_to=tmp_path / "x", on_reply=called.append, on_error=called.append
    )
    while exchange.received == 0:
        to_server.tick(0.0)
    exchange.cancel()
    to_server.tick()
    assert not to_server.busy and not called and not list(tmp_path.iterdir())


def test_a_newer_download_takes_the_file_over(server, to_server, tmp_path):
    called = []
    older = to_server.request(
        "GET", "/big", save_to=tmp_path / "x", on_reply=lambda _: called.append("older")
    )
    while older.received == 0:
        to_server.tick(0.0)
    to_server.request("GET", "/big", save_to=tmp_path / "x", on_reply=lambda _: called.append("newer"))
    finish(to_server)
    assert called == ["newer"] and (tmp_path / "x").read_bytes() == server.big


def test_a_callback_may_close_the_client(to_server):
    called = []

    def close(reply):
        called.append(reply)
        to_server.close()

    for _ in range(3):
        to_server.request("GET", "/chunked", on_reply=close)
    finish(to_server)
    assert len(called) == 1


def test_silence_is_told_from_an_answer_and_from_refusal(server, to_server):
    told = []
    assert ask(to_server, "GET", "/silent", patience=0.2, on_silence=told.append) == ([], [])
    assert ask(to_server, "GET", "/short", on_silence=told.append) == ([], [])
    _, (error,) = ask(to_server, "GET", "/no such#thing", on_silence=told.append)
    assert "is not there" in error
    gone = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    address = wire.Address("127.0.0.1", gone.server_address[1], "t")
    gone.server_close()
    ask(client.Client(address), "GET", "/health", on_silence=told.append)
    assert [error.refused for error in told] == [False, False, True]


def test_two_requests_share_the_ticks(server, to_server, tmp_path):
    done = []
    to_server.request("GET", "/big", save_to=tmp_path / "x", on_reply=lambda _: done.append("big"))
    to_server.request("GET", "/chunked", on_reply=lambda _: done.append("chunked"))
    finish(to_server)
    assert sorted(done) == ["big", "chunked"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_decoder_takes_any_cut(size):
    message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"
    got = bytearray()
    decoder = wire.Decoder(lambda _status, data: got.extend(data))
    for start in range(0, len(message), size):
        decoder.feed(message[start : start + size])
    assert decoder.done and got == b"abcdefgh"


@pytest.mark.parametrize(
    ("text", "token", "says"),
    [
        ("gpu.example:8000", "t", "not on this machine"),
        ("127.0.0.1", "t", "not on this machine"),
        ("127.0.0.1:99999", "t", "has no port"),
        ("127.0.0.1:8000", " ", "token is empty"),
    ],
)
def test_bad_addresses(text, token, says):
    with pytest.raises(wire.ClientError, match=says):
        wire.Address.parse(text, token)


def test_good_addresses():
    assert wire.Address.parse(" http://localhost:8000/ ", " t ") == wire.Address("127.0.0.1", 8000, "t")


def test_foreign_service_is_recognised():
    decoder = wire.Decoder(lambda _status, _data: None)
    with pytest.raises(wire.ClientError, match="not a Lyra service"):
        decoder.feed(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
