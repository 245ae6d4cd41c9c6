"""A non-blocking HTTP client without threads.

Blender's API is not safe for threads, and its interface must not block. So each request is a state machine on a
non-blocking socket. `Client.tick` advances all of them for a few milliseconds; a timer calls it. Uploads and downloads
go in slices between memory, socket and disk, whatever their size. Callbacks run inside `tick`, on Blender's thread.
"""

from __future__ import annotations

import errno
import select
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .wire import SLICE, Address, Body, ClientError, Decoder, NoAnswerError, ProtocolError, Reply, error_of

MAX_IN_MEMORY = 1 << 26
PATIENCE = 30.0
# An answer that brings fewer bytes than this while patience lasts counts as silence.
SLOWEST = 4096
# What is left free on the disk beside a download.
SPARE = 1 << 26
_LATER = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
_LATER.update(getattr(errno, name) for name in ("WSAEWOULDBLOCK", "WSAEINPROGRESS") if hasattr(errno, name))


@dataclass(eq=False)
class Exchange:
    """One request on its own connection. `advance` does what is possible now and never waits.

    Without `authorized` it carries no token. A body that goes into a file must have exactly `size` bytes where that is
    given; any other is refused beyond `limit`.
    """

    address: Address
    method: str
    path: str
    body: Body | None = None
    save_to: Path | None = None
    on_reply: Callable[[Reply], None] = lambda reply: None
    on_error: Callable[[str], None] = lambda message: None
    on_refusal: Callable[[Reply], None] | None = None
    on_silence: Callable[[NoAnswerError], None] | None = None
    patience: float = PATIENCE
    about: str = ""
    authorized: bool = True
    size: int | None = None
    limit: int = MAX_IN_MEMORY
    received: int = 0
    sent: int = 0
    finished: bool = False
    _socket: socket.socket | None = None
    _connected: bool = False
    _outgoing: memoryview = field(default_factory=lambda: memoryview(b""))
    _memory: bytearray = field(default_factory=bytearray)

    def __post_init__(self):
        self._decoder = Decoder(self._keep)
        self._file = None
        self._written = 0
        self._most = 0
        self._slices = iter(self.body.slices()) if self.body else iter(())
        self._sending = True
        self._moved = time.monotonic()
        self._counted = 0

    def cancel(self) -> None:
        """Ends the exchange without a callback; nothing half-downloaded stays."""
        self.finished = True
        self._close()

    def advance(self) -> bool:
        """One slice of work. True while more can be done at once. Raises ClientError."""
        try:
            worked = self._step()
        except OSError as error:
            self._close()
            refused = error.errno == errno.ECONNREFUSED
            raise NoAnswerError(self._explain(error), refused) from error
        except (ClientError, ValueError) as error:
            self._close()
            if isinstance(error, ClientError):
                raise
            raise ClientError(
                f"What answers there is not a Lyra service ({error}). Check the address."
            ) from error
        now = time.monotonic()
        # A byte now and then does not keep an exchange alive.
        if worked and (not self.received or self.received - self._counted >= SLOWEST):
            self._moved, self._counted = now, self.received
        if self.finished:
            return False
        if now - self._moved > self.patience:
            self._close()
            raise NoAnswerError(
                f"The service has not answered for {self.patience:.0f} s. See its log, or restart it."
            )
        return worked

    def _step(self) -> bool:
        if self._socket is None:
            self._open()
            return True
        readable, writable, broken = select.select([self._socket], [self._socket], [self._socket], 0)
        if not self._connected:
            if not writable and not broken:
                return False
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, "connect")
            self._connected = True
            return True
        # An answer may come before the upload is through (too large, wrong token): listen first.
        if readable:
            return self._receive()
        return self._send() if writable and self._sending else False

    def _open(self) -> None:
        head = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {self.address.host}:{self.address.port}",
            *([f"Authorization: Bearer {self.address.token}"] if self.authorized else []),
            "Accept: application/json",
            "Connection: close",
        ]
        if self.body:
            head += [f"Content-Type: {self.body.content_type}", f"Content-Length: {len(self.body)}"]
        elif self.method != "GET":
            head.append("Content-Length: 0")
        self._outgoing = memoryview("\r\n".join([*head, "", ""]).encode())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        code = self._socket.connect_ex((self.address.host, self.address.port))
        if code and code not in _LATER:
            raise OSError(code, "connect")

    def _send(self) -> bool:
        if not self._outgoing:
            piece = next(self._slices, None)
            if piece is None:
                self._sending = False
                return False
            self._outgoing = memoryview(piece)
        try:
            count = self._socket.send(self._outgoing[:SLICE])
        except OSError as error:
            if error.errno in _LATER:
                return False
            if isinstance(error, BrokenPipeError | ConnectionResetError):
                self._sending = False  # refused in mid-upload; the reason may still be readable
                return True
            raise
        self._outgoing = self._outgoing[count:]
        self.sent += count
        return True

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(SLICE)
        except OSError as error:
            if error.errno in _LATER:
                return False
            raise
        if data:
            self.received += len(data)
            self._decoder.feed(data)
        else:
            self._decoder.end()
        if self._decoder.done:
            self._complete()
        return True

    def _keep(self, status: int, data: bytes) -> None:
        if self.save_to is not None and status < 300:
            if self._file is None:
                self._begin_file()
            self._written += len(data)
            if self._written > self._most:
                raise ProtocolError(
                    f"{self.path} is longer than the {self._most:,} bytes that were announced. Load it again."
                )
            self._file.write(data)
        elif len(self._memory) + len(data) > self.limit:
            raise ProtocolError(f"The answer to {self.path} is larger than {self.limit:,} bytes.")
        else:
            self._memory += data

    def _begin_file(self) -> None:
        announced = self._decoder.length
        if self.size is not None and announced not in (None, self.size):
            raise ProtocolError(
                f"{self.path} has {announced:,} bytes, not the {self.size:,} that were announced. Load it again."
            )
        if self.size is None and announced is not None and announced > self.limit:
            raise ProtocolError(f"{self.path} has {announced:,} bytes; at most {self.limit:,} are taken.")
        self._most = self.limit if self.size is None else self.size
        self.save_to.parent.mkdir(parents=True, exist_ok=True)
        needed = announced if self.size is None else self.size
        free = shutil.disk_usage(self.save_to.parent).free
        if needed is not None and needed + SPARE > free:
            raise ClientError(
                f"{self.save_to} needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free. Make room and load "
                "the results again."
            )
        self._file = self._partial.open("wb")

    @property
    def _partial(self) -> Path:
        return self.save_to.with_name(self.save_to.name + ".part")

    def _complete(self) -> None:
        if self.save_to is not None and self._decoder.status < 300:
            if self._file is None:
                self._begin_file()
            if self.size is not None and self._written != self.size:
                raise ProtocolError(
                    f"{self.path} has {self._written:,} bytes, not the {self.size:,} that were announced. Load it "
                    "again."
                )
            self._file.close()
            self._partial.replace(self.save_to)
            self._file = None
        self.finished = True
        self._close()

    def reply(self) -> Reply:
        return Reply(self._decoder.status, self._decoder.headers, bytes(self._memory))

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._file is not None:
            self._file.close()
            self._file = None
            self._partial.unlink(missing_ok=True)

    def _explain(self, error: OSError) -> str:
        where = f"{self.address.host}:{self.address.port}"
        if error.errno == errno.ECONNREFUSED:
            return f"No service answers at {where}. Start it, or check the address in the preferences."
        if error.errno == errno.ENOSPC:
            return f"The disk is full: {self.save_to} could not be written. Make room and load the results again."
        # Only errors about files name one, and only those about moving it into its place name two.
        if error.filename2 is not None:
            return (
                f"{self.save_to} could not be replaced ({error.strerror}). Another program may hold it open: close it "
                "there and load the results again."
            )
        if error.filename is not None:
            return f"{error.filename} could not be opened ({error.strerror}). Check the folder and its permissions."
        return f"The connection to the service at {where} broke: {error.strerror or error}. Try again."


class Client:
    """The requests under way to one backend."""

    def __init__(self, address: Address):
        self.address = address
        self._exchanges: list[Exchange] = []

    @property
    def busy(self) -> bool:
        return bool(self._exchanges)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        save_to: Path | None = None,
        on_reply: Callable[[Reply], None] = lambda reply: None,
        on_error: Callable[[str], None] = lambda message: None,
        on_refusal: Callable[[Reply], None] | None = None,
        on_silence: Callable[[NoAnswerError], None] | None = None,
        patience: float = PATIENCE,
        about: str = "",
        authorized: bool = True,
        size: int | None = None,
        limit: int = MAX_IN_MEMORY,
    ) -> Exchange:
        """Queues a request below `/v1`. `on_reply` gets a 2xx answer, `on_error` one line about anything else.

        An `on_reply` that raises ProtocolError, because the answer is none of this API's, has `on_error` called.
        `on_refusal` gets an answer that is none of 2xx in place of `on_error`.
        With `on_silence`, that is called instead of `on_error` when no whole answer came. Of two downloads into one
        file the newer one is kept; the older one ends without a callback. `about` is what `is_asking` knows it by.
        `authorized`, `size` and `limit` are those of Exchange.
        """
        for other in self._exchanges:
            if save_to is not None and other.save_to == save_to:
                other.cancel()
        exchange = Exchange(
            self.address,
            method,
            "/v1" + quote(path, safe="/?&=-_.~"),
            body,
            save_to,
            on_reply,
            on_error,
            on_refusal,
            on_silence,
            patience,
            about,
            authorized,
            size,
            limit,
        )
        self._exchanges.append(exchange)
        return exchange

    def is_asking(self, about: str) -> bool:
        """Whether a request about this is under way."""
        return any(exchange.about == about for exchange in self._exchanges)

    def tick(self, budget: float = 0.008) -> None:
        """Moves every exchange on, for at most about `budget` seconds, and calls back those that ended."""
        deadline = time.monotonic() + budget
        for exchange in list(self._exchanges):
            if exchange not in self._exchanges:
                continue  # a callback of another one has closed the client
            try:
                while not exchange.finished and exchange.advance() and time.monotonic() < deadline:
                    pass
            except ClientError as error:
                self._exchanges.remove(exchange)
                exchange.finished = True
                if exchange.on_silence and isinstance(error, NoAnswerError):
                    exchange.on_silence(error)
                else:
                    exchange.on_error(str(error))
                continue
            if exchange.finished:
                self._exchanges.remove(exchange)
                if exchange._decoder.done:
                    self._answer(exchange)

    def close(self) -> None:
        """Drops every request without a callback."""
        for exchange in self._exchanges:
            exchange.cancel()
        self._exchanges.clear()

    @staticmethod
    def _answer(exchange: Exchange) -> None:
        reply = exchange.reply()
        if reply.status >= 300:
            if exchange.on_refusal:
                exchange.on_refusal(reply)
            else:
                exchange.on_error(error_of(reply))
            return
        try:
            exchange.on_reply(reply)
        except ProtocolError as error:
            exchange.on_error(str(error))
