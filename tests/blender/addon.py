"""Loads modules of the extension by file, so that those without bpy are tested without Blender."""

import importlib
import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "blender_addon"
PACKAGE = "lyra_addon_under_test"


def load(name: str):
    """A module of the extension by its dotted name, without running the package's own __init__."""
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(FOLDER)]
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")


def finished(steps):
    """What a generator returns that does its work in steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
