"""What a user may set of each engine, for those who show it: default, least and most."""

from __future__ import annotations

from dataclasses import dataclass

from lyra.engines.base import MAX_GUIDANCE, MAX_STEPS, MAX_STYLES


@dataclass(frozen=True)
class Range:
    default: float
    min: float
    max: float


# Published: 0.4 in the script that zooms, none in the one that follows a path.
STYLES = Range(0.0, 0.0, MAX_STYLES)
# Engine -> fields of EngineOptions that it has. The distilled network knows neither steps nor guidance.
RANGES: dict[str, dict[str, Range]] = {
    "lyra2": {
        "steps": Range(35, 1, MAX_STEPS),
        "guidance": Range(5.0, 1.0, MAX_GUIDANCE),
        "styles": STYLES,
    },
    "lyra2-fast": {"styles": STYLES},
}
