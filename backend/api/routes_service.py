"""Routes about the service itself: the proof that it is the one, its health and its end."""

from __future__ import annotations

import os

from fastapi import APIRouter

from backend import API_VERSION, SERVICE
from backend.api import schemas
from backend.api.context import RunningBackend
from backend.api.json_body import JsonRoute
from backend.api.validation import SHOWN_CHARACTERS
from backend.errors import ChallengeError, ConflictError
from backend.state_file import CHALLENGE, proof
from lyra.version import VERSION

router = APIRouter(prefix="/v1", tags=["service"], route_class=JsonRoute)


@router.get("/hello")
async def hello(backend: RunningBackend, challenge: str = "") -> schemas.Hello:
    """Proves that this process knows the token, without the token: the only call under /v1 that needs none."""
    if CHALLENGE.fullmatch(challenge) is None:
        raise ChallengeError(
            f"The challenge {challenge[:SHOWN_CHARACTERS]!r} cannot be answered; send 64 random digits 0-9a-f."
        )
    pid = os.getpid()
    return schemas.Hello(
        service=SERVICE, api=API_VERSION, pid=pid, proof=proof(backend.token, challenge, pid)
    )


@router.get("/health")
async def health(backend: RunningBackend) -> schemas.Health:
    """What runs here, on which device, and how busy it is."""
    return schemas.Health(
        api=API_VERSION,
        version=VERSION,
        pid=os.getpid(),
        owner=backend.config.owner,
        device=backend.dispatcher.device or backend.config.device,
        worker=backend.dispatcher.worker_state,
        active_jobs=len(backend.book.active()),
    )


@router.post("/shutdown", status_code=202)
async def shutdown(body: schemas.ShutdownBody, backend: RunningBackend) -> dict:
    """Ends the service; with `force` also while jobs are active, which can be resumed afterwards."""
    active = backend.book.active()
    if active and not body.force:
        raise ConflictError(
            f"{len(active)} jobs are active (the first is {active[0].id}, {active[0].kind}); "
            "wait for them or cancel them first. If it is stopped all the same, they can be resumed afterwards."
        )
    backend.stop.set()
    return {}
