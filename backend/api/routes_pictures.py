"""Routes about pictures that belong to no world yet."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from backend.api import schemas
from backend.api.forms import image_of, received_form
from backend.api.uploads import plain_names, store_upload, upload_folder
from backend.service import Backend
from lyra.common.files import disk_full_explained

_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


def picture_routes(backend: Backend) -> APIRouter:
    router = APIRouter()
    limits = backend.config.limits

    @router.post("/measure", openapi_extra=_SCHEMA)
    async def measure(request: Request) -> schemas.Picture:
        """The size of a picture as the engine sees it: upright, the part of it that is shown. It is not kept."""
        async with upload_folder(backend.config.upload_folder) as folder:
            with plain_names(folder), disk_full_explained(folder):
                async with received_form(request, files=1) as form:
                    file = await run_in_threadpool(store_upload, image_of(form), folder, limits.image_bytes)
                async with backend.decoding:
                    height, width = await run_in_threadpool(backend.inspector.measure, file)
        return schemas.Picture(width=width, height=height)

    return router
