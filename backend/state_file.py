"""The state file, through which clients find a running service, and the proof that it is this very one.

A port that a service has left may belong to any program. A client sends `GET /v1/hello?challenge=...` without its
token first, and goes on only when process id and proof are right.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_type_hints

from backend import API_VERSION
from backend.config import HOST
from lyra.common.files import retry_while_locked
from lyra.version import VERSION

PROBE_SECONDS = 2.0
CHALLENGE = re.compile(r"[0-9a-f]{64}")
MAX_BYTES = 1 << 16  # of a state file and of an answer: far more than either has


@dataclass(frozen=True)
class BackendState:
    """Where a backend listens and the token it wants."""

    host: str
    port: int
    token: str
    pid: int
    owner: str
    api: int = API_VERSION
    version: str = VERSION


def write_state(file: Path, state: BackendState) -> None:
    """Replaces the file in one step; only its owner can read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600, so the token is never readable by others.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(asdict(state), handle)
            handle.flush()
            os.fsync(handle.fileno())
        retry_while_locked(Path(temporary).replace, file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_state(file: Path) -> BackendState | None:
    """The state in the file; None when there is none or it is no state file of this API version."""
    try:
        with file.open("rb") as handle:
            data = json.loads(handle.read(MAX_BYTES).decode("utf-8"))
        state = BackendState(**{key: data[key] for key in BackendState.__dataclass_fields__})
        return state if _plausible(state) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _plausible(state: BackendState) -> bool:
    """Whether every field is what `write_state` writes; nothing else than this computer is ever asked."""
    return (
        all(type(getattr(state, name)) is kind for name, kind in get_type_hints(BackendState).items())
        and (state.api, state.host) == (API_VERSION, HOST)
        and 0 < state.port < 65536
        and state.token.isascii()
    )


def new_challenge() -> str:
    """64 random hexadecimal digits."""
    return secrets.token_hex(32)


def proof(token: str, challenge: str, pid: int) -> str:
    """HMAC-SHA256 of challenge and process id under the token, as 64 hexadecimal digits."""
    message = f"lyra-hello:{challenge}:{pid}".encode("ascii")
    return hmac.new(token.encode("utf-8"), message, hashlib.sha256).hexdigest()


def is_alive(state: BackendState) -> bool:
    """Whether the very process that wrote this state answers. The token is not sent: its port may be another's."""
    challenge = new_challenge()
    connection = http.client.HTTPConnection(state.host, state.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", f"/v1/hello?challenge={challenge}")
        answer = connection.getresponse()
        said = json.loads(answer.read(MAX_BYTES).decode("utf-8"))
        known = said["pid"] == state.pid and isinstance(said["proof"], str) and said["proof"].isascii()
        return known and hmac.compare_digest(said["proof"], proof(state.token, challenge, state.pid))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return False
    finally:
        connection.close()


def remove_state(file: Path, pid: int) -> None:
    """Removes the file unless another backend has taken it over."""
    state = read_state(file)
    if state is not None and state.pid == pid:
        file.unlink(missing_ok=True)
