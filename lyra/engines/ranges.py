"""What a user may set of each engine, for those who show it: default, least and most."""

from __future__ import annotations

from dataclasses import dataclass

from lyra.engines.base import MAX_GUIDANCE, MAX_STEPS


@dataclass(frozen=True)
class Range:
    default: float
    min: float
    max: float


# Engine -> fields of EngineOptions that it has; the distilled network and the preview engine have none.
RANGES: dict[str, dict[str, Range]] = {
    "lyra2": {"steps": Range(35, 1, MAX_STEPS), "guidance": Range(5.0, 1.0, MAX_GUIDANCE)}
}
