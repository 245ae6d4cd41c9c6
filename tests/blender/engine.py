"""The extension's zip and the Python that runs the engine, for the tests that need them."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.blender.addon import ROOT

# Blender 5.2's Python has no engine; the one that has is named by this variable.
ENGINE_PYTHON = os.environ.get("LYRA_ENGINE_PYTHON", sys.executable)


@cache
def zips() -> tuple[Path, Path]:
    """The full and the thin zip, built once per run."""
    out = Path(mkdtemp(prefix="lyra-zips-"))
    subprocess.run([ENGINE_PYTHON, str(ROOT / "build_addon.py"), "--out", str(out)], check=True, cwd=ROOT)
    (thin,) = out.glob("*-thin.zip")
    (full,) = set(out.glob("*.zip")) - {thin}
    return full, thin


def run_in_blender(script: str, folder: Path, *arguments: str, timeout: float = 400.0) -> str:
    """Runs a script beside this file in a fresh Blender with preferences of its own; returns what it printed.

    An assertion that fails in there fails the test, with the script's last lines.
    """
    environment = os.environ | {
        "BLENDER_USER_RESOURCES": str(folder / "blender"),
        "LYRA_ENGINE_PYTHON": ENGINE_PYTHON,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.blender.play", str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{script} failed:\n{done.stdout[-3000:]}\n{done.stderr[-4000:]}"
    return done.stdout
