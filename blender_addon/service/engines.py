"""Engines as the service describes them: readiness, missing requirements, options."""

from __future__ import annotations

from . import session
from .contract import Range
from .resources import Engine, Licence
from .wording import byte_size

# What an engine lacks, by the state the service gives; the size is filled in.
_LACKS = {
    "needs_licence": "licence not accepted",
    "needs_download": "{download} to download",
    "needs_conversion": "weights to convert",
    "needs_gpu": "needs a GPU",
    "needs_packages": "packages missing",
}
FETCHABLE = {"needs_download", "needs_conversion"}
# What the panel has buttons for; of anything else the service's own words say what to do.
MENDABLE = FETCHABLE | {"needs_licence"}


def find(engine_id: str) -> Engine | None:
    """An engine as the service last described it; None while it is not known."""
    return next((engine for engine in session.current.engines if engine.id == engine_id), None)


def missing(engine_id: str) -> str:
    """Why an engine cannot work; empty while it can, or is not known yet."""
    engine = find(engine_id)
    if engine is not None:
        return "" if engine.ready else f"{engine.label}: {obstacle(engine) or lack(engine)}".rstrip(".")
    if session.current.engines:
        return f"The engine '{engine_id}' is unknown to the running service; choose another"
    return ""


def status(engine: Engine) -> str:
    """What an engine lacks, as the API names it; empty from a service that has engines without weights only."""
    return engine.state.status if engine.state else ""


def lack(engine: Engine) -> str:
    """What keeps an engine from being ready, in a few words; empty when nothing does."""
    if engine.ready:
        return ""
    words = _LACKS.get(status(engine), "not ready")
    return words.format(download=download_size(engine))


def download_size(engine: Engine) -> str:
    """How much is to be downloaded for an engine: `98 GB`."""
    byte_count = engine.state.download_bytes if engine.state else 0
    return byte_size(byte_count) if byte_count else "some GB"


def obstacle(engine: Engine) -> str:
    """What the service says of an engine that the panel's buttons cannot make ready; else empty."""
    if engine.ready or status(engine) in MENDABLE:
        return ""
    return (engine.state.text if engine.state else "") or engine.reason


def open_licences(engine: Engine) -> list[Licence]:
    """The licences that are to be accepted now."""
    if status(engine) != "needs_licence":
        return []
    return [licence for licence in engine.state.licences if not licence.accepted]


def has_weights(engine_id: str) -> bool:
    """Whether an engine runs on weights that come under a licence of their own."""
    engine = find(engine_id)
    return engine is not None and engine.state is not None and bool(engine.state.licences)


# What an artist may take over, with its label; an engine has some of them.
SETTINGS = (("steps", "Steps"), ("guidance", "Guidance"), ("styles", "Styles"))


def setting(engine_id: str, name: str) -> Range | None:
    """Default, min and max of a setting of an engine; None where it has no such setting."""
    engine = find(engine_id)
    return engine.options.get(name) if engine else None


def checked_settings(engine_id: str, wanted: dict[str, float]) -> dict[str, float]:
    """The wanted settings that the engine has. Raises ValueError for one outside its limits."""
    found = {}
    for name, value in wanted.items():
        limits = setting(engine_id, name)
        if limits is None:
            continue
        low, high = limits.min, limits.max
        if not low <= value <= high:
            raise ValueError(
                f"{name.title()} is {value:g}; {find(engine_id).label} takes {low:g} to {high:g}. "
                "Change it under Generate, Engine Settings."
            )
        found[name] = value
    return found
