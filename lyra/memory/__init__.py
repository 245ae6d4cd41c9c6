"""What has been seen: geometry of remembered frames, and which of them a new view needs."""

from lyra.memory.cache import CacheEntry, GeometryCache, MemorySettings
from lyra.memory.coverage import CoverageSettings, GreedyCoverage, RetrievalStrategy

__all__ = [
    "CacheEntry",
    "CoverageSettings",
    "GeometryCache",
    "GreedyCoverage",
    "MemorySettings",
    "RetrievalStrategy",
]
