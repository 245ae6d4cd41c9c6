"""The HTTP application: all routes together, and how every failure is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backend.api import (
    routes_engines,
    routes_jobs,
    routes_pictures,
    routes_service,
    routes_takes,
    routes_worlds,
    schemas,
)
from backend.api.context import give_context
from backend.api.docs_page import render_docs
from backend.api.validation import validation_message
from backend.errors import RangeError, detail, status_of
from backend.service import Backend
from lyra.common.errors import LyraError
from lyra.common.files import refusal
from lyra.common.quoting import one_line
from lyra.version import VERSION

log = logging.getLogger("backend.api.app")
Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]


def create_app(backend: Backend) -> FastAPI:
    """The application of one backend; the Guard of backend.api.security stands in front of it."""
    app = FastAPI(
        exception_handlers=_HANDLERS,
        title="Lyra Worlds backend",
        version=VERSION,
        description="One image and a camera path in, a world out. Every call but this page needs the bearer token.",
        openapi_url="/docs/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={400: {"model": schemas.Error, "description": "What was sent cannot be used"}},
    )
    give_context(app, backend)
    app.state.reading = asyncio.Lock()  # of long bodies
    for routes in (routes_service, routes_engines, routes_pictures, routes_worlds, routes_takes, routes_jobs):
        app.include_router(routes.router)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        # The page loads nothing from anywhere: it works offline, and no foreign script runs beside the API.
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(render_docs(app.openapi()), headers={"Content-Security-Policy": policy})

    return app


async def _lyra_error(request: Request, error: LyraError) -> JSONResponse:
    headers = error.headers if isinstance(error, RangeError) else None
    return _refusal(status_of(error), str(error), headers)


async def _validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
    return _refusal(400, validation_message(error.errors()))


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    return _refusal(error.status_code, error.detail, error.headers)


async def _gone(request: Request, error: ClientDisconnect) -> JSONResponse:
    """For the log only: whoever sent half a body is not there to read it."""
    return _refusal(400, "The connection ended in the middle of the body; send it again.")


async def _refused(request: Request, error: OSError) -> JSONResponse:
    """A file that may not be written, or that another program has open."""
    if error.filename is None:
        raise error
    log.warning("refused by the system", exc_info=error)
    return _refusal(409, f"{refusal(error)}, and try again.")


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    """The answer only: the exception goes on to uvicorn, which logs it with its traceback."""
    name = type(error).__name__
    return _refusal(500, f"The backend failed ({name}: {one_line(error, 150)}); its log has the details.")


def _refusal(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail(text)}, status, headers)


_HANDLERS: dict[int | type[Exception], Handler] = {
    LyraError: _lyra_error,
    HTTPException: _http_error,
    ClientDisconnect: _gone,
    RequestValidationError: _validation_error,
    OSError: _refused,
    Exception: _unexpected_error,
}
