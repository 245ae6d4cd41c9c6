"""Proof that the process at a port is the service that the token belongs to.

Any program may listen at a port that a service has left. So a challenge is sent first: the service signs it together
with its process id, by HMAC-SHA256 with the token as key. The token itself is not sent.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from .resources import Hello
from .wire import Address, ProtocolError

# The most bytes that an answer to a challenge has.
LIMIT = 4096


def new_challenge() -> str:
    """64 random hexadecimal digits."""
    return secrets.token_hex(32)


def path(challenge: str) -> str:
    """Where a service answers a challenge, below `/v1`."""
    return f"/hello?challenge={challenge}"


def check(hello: Hello, challenge: str, address: Address) -> None:
    """Raises ProtocolError unless the answer comes from the service of the address, and from its process."""
    message = f"lyra-hello:{challenge}:{hello.pid}".encode("ascii")
    proof = hmac.new(address.token.encode("utf-8"), message, hashlib.sha256).hexdigest()
    where = f"{address.host}:{address.port}"
    if not hmac.compare_digest(proof, hello.proof):
        raise ProtocolError(
            f"The service at {where} has another token. Copy the one it printed when it started, or start it again."
        )
    if address.pid is not None and hello.pid != address.pid:
        raise ProtocolError(
            f"Process {hello.pid} answers at {where} in place of the service's, {address.pid}."
        )
