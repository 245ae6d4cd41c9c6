"""Python packages that only parts of the product need."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from lyra.errors import EngineNotReadyError


def missing_packages(modules: Iterable[str]) -> tuple[str, ...]:
    """Those of `modules` that cannot be imported here; nothing is imported to find out."""
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)


def require_packages(modules: Iterable[str], extra: str, purpose: str) -> None:
    """Raises EngineNotReadyError that names what is missing and the extra that brings it."""
    missing = missing_packages(modules)
    if missing:
        raise EngineNotReadyError(
            f"{purpose} needs {', '.join(missing)}, not installed here; install it with: "
            f"pip install 'lyra-worlds[{extra}]'"
        )
