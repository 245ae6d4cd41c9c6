"""Geometry memory: a per-frame cache of depth and points, and retrieval of frames for new views."""

from lyra.memory.cache import CacheEntry, GeometryCache, MemorySettings, RetrievalStrategy
from lyra.memory.coverage import CoverageSettings, GreedyCoverage

__all__ = [
    "CacheEntry",
    "CoverageSettings",
    "GeometryCache",
    "GreedyCoverage",
    "MemorySettings",
    "RetrievalStrategy",
]
