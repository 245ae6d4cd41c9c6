"""HTTP/1.1 messages: encoding of requests, and an incremental decoder of responses. No sockets, no Blender."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SLICE = 1 << 18
# The most bytes of a head, of the line before a chunk, and of all lines behind the last one.
MAX_HEAD, MAX_CHUNK_LINE, MAX_TRAILER = 1 << 16, 1 << 10, 1 << 13
# A message for the user is one line of at most so many characters.
MAX_MESSAGE = 300
_LENGTH = re.compile(r"[0-9]{1,15}")
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([2-5][0-9]{2})(?: |$)")
_FRAMING = ("transfer-encoding", "content-length")
_CHUNK_LENGTH = re.compile(rb"[0-9A-Fa-f]{1,12}")


class ClientError(Exception):
    """A request that got no usable answer; the message is one line for the user."""


class NoAnswerError(ClientError):
    """A request that ended before its answer was whole; what it asked for may have been done all the same.

    `refused`: nobody listens at the address, so nothing was done and no service runs there.
    """

    def __init__(self, message: str, refused: bool = False):
        super().__init__(message)
        self.refused = refused


class ProtocolError(ClientError):
    """An answer that does not follow this API; the message quotes it."""


@dataclass(frozen=True)
class Address:
    """Where a service listens, the token it asks for, and its process where that is known."""

    host: str
    port: int
    token: str = field(repr=False)
    pid: int | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, text: str, token: str) -> Address:
        """From what a user types: `http://127.0.0.1:8000`, `localhost:8000`. Raises ClientError."""
        bare = text.strip().removeprefix("http://").rstrip("/")
        host, _, port = bare.rpartition(":")
        host = {"localhost": "127.0.0.1"}.get(host, host)
        if host != "127.0.0.1":
            raise ClientError(
                f"'{text}' is not on this machine. Give 127.0.0.1:PORT; reach a service elsewhere through a tunnel: "
                "ssh -L 8000:127.0.0.1:PORT its-machine, then 127.0.0.1:8000."
            )
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise ClientError(
                f"'{text}' has no port. Give 127.0.0.1:PORT as the service printed it when it started."
            )
        if not token.strip():
            raise ClientError(
                "The token is empty. Copy it from the line the service printed when it started."
            )
        return cls(host, int(port), token.strip())


@dataclass(frozen=True)
class Reply:
    """A complete answer. `body` is empty when it went into a file."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        """The body as JSON. Raises ProtocolError for anything else, HTML and NaN among it."""
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            start = self.body[:40].decode("utf-8", "replace")
            raise ProtocolError(
                f"What answers there is not a Lyra service ({start!r}). Check the address."
            ) from error


def _refuse_constant(name: str):
    raise ValueError(f"{name} is not a JSON number")


@dataclass(frozen=True)
class Body:
    """What a request carries: a row of byte strings and files, streamed one after the other."""

    content_type: str
    parts: tuple[bytes | Path, ...]

    @classmethod
    def of_json(cls, value) -> Body:
        return cls("application/json", (json.dumps(value, allow_nan=False).encode(),))

    @classmethod
    def multipart(cls, fields: dict[str, str], files: dict[str, Path]) -> Body:
        boundary = uuid.uuid4().hex
        parts: list[bytes | Path] = []
        for name, text in fields.items():
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            parts.append(f"{head}{text}\r\n".encode())
        for name, path in files.items():
            disposition = f'Content-Disposition: form-data; name="{name}"; filename="{quote(path.name)}"'
            parts.append(
                f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
            )
            parts += [path, b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        return cls(f"multipart/form-data; boundary={boundary}", tuple(parts))

    def __len__(self) -> int:
        return sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in self.parts)

    def slices(self) -> Iterable[bytes]:
        for part in self.parts:
            if isinstance(part, Path):
                with part.open("rb") as file:
                    while piece := file.read(SLICE):
                        yield piece
            else:
                yield part


class Decoder:
    """Incremental decoder of a response: head, then a body of known length, chunked, or up to the end."""

    def __init__(self, write: Callable[[int, bytes], None]):
        self.status = 0
        self.headers: dict[str, str] = {}
        # The announced length of the body, None while or where it is not known.
        self.length: int | None = None
        self.done = False
        self._write = write
        self._buffer = bytearray()
        self._left: int | None = None
        self._chunked = False
        self._after_chunk = False
        self._in_trailer = False
        self._trailer = 0

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if not self.status and not self._read_head():
            return
        while not self.done and self._read_body():
            pass

    def end(self) -> None:
        """The peer closed the connection."""
        if self.status and self._left is None and not self._chunked:
            self.done = True
        if not self.done:
            raise NoAnswerError("The service closed the connection in the middle of an answer. Try again.")

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(self._buffer) > MAX_HEAD):
            raise ProtocolError("What answers at this address is not a Lyra service. Check the address.")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        status = _STATUS_LINE.match(first)
        if status is None:
            raise ProtocolError(
                f"What answers at this address is not a Lyra service ({first[:40]!r}). Check the address."
            )
        for line in lines:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            if key in _FRAMING and key in self.headers:
                raise ProtocolError(f"The answer names {key} twice. Another program may answer there.")
            self.headers[key] = value.strip()
        self.status = int(status[1])
        encoding, length = (self.headers.get(name) for name in _FRAMING)
        if encoding is not None and (encoding.lower() != "chunked" or length is not None):
            raise ProtocolError(
                f"The answer is encoded as {encoding[:40]!r}. Another program may answer there."
            )
        if length is not None and not _LENGTH.fullmatch(length):
            raise ProtocolError(
                f"The answer declares a length of {length[:40]!r}. Another program may answer there."
            )
        self._chunked = encoding is not None
        if self.status in (204, 304):
            self._left = 0
        elif length is not None:
            self._left = int(length)
        self.length = self._left
        self.done = self._left == 0
        return True

    def _read_body(self) -> bool:
        """Takes one piece out of the buffer; False when more bytes must come first."""
        if self._chunked and not self._left:
            return self._read_chunk_line()
        if not self._buffer:
            return False
        take = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        self._write(self.status, bytes(self._buffer[:take]))
        del self._buffer[:take]
        if self._left is not None:
            self._left -= take
            self.done = not self._chunked and self._left == 0
        return True

    def _read_chunk_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end > MAX_CHUNK_LINE or (end < 0 and len(self._buffer) > MAX_CHUNK_LINE):
            raise ProtocolError("A chunk of the answer has no end. Another program may answer there.")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._in_trailer:
            self._trailer += len(line) + 2
            if self._trailer > MAX_TRAILER:
                raise ProtocolError("The answer does not end. Another program may answer there.")
            self.done = not line
        elif self._after_chunk:
            if line:
                raise ProtocolError(
                    "A chunk of the answer is longer than it says. Another program may answer there."
                )
            self._after_chunk = False
        else:
            length = line.split(b";")[0].strip()
            if not _CHUNK_LENGTH.fullmatch(length):
                raise ProtocolError(
                    f"A chunk of the answer declares a length of {length[:20]!r}. Another program may answer there."
                )
            self._left = int(length, 16)
            self._after_chunk = self._left > 0
            self._in_trailer = self._left == 0
        return True


def is_refusal(reply: Reply) -> bool:
    """Whether an answer is a refusal of this API, whatever its version: JSON with the reason as `detail`."""
    try:
        return isinstance(reply.json()["detail"], str)
    except (ClientError, KeyError, TypeError):
        return False


def error_of(reply: Reply) -> str:
    """The one line for the user in an answer that is none of 2xx."""
    try:
        detail = reply.json()["detail"]
    except (ClientError, KeyError, TypeError):
        detail = reply.body[:200].decode("utf-8", "replace")
    if isinstance(detail, list):  # FastAPI's own validation errors
        entries = [item for item in detail[:20] if isinstance(item, dict)]
        detail = "; ".join(f"{_place(item.get('loc'))}: {item.get('msg')}" for item in entries)
    line = " ".join(str(detail).split())
    if len(line) > MAX_MESSAGE:
        line = f"{line[: MAX_MESSAGE - 3]}..."
    return line or f"The service answered with status {reply.status}."


def _place(loc) -> str:
    return ".".join(map(str, loc)) if isinstance(loc, list) else ""
