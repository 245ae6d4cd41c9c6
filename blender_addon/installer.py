"""Installs the engine that lies in the extension's zip into an environment of its own.

Blender's own Python is never touched: a virtual environment in the extension's user folder takes the wheel and what
it needs. Each step is a child process that writes to one log; `poll` looks in now and then. A marker file is written
last, so a half-made environment is known as one and removed before the next try.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .process import clean_environment, detached_options, kill, last_line

MARKER = "lyra_engine.json"
# About how many packages an install brings, for the bar only; by the extra of the wheel that is asked for.
EXPECTED_PACKAGES = {"": 30, "depth": 60, "lyra2": 75}
_CHECK = "import sys, venv, ensurepip; assert sys.version_info >= (3, 11), sys.version"
_REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1])"
_PIP_LINE = re.compile(rb"^(?:Collecting|Requirement already satisfied)", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """One child process of the installation: what the panel says meanwhile, and where the bar stands at its start."""

    label: str
    progress: float
    command: list[str]
    failure: str


def environment_python(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def installed_version(environment: Path) -> str | None:
    """The engine version an environment holds whole, or None."""
    try:
        return str(json.loads((environment / MARKER).read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def installed_extra(environment: Path) -> str:
    """The extra that the engine was installed with, "" for none."""
    try:
        return str(json.loads((environment / MARKER).read_text("utf-8")).get("extra", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def bundled_wheel(folder: Path) -> Path | None:
    """The engine's wheel beside the extension's code; None in the thin zip."""
    return next(iter(sorted(folder.glob("lyra_worlds-*.whl"))), None)


def wheel_version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


class Installation:
    """One run of the installer. Read `label`, `progress`, `line`; it is over when `done` or `error` is set.

    `extra` names what of the wheel's optional parts comes along (a key of EXPECTED_PACKAGES).
    """

    def __init__(
        self, python: Path, wheel: Path, constraints: Path, environment: Path, log: Path, extra: str = ""
    ):
        self.done = False
        self.error = ""
        self.version = wheel_version(wheel)
        self._extra = extra
        self._environment = environment
        self._log = log
        self._child: subprocess.Popen | None = None
        self._cancelled = False
        engine_python = str(environment_python(environment))
        pip_install = [
            engine_python,
            "-I",
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
        ]
        pip_install.append("--progress-bar=off")
        self._steps = [
            Step(
                "Checking Python",
                0.0,
                [str(python), "-I", "-c", _CHECK],
                f"{python} cannot make environments (Python 3.11 or newer with venv and ensurepip is needed). "
                "Choose another Python in the preferences, or install python3-venv.",
            ),
            Step(
                "Making the Environment",
                0.02,
                [str(python), "-I", "-m", "venv", "--clear", str(environment)],
                f"The environment at {environment} could not be made.",
            ),
            Step(
                "Installing the Engine",
                0.06,
                [*pip_install, "-c", str(constraints), f"{wheel}[{extra}]" if extra else str(wheel)],
                "pip could not install the engine. Check the connection and the space on the disk.",
            ),
            Step(
                "Trying It Out",
                0.95,
                [engine_python, "-I", "-m", "backend", "--help"],
                "The installed engine does not start.",
            ),
        ]
        self._at = -1
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        (environment / MARKER).unlink(missing_ok=True)
        self._next()

    @property
    def label(self) -> str:
        return "Removing What Was Installed" if self._cancelled else self._steps[self._at].label

    @property
    def line(self) -> str:
        """The newest line of the log, for the panel."""
        return last_line(self._log)

    @property
    def progress(self) -> float:
        step = self._steps[self._at]
        if step.label != "Installing the Engine":
            return step.progress
        log = self._log.read_bytes()
        if b"Installing collected packages" in log:
            return 0.85
        return step.progress + 0.75 * min(1.0, len(_PIP_LINE.findall(log)) / EXPECTED_PACKAGES[self._extra])

    @property
    def active(self) -> bool:
        return not self.done and not self.error

    def poll(self) -> None:
        """Goes on to the next step when the present one has ended. Never waits."""
        if not self.active or self._child.poll() is None:
            return
        if self._cancelled:
            self.error = "The installation was cancelled; nothing of it is left."
        elif self._child.returncode:
            said = self.line
            self.error = (
                f"{self._steps[self._at].failure}{f' It said: {said}' if said else ''} Log: {self._log}"
            )
        elif self._at + 1 < len(self._steps):
            self._next()
        else:
            marker = self._environment / MARKER
            marker.write_text(json.dumps({"version": self.version, "extra": self._extra}), "utf-8")
            self.done = True

    def cancel(self) -> None:
        """Stops the child and removes the half-made environment, in a child of its own: it holds many files."""
        if not self.active or self._cancelled:
            return
        kill(self._child)
        self._cancelled = True
        if self._environment.exists():
            self._child = self._run([sys.executable, "-I", "-c", _REMOVE, str(self._environment)])

    def abandon(self) -> None:
        """At Blender's exit: stops the child. Without its marker the environment counts as not installed."""
        if self.active:
            kill(self._child)

    def _next(self) -> None:
        self._at += 1
        try:
            self._child = self._run(self._steps[self._at].command)
        except OSError as error:
            self.error = f"{self._steps[self._at].failure} ({error.strerror})"

    def _run(self, command: list[str]) -> subprocess.Popen:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                **detached_options(),
            )
