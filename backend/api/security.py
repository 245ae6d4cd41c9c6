"""The guard in front of every route: refuses foreign hosts and origins, wrong tokens and bodies that are too large.

The token keeps other users and programs out. The Host check stops DNS rebinding (a web page whose name is made to
point at 127.0.0.1); the Origin check stops pages that post blindly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.config import Limits

WORLDS_PATH, EXTEND_SUFFIX, MEASURE_PATH = "/v1/worlds", "/chunks", "/v1/pictures/measure"
OPEN_PATHS = ("/docs", "/docs/openapi.json", "/v1/hello")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
LOOPBACK_HOST = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?")
# A client with the token that sends too much is heard out up to here; beyond, it is cut off.
DRAIN_BYTES = 2_000_000_000
DRAIN_SECONDS = 20
PATH_SHOWN = 300  # characters of a path in the log
log = logging.getLogger("backend.http")


class Guard:
    """Refuses requests with a foreign host or origin, without the token, or with too large a body."""

    def __init__(self, app: ASGIApp, *, token: str, port: int, limits: Limits):
        self._app = app
        self._authorization = f"Bearer {token}".encode("ascii")
        self._origins = {f"http://{name}:{port}".encode("ascii") for name in LOOPBACK_NAMES}
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.monotonic()
        status = 0

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._answer(scope, receive, noted_send)
        finally:
            milliseconds = round(1000 * (time.monotonic() - started), 1)
            facts = {
                "method": scope["method"],
                "path": scope["path"][:PATH_SHOWN],
                "status": status,
                "ms": milliseconds,
            }
            log.info("request", extra={"fields": facts})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = _header(scope, b"content-length") or b"0"
        # Eighteen digits are more than any limit.
        announced = int(header[:18]) if header.isdigit() else 0
        limit = _body_limit(scope["path"], self._limits)
        refusal = self._refusal(scope)
        if refusal:
            if announced <= limit:
                await _drain(receive, limit)
            await _send_error(send, *refusal)
            return
        if announced > limit:
            if announced <= DRAIN_BYTES:
                await _drain(receive, DRAIN_BYTES)
            await _send_error(send, 413, _too_large(announced, limit))
            return
        await self._app(scope, _limited(receive, limit), send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason to refuse this request with, or None."""
        host = _header(scope, b"host")
        # Any port: a tunnel may end on another one, and a page that rebinds its name cannot fake the name.
        if host is None or LOOPBACK_HOST.fullmatch(host.lower()) is None:
            return (
                403,
                f"Host {_shown(host)} is not this computer; use 127.0.0.1, through an SSH tunnel from elsewhere.",
            )
        origin = _header(scope, b"origin")
        if origin is not None and origin.lower() not in self._origins:
            return 403, f"Origin {_shown(origin)} is not allowed; only programs on this computer may connect."
        if scope["path"] in OPEN_PATHS and scope["method"] in ("GET", "HEAD"):
            return None
        authorization = _header(scope, b"authorization")
        if authorization is None:
            return (
                401,
                "The token is missing; send 'Authorization: Bearer TOKEN' with the token of the state file.",
            )
        if not secrets.compare_digest(authorization, self._authorization):
            return 401, "The token is wrong; read the state file again, the backend may have been restarted."
        return None


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header; repeated ones are joined, so that a second Host or token never counts."""
    values = [value for key, value in scope["headers"] if key == name]
    return b", ".join(values) if values else None


def _shown(value: bytes | None) -> str:
    return "(none)" if value is None else repr(value.decode("latin-1")[:100])


def _body_limit(path: str, limits: Limits) -> int:
    """How many bytes a request to `path` may have."""
    files = {WORLDS_PATH: limits.image_bytes + limits.depth_bytes, MEASURE_PATH: limits.image_bytes}
    if path in files:
        # Beside the files: the settings, and what separates the parts.
        return files[path] + 2 * limits.small_bytes
    return limits.json_bytes if path.endswith(EXTEND_SUFFIX) else limits.small_bytes


def _too_large(size: int, limit: int) -> str:
    return f"The request has {size / 1e6:.1f} MB; at most {limit / 1e6:.1f} MB are accepted here. Send less at once."


def _limited(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise HTTPException(413, _too_large(total, limit))
        return message

    return counted


async def _drain(receive: Receive, most: int) -> None:
    """Reads a body to its end: a client that is still sending when the connection closes never sees the answer.

    Of a body that does not end only `most` bytes are read, and one that does not come is waited for DRAIN_SECONDS.
    """
    with contextlib.suppress(TimeoutError):
        while most > 0:
            message = await asyncio.wait_for(receive(), DRAIN_SECONDS)
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                return
            most -= len(message["body"])


async def _send_error(send: Send, status: int, detail: str) -> None:
    # What may still come of the body is nobody's.
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})
