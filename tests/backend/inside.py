"""The application without a process around it: whole requests, in the test's own process."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from backend.api.app import create_app
from backend.api.security import Guard
from backend.config import Config, Limits
from backend.service import Backend
from tests.worlds import make_world

WORLD = "some-world"


def backend_of(folder: Path, **parts) -> Backend:
    """A backend that has the world `WORLD` and whose jobs wait for ever."""
    config = Config(
        folder / "worlds", folder / "state.json", folder / "log", limits=Limits(queued_jobs=10_000)
    )
    (config.private_folder / "jobs").mkdir(parents=True)
    config.upload_folder.mkdir()
    make_world(config.worlds / WORLD)
    return Backend.of(config, **parts)


@asynccontextmanager
async def client_of(backend: Backend):
    """A client with the token, as it stands before the Guard."""
    guard = Guard(create_app(backend), token=backend.token, port=1, limits=backend.config.limits)
    headers = {"Authorization": f"Bearer {backend.token}"}
    transport = httpx.ASGITransport(guard, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60
        ) as client:
            yield client
    finally:
        backend.book.close()


def ask(backend: Backend | Path, *requests: tuple, **parts) -> list[httpx.Response]:
    """The answers to requests (method, path, options of httpx), in their order.

    `backend` is one of `backend_of`, or a folder for a new one with these `parts`; it is closed at the end.
    """
    asked = backend_of(backend, **parts) if isinstance(backend, Path) else backend

    async def story() -> list[httpx.Response]:
        async with client_of(asked) as client:
            return [
                await client.request(method, path, **options)
                for method, path, *rest in requests
                for options in (rest or [{}])
            ]

    return asyncio.run(story())
