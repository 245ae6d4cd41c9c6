"""What keeps a depth model from running on this machine, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def missing_files(label: str, folder: str | Path, files: Sequence[str]) -> str | None:
    """The remark that names what a weights folder lacks, or None."""
    lacking = [name for name in files if not (Path(folder) / name).is_file()]
    return f"The folder {folder} lacks {' and '.join(lacking)} of {label}; give another." if lacking else None
