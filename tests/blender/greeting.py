"""How a stand-in for the service proves that it knows the token."""

import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit


def is_greeting(path: str) -> bool:
    return path.startswith("/v1/hello")


def greeting(path: str, token: str, pid: int = 1) -> dict:
    """The answer to a challenge, as docs/api.md has it."""
    (challenge,) = parse_qs(urlsplit(path).query)["challenge"]
    message = f"lyra-hello:{challenge}:{pid}".encode()
    proof = hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
    return {"service": "lyra-worlds", "api": 1, "pid": pid, "proof": proof}
