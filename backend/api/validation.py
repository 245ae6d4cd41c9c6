"""Checks of what a client sends that go beyond its schema, and how a refusal reads."""

from __future__ import annotations

from backend.api.schemas import ExtendSettings, Options
from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory
from lyra.world.captions import check_captions as read_captions
from lyra.world.folder import World
from lyra.world.options import EngineOptions

SHOWN_CHARACTERS = 80


def checked_path(settings: ExtendSettings, world: World) -> Trajectory:
    """The path of an extend request, as it was given. Raises InvalidInputError where the job would."""
    from lyra.pipeline import create as builder

    body = settings.trajectory
    path = Trajectory.checked(body.w2c, body.intrinsics, body.image_height, body.image_width)
    builder.prepare_path(world, path, settings.pose_scale)
    return path


def require_engine(engine: str, device: str | None) -> None:
    """Raises InvalidInputError for an unknown engine, EngineNotReadyError for one that cannot run on `device`."""
    # Imported here: asking Warp for GPUs takes a second, and the service's port should answer before.
    from lyra.engines import engine_info

    engine_info(engine, device)


def check_options(engine: str, options: Options) -> None:
    """Raises InvalidInputError for a setting that the engine does not have."""
    EngineOptions(**options.model_dump()).checked_for(engine)


def check_captions(captions: dict[str, str], prompt: str, frames: int) -> None:
    """Raises InvalidInputError for keys that are no frame numbers below `frames`, and for two sources of text."""
    if prompt:
        raise InvalidInputError(
            f"Both the prompt {prompt[:SHOWN_CHARACTERS]!r} and captions were given; send one of them."
        )
    first = min(read_captions(captions, "captions"))
    if first >= frames:
        raise InvalidInputError(
            f"All captions start at frame {first} or later; the world will have {frames} frames. Give one that "
            "starts earlier."
        )


def validation_message(errors: list[dict]) -> str:
    """One line about the first of pydantic's complaints; it names the place and quotes the value."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
    if first["type"] == "json_invalid":
        return f"The JSON cannot be read: {first['ctx']['error']}."
    if first["type"] == "missing":
        return f"{place or 'The body'} is missing; see /docs for the fields."
    value = repr(first["input"])
    shown = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "..."
    message = f"{place or 'The body'} is {shown}: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
    return f"{message}{more}; see /docs for the fields."
