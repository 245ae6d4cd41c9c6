"""Human-readable sizes and durations."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400


def bytes_text(size: float) -> str:
    """Decimal units, as disks and repositories state them."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.0f} {unit}" if size >= 10 * scale else f"{size / scale:.1f} {unit}"
    return f"{size:.0f} bytes"


def seconds_text(seconds: float) -> str:
    for unit, scale in (("days", DAY), ("hours", HOUR), ("minutes", MINUTE)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.0f} {unit}"
    return f"{seconds:.0f} seconds" if seconds >= 10 else f"{seconds:.1f} seconds"
