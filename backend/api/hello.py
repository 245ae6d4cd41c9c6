"""The proof that a process is the service of a state file: it knows the token and shows so without sending it.

A port that a service has left may belong to any program. A client sends `GET /v1/hello?challenge=...` without its
token first, and goes on only when process id and proof are right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

CHALLENGE = re.compile(r"[0-9a-f]{64}")


def new_challenge() -> str:
    """64 random hexadecimal digits."""
    return secrets.token_hex(32)


def proof(token: str, challenge: str, pid: int) -> str:
    """HMAC-SHA256 of challenge and process id under the token, as 64 hexadecimal digits."""
    message = f"lyra-hello:{challenge}:{pid}".encode("ascii")
    return hmac.new(token.encode("utf-8"), message, hashlib.sha256).hexdigest()
