"""Readiness checks that the downloaded depth models share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def missing_files(label: str, folder: str | Path, files: Sequence[str]) -> str | None:
    """A message that names the files a weights folder lacks; None if it is complete."""
    lacking = [name for name in files if not (Path(folder) / name).is_file()]
    return f"The folder {folder} lacks {' and '.join(lacking)} of {label}; give another." if lacking else None
