"""Checks of the network."""

from __future__ import annotations

from collections.abc import Callable

from tests.parity_base import Deviation, Folder

CHECKS: dict[str, Callable[[Folder], Deviation]] = {}
