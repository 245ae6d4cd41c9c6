"""The state file through which Blender and `lyra` find a running backend again."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from backend import API_VERSION
from lyra.common.files import patiently
from lyra.version import VERSION

PROBE_SECONDS = 2.0


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
        patiently(Path(temporary).replace, file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_state(file: Path) -> BackendState | None:
    """The state in the file; None when there is none or it is no state file of this API version."""
    try:
        data = json.loads(file.read_text("utf-8"))
        known = {key: data[key] for key in BackendState.__dataclass_fields__}
        state = BackendState(**known)
        return state if state.api == API_VERSION and isinstance(state.port, int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_alive(state: BackendState) -> bool:
    """Whether the backend of this state answers, and is the very process that wrote it."""
    connection = http.client.HTTPConnection(state.host, state.port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", "/v1/health", headers={"Authorization": f"Bearer {state.token}"})
        answer = connection.getresponse()
        return answer.status == 200 and json.loads(answer.read())["pid"] == state.pid
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def remove_state(file: Path, pid: int) -> None:
    """Removes the file unless another backend has taken it over."""
    state = read_state(file)
    if state is not None and state.pid == pid:
        file.unlink(missing_ok=True)
