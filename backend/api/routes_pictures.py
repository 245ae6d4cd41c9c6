"""Routes about pictures that belong to no world yet."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from backend.api import schemas
from backend.api.context import RunningBackend
from backend.api.uploads import image_of, plain_names, received_form, store_upload, upload_folder
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


router = APIRouter(prefix="/v1/pictures", tags=["pictures"])


@router.post("/measure", openapi_extra=_SCHEMA)
async def measure(request: Request, backend: RunningBackend) -> schemas.Picture:
    """The size of a picture as the engine sees it: upright, the part of it that is shown. It is not kept."""
    async with upload_folder(backend.config.upload_folder) as folder:
        with plain_names(folder), disk_full_explained(folder):
            async with received_form(request, files=1) as form:
                file = await run_in_threadpool(
                    store_upload, image_of(form), folder, backend.config.limits.image_bytes
                )
            async with backend.decoding:
                height, width = await run_in_threadpool(backend.inspector.measure, file)
    return schemas.Picture(width=width, height=height)
