"""Checks of what a client sends that go beyond its schema, and how a refusal reads."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from backend.api.schemas import ExtendSettings, Options
from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line
from lyra.geometry.cameras import Trajectory
from lyra.world.captions import check_captions as read_captions
from lyra.world.folder import World
from lyra.world.options import EngineOptions

SHOWN_CHARACTERS = 80
MAX_CAPTIONS = 1_000_000  # characters: they stand in the job's record, which is saved at every step


def checked_path(settings: ExtendSettings, world: World) -> Trajectory:
    """The path of an extend request, as it was given. Raises InvalidInputError where the job would."""
    from lyra.pipeline.extend import check_path

    body = settings.trajectory
    path = Trajectory.checked(body.w2c, body.intrinsics, body.image_height, body.image_width)
    check_path(world, path, settings.pose_scale)
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
    length = sum(map(len, captions.values()))
    if length > MAX_CAPTIONS:
        raise InvalidInputError(
            f"The captions have {length} characters together; at most {MAX_CAPTIONS} are read. Send shorter ones."
        )
    first = min(read_captions(captions, "captions"))
    if first >= frames:
        raise InvalidInputError(
            f"All captions start at frame {first} or later; the world will have {frames} frames. Give one that "
            "starts earlier."
        )


def validation_message(errors: Sequence[ErrorDetails]) -> str:
    """One line about the first of pydantic's complaints; it names the place and quotes the value."""
    first = errors[0]
    parts = (str(part) for part in first["loc"] if part not in ("body", "query", "path", "header"))
    place = one_line(".".join(parts), SHOWN_CHARACTERS) or "The body"
    if first["type"] == "missing":
        return f"{place} is missing; see /docs for the fields."
    shown = one_line(_REPR.repr(first["input"]), SHOWN_CHARACTERS)
    said = first["msg"]
    more = f" ({len(errors) - 1} more like it)" if len(errors) > 1 else ""
    return one_line(f"{place} is {shown}: {said[0].lower()}{said[1:]}{more}; see /docs for the fields.")


def _bounded_repr() -> reprlib.Repr:
    """Quotes what a client sent without writing all of it."""
    bounded = reprlib.Repr()
    bounded.maxlevel = 3
    bounded.maxstring = bounded.maxother = bounded.maxlong = SHOWN_CHARACTERS
    return bounded


_REPR = _bounded_repr()
