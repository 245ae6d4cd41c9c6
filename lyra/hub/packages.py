"""Optional Python packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from lyra.common.errors import EngineNotReadyError


def missing_packages(modules: Iterable[str]) -> tuple[str, ...]:
    """Those of `modules` that cannot be imported here; nothing is imported to find out."""
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)


def packages_remark(modules: Iterable[str], extra: str, purpose: str) -> str | None:
    """What the user reads when some of `modules` are not installed: which, and what brings them.

    `extra` is empty for packages of the base install.
    """
    missing = missing_packages(modules)
    if not missing:
        return None
    wanted = (
        f"the extra with: pip install 'lyra-worlds[{extra}]'" if extra else "with: pip install lyra-worlds"
    )
    return f"{purpose} needs {', '.join(missing)}, not installed here; install {wanted}."


def require_packages(modules: Iterable[str], extra: str, purpose: str) -> None:
    """Raises EngineNotReadyError with the remark of `packages_remark` when something is not installed."""
    remark = packages_remark(modules, extra, purpose)
    if remark:
        raise EngineNotReadyError(remark)
