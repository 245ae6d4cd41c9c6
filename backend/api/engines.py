"""The engines as the API describes them: what each is, whether it is ready, and what the user may set."""

from __future__ import annotations

from dataclasses import asdict

from backend.errors import NotFoundError
from lyra.common.errors import InvalidInputError

# What of the catalogue the estimator "joined" needs.
DEPTH = "depth"


def engine_resources(device: str | None) -> list[dict]:
    """Every engine, the default one first. Raises InvalidInputError for a damaged settings file of the user."""
    # Imported here: asking Warp for GPUs takes a second, and the port should answer before.
    from lyra.engines import available_engines
    from lyra.world.options import ranges_of

    return [
        {
            **asdict(info),
            "state": _state(info.id, device),
            "options": {name: found and asdict(found) for name, found in ranges_of(info.id).items()},
        }
        for info in available_engines(device)
    ]


def _state(engine_id: str, device: str | None) -> dict:
    from lyra.engines.readiness import engine_state
    from lyra.hub import ENGINES

    if engine_id not in ENGINES:
        return {"status": "ready", "text": "Ready.", "download_bytes": 0, "licences": []}
    state = engine_state(engine_id, device)
    return {
        "status": state.status,
        "text": state.text,
        "download_bytes": state.download_bytes,
        "licences": _licences(engine_id, state.depth),
    }


def depth_resource() -> dict:
    """The networks for the depth of the picture: what they are, whether they are here, and every licence of them."""
    from lyra.hub import Weights
    from lyra.hub.catalog import needs
    from lyra.hub.packages import packages_remark
    from lyra.hub.units import bytes_text

    wanted, weights = needs(DEPTH), Weights()
    missing = weights.missing(DEPTH)
    size = sum(weights.missing_bytes(i) for i in missing)
    lacking = packages_remark(wanted.packages, wanted.extra, wanted.label)
    if lacking:
        status, text = "needs_packages", lacking
    elif missing:
        status, text = "needs_download", f"Needs download of {bytes_text(size)}: lyra models download {DEPTH}"
    else:
        status, text = "ready", "Ready."
    return {
        "id": DEPTH,
        "label": wanted.label,
        "status": status,
        "text": text,
        "download_bytes": size,
        "licences": [licence_resource(i) for i in wanted.licences],
    }


def _licences(*names: str) -> list[dict]:
    """Licences that what these engines and models need comes under, where they must be accepted."""
    from lyra.hub.catalog import needs
    from lyra.hub.licences import LICENCES

    ids = dict.fromkeys(licence for name in names for licence in needs(name).licences)
    return [licence_resource(i) for i in ids if LICENCES[i].must_accept]


def licence_resource(licence_id: str) -> dict:
    """The Licence of docs/api.md; `licence_id` is one of lyra.hub.licences."""
    from lyra.hub import AcceptedLicences
    from lyra.hub.licences import LICENCES

    entry = LICENCES[licence_id]
    return {
        "id": entry.id,
        "title": entry.label,
        "text": entry.text,
        "where": entry.where,
        "accepted": AcceptedLicences().accepted(entry.id),
    }


def accept_licence(licence_id: str) -> dict:
    """Remembers that the user accepted it. Raises NotFoundError for a licence that there is none of."""
    from lyra.hub import AcceptedLicences
    from lyra.hub.licences import LICENCES

    if licence_id not in LICENCES:
        raise NotFoundError(f"There is no licence {licence_id!r}; the engines say which licences they need.")
    AcceptedLicences().accept(licence_id)
    return licence_resource(licence_id)


def require_download(engine_id: str) -> None:
    """Raises what stands in the way of downloading what an engine, or DEPTH, needs: no such engine, or a licence."""
    from lyra.engines.readiness import wanted_items
    from lyra.hub import ENGINES, AcceptedLicences, Weights
    from lyra.hub.catalog import item

    if engine_id not in ENGINES and engine_id != DEPTH:
        raise InvalidInputError(
            f"There is nothing to download for {engine_id!r}; choose one of {', '.join(ENGINES)}."
        )
    wanted = wanted_items(engine_id, Weights())
    AcceptedLicences().require(item(i).licence for i in wanted)
