"""Installer of the service: from the wheel in the extension's zip into a virtual environment of its own.

Blender's own Python is not changed. The environment in the extension's user folder takes the wheel and its
dependencies, by a lock of versions and hashes. Each step is a child process that writes to one log; `poll` looks at it
now and then. A marker file is written last: an environment without it is incomplete, and is removed before a retry.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .process import clean_environment, detached_options, kill, last_line

MARKER = "lyra_engine.json"
# About how many packages an install brings, for the bar only; by the extra of the wheel that is asked for.
EXPECTED_PACKAGES = {"": 40, "depth": 65, "lyra2": 80}
# Says in its last line which lock is the right one.
_CHECK = (
    "import sys, venv, ensurepip, platform; assert sys.version_info >= (3, 11), sys.version; "
    "print('Python', '%d.%d' % sys.version_info[:2], sys.platform, platform.machine())"
)
_COVERS = "# covers: "
_REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1])"
_PIP_LINE = re.compile(rb"^(?:Collecting|Requirement already satisfied)", re.MULTILINE)


@dataclass(frozen=True)
class InstallStep:
    """One child process of the installation: what the panel says meanwhile, and where the bar stands at its start.

    `span` is how far the bar goes while pip collects packages.
    """

    label: str
    progress: float
    command: list[str]
    failure: str
    span: float = 0.0


def environment_python(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@dataclass(frozen=True)
class Installed:
    """What a complete environment holds: the `version` of the service, the `extra` of its wheel ("" for none), and a
    `remark` on how it was installed."""

    version: str
    extra: str = ""
    remark: str = ""


def installed(environment: Path) -> Installed | None:
    """By the marker file of an environment; None for one that is not complete."""
    try:
        facts = json.loads((environment / MARKER).read_text("utf-8"))
        return Installed(str(facts["version"]), str(facts.get("extra", "")), str(facts.get("remark", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class InstallPlan:
    """How packages are installed: by a `lock`, and without one where `unlocked`; `remark` says what that means."""

    lock: Path | None
    unlocked: bool
    remark: str = ""


def plan(locks: Path, extra: str, target: str) -> InstallPlan:
    """The plan for a part of the service on a target, such as `3.13 linux x86_64`, by the locks of a folder."""
    whole, base = locks / f"{extra or 'base'}.txt", locks / "base.txt"
    if _covers(whole, target):
        return InstallPlan(whole, unlocked=False)
    if _covers(base, target):
        return InstallPlan(
            base,
            True,
            f"What the part '{extra}' adds has no hashes for Python {target}; pip chose its versions.",
        )
    return InstallPlan(
        None, True, f"There are no hashes for Python {target}; pip chose the versions of the packages."
    )


def _covers(lock: Path, target: str) -> bool:
    return lock.is_file() and f"{_COVERS}{target}" in lock.read_text("utf-8").splitlines()


def bundled_wheel(folder: Path) -> Path | None:
    """The service's wheel beside the extension's code; None in the thin zip."""
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
        self.remark = ""
        self.version = wheel_version(wheel)
        self._extra = extra
        self._wheel, self._constraints = wheel, constraints
        self._environment = environment
        self._log = log
        self._child: subprocess.Popen | None = None
        self._cancelled = False
        self._steps = [
            InstallStep(
                "Checking Python",
                0.0,
                [str(python), "-I", "-c", _CHECK],
                f"{python} cannot make environments (Python 3.11 or newer with venv and ensurepip is needed). "
                "Choose another Python in the preferences, or install python3-venv.",
            ),
            InstallStep(
                "Making the Environment",
                0.02,
                [str(python), "-I", "-m", "venv", "--clear", str(environment)],
                f"The environment at {environment} could not be made.",
            ),
        ]
        self._at = -1
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        (environment / MARKER).unlink(missing_ok=True)
        self._next()

    def _installing(self, target: str) -> list[InstallStep]:
        """The steps that fill the environment, once it is known for which Python and system."""
        chosen = plan(self._wheel.with_name("locks"), self._extra, target)
        self.remark = chosen.remark
        python = [str(environment_python(self._environment)), "-I", "-m"]
        pip = [*python, "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
        failure = "pip could not install the service. Check the connection and the space on the disk."
        steps = []
        if chosen.lock:
            locked = [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(chosen.lock)]
            span = 0.25 if chosen.unlocked else 0.75
            steps.append(InstallStep("Installing the Packages", 0.06, locked, failure, span))
        if chosen.unlocked:
            wanted = f"{self._wheel}[{self._extra}]" if self._extra else str(self._wheel)
            begin = 0.35 if chosen.lock else 0.06
            command = [*pip, "-c", str(self._constraints), wanted]
            steps.append(InstallStep("Installing the Service", begin, command, failure, 0.85 - begin))
        else:
            command = [*pip, "--no-deps", str(self._wheel)]
            steps.append(InstallStep("Installing the Service", 0.9, command, failure))
        trial = [*python, "backend", "--help"]
        return [
            *steps,
            InstallStep("Testing the Service", 0.95, trial, "The installed service does not start."),
        ]

    @property
    def label(self) -> str:
        return "Removing Installed Files" if self._cancelled else self._steps[self._at].label

    @property
    def line(self) -> str:
        """The newest line of the log, for the panel."""
        return last_line(self._log)

    @property
    def progress(self) -> float:
        step = self._steps[self._at]
        if not step.span:
            return step.progress
        log = self._log.read_bytes()
        if b"Installing collected packages" in log[self._begun :]:
            return step.progress + step.span
        return step.progress + 0.9 * step.span * min(
            1.0, len(_PIP_LINE.findall(log)) / EXPECTED_PACKAGES[self._extra]
        )

    @property
    def active(self) -> bool:
        return not self.done and not self.error

    def poll(self) -> None:
        """Goes on to the next step when the present one has ended. Never waits."""
        if not self.active or self._child.poll() is None:
            return
        if self._cancelled:
            self.error = "The installation was cancelled; its files are removed."
        elif self._child.returncode:
            said = self.line
            self.error = (
                f"{self._steps[self._at].failure}{f' It said: {said}' if said else ''} Log: {self._log}"
            )
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._at == 0:
            self._steps += self._installing(self.line.removeprefix("Python "))
        if self._at + 1 < len(self._steps):
            self._next()
        else:
            marker = self._environment / MARKER
            facts = Installed(self.version, self._extra, self.remark)
            marker.write_text(json.dumps(asdict(facts)), "utf-8")
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
        self._begun = self._log.stat().st_size
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
