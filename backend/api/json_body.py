"""JSON bodies, bounded in size, values and depth before memory is taken, and read in a thread off the event loop."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TypeVar, cast

import numpy as np
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from backend.api.schemas import Body
from backend.api.validation import validation_message
from backend.errors import MediaTypeError
from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import MAX_FRAMES

B = TypeVar("B", bound=Body)
MAX_DEPTH = 32
SMALL_BODY = 64 * 1024
MAX_KEYS = MAX_FRAMES  # captions have one per frame at most
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Up to the end where it is not closed: the search for the next one would begin anew behind every quote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)


class JsonRoute(APIRoute):
    """A route whose body is JSON: read and checked here, so that FastAPI finds the finished model."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        handle = super().get_route_handler()
        # Every body of these routes is one of our models.
        model = None if self.body_field is None else cast(type[Body], self.body_field.field_info.annotation)

        async def bounded(request: Request) -> Response:
            if model is not None:
                request = _Read(request, await _received(request, model))
            return await handle(request)

        return bounded


class _Read(Request):
    """A request whose body has been read."""

    def __init__(self, request: Request, body: Body):
        super().__init__(request.scope, request.receive)
        self._body_read = body

    async def body(self) -> bytes:
        return b"read"

    async def json(self) -> Body:
        return self._body_read


async def _received(request: Request, model: type[B]) -> B:
    """The body of a request; how many bytes it may have is the Guard's business."""
    body = await request.body()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if body and kind != "application/json":
        raise MediaTypeError(f"The body's type is {kind[:80]!r}; send it as application/json.")
    if len(body) <= SMALL_BODY:
        return await run_in_threadpool(read_json, body, model)
    # Long ones one after the other: threads that read JSON keep each other, and the event loop, waiting.
    async with request.app.state.reading:
        return await run_in_threadpool(read_json, body, model)


def read_json(given: bytes | str, model: type[B]) -> B:
    """The model in JSON text. Raises InvalidInputError, about one thing in one line."""
    body = given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given
    if not body:
        raise InvalidInputError("The body is missing; see /docs for the fields.")
    _check_marks(body, model)
    _check_depth(body)
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"The JSON is no UTF-8 (byte {error.start} is {body[error.start]:#04x}); encode it so."
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"The JSON cannot be read: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except InvalidInputError:
        raise
    except ValueError:
        raise InvalidInputError("The JSON holds a whole number of thousands of digits; send fewer.") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInputError(validation_message(error.errors(include_url=False))) from None


def _check_marks(body: bytes, model: type[Body]) -> None:
    """Every value but the first comes after a comma, a bracket or a colon: counting those bounds the memory."""
    marks = body.count(b",") + body.count(b"[") + body.count(b"{")
    if marks > model.most_marks:
        raise InvalidInputError(
            f"The JSON holds about {marks} values; at most {model.most_marks} belong here. {model.too_many}"
        )


def _check_depth(body: bytes) -> None:
    """Raises InvalidInputError for JSON that is nested deeper than anything the API takes."""
    # Text may hold brackets as well: it is left out where that matters.
    if _depth(body) > MAX_DEPTH and (depth := _depth(_STRING.sub(b"", body))) > MAX_DEPTH:
        raise InvalidInputError(
            f"The JSON is nested {depth} deep; at most {MAX_DEPTH} are read. See /docs for the fields."
        )


def _depth(body: bytes) -> int:
    brackets = np.frombuffer(body.translate(None, _NOT_BRACKETS), np.uint8)
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    return int(np.cumsum(np.where(opening, 1, -1)).max(initial=0))


def _object(pairs: list[tuple[str, object]]) -> dict:
    """An object of JSON whose keys stand once each."""
    if len(pairs) > MAX_KEYS:
        raise InvalidInputError(f"An object has {len(pairs)} keys; at most {MAX_KEYS} are read.")
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidInputError(f"The key {twice[:80]!r} stands in one object twice; send it once.")
    return found
