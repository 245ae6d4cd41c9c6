"""Locks the packages of *Install Service*: one version of each, with the hashes of its wheels.

    python scripts/lock_engine.py [--out locks]

Needs uv, which resolves for all systems and Python versions at once; the versions of the environment that runs this,
that of the tests, are preferred. A lock says for which targets every package has a wheel, and which lack one.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
# The optional parts that the installer offers; "" is the base install.
EXTRAS = ("", "depth", "lyra2")
SYSTEMS = (
    ("linux", "x86_64"),
    ("linux", "aarch64"),
    ("win32", "AMD64"),
    ("darwin", "arm64"),
    ("darwin", "x86_64"),
)
NEWEST_GLIBC, OLDEST_GLIBC, NEWEST_MACOS = 39, 5, (15, 0)


@dataclass(frozen=True)
class Target:
    """A Python version on a system, as markers name them."""

    python: str
    system: str
    machine: str

    @property
    def name(self) -> str:
        return f"{self.python} {self.system} {self.machine}"

    @property
    def markers(self) -> dict[str, str]:
        platform = {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[self.system]
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "sys_platform": self.system,
            "platform_machine": self.machine,
            "platform_system": platform,
            "os_name": "nt" if self.system == "win32" else "posix",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "extra": "",
        }

    def tags(self) -> frozenset[Tag]:
        """Tags of all wheels that some release of the system takes."""
        version = tuple(int(part) for part in self.python.split("."))
        platforms = list(self._platforms())
        return frozenset(
            (*cpython_tags(version, None, platforms), *compatible_tags(version, None, platforms))
        )

    def _platforms(self) -> Iterator[str]:
        if self.system == "darwin":
            yield from mac_platforms(NEWEST_MACOS, self.machine)
        elif self.system == "win32":
            yield "win_amd64"
        else:
            numbered = [f"_2_{minor}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
            yield from (f"manylinux{tag}_{self.machine}" for tag in (*numbered, "2014", "2010", "1"))


TARGETS = tuple(Target(python, *system) for python in PYTHONS for system in SYSTEMS)


def locked(extra: str) -> list[dict]:
    """The packages of a resolution for all targets, as PEP 751 writes them: name, version, marker, wheels."""
    with tempfile.TemporaryDirectory() as scratch:
        pins, lock = Path(scratch) / "pins.txt", Path(scratch) / "pylock.toml"
        # Versions that stand in the output are kept where they can be.
        own = [
            f"{each.metadata['Name']}=={each.version}" for each in distributions() if "+" not in each.version
        ]
        pins.write_text("\n".join(own), "utf-8")
        command = [
            "uv",
            "pip",
            "compile",
            "pyproject.toml",
            "--universal",
            "--quiet",
            "--python-version",
            PYTHONS[0],
        ]
        command += ["--constraints", "constraints.txt", *(("--extra", extra) if extra else ())]
        subprocess.run([*command, "--output-file", pins], cwd=ROOT, check=True)
        subprocess.run([*command, "--constraints", pins, "--output-file", lock], cwd=ROOT, check=True)
        return tomllib.loads(lock.read_text("utf-8"))["packages"]


def hashes(package: dict, target: Target) -> list[str] | None:
    """SHA-256 of the wheels that a target can take; None where it does not need the package."""
    if "marker" in package and not Marker(package["marker"]).evaluate(target.markers):
        return None
    tags = target.tags()
    wheels = {wheel["url"].rpartition("/")[2]: wheel for wheel in package.get("wheels", ())}
    return [
        wheel["hashes"]["sha256"] for name, wheel in wheels.items() if parse_wheel_filename(name)[3] & tags
    ]


def lock_lines(extra: str, packages: Iterable[dict]) -> list[str]:
    found = {target: [(package, hashes(package, target)) for package in packages] for target in TARGETS}
    lacking = {
        target: sorted(package["name"] for package, digests in each if digests == [])
        for target, each in found.items()
    }
    lines = [
        f"# Packages of the service {f'with its part {extra!r}' if extra else 'alone'}, with the SHA-256 of their "
        "wheels. Made by scripts/lock_engine.py.",
        *(f"# covers: {target.name}" for target in TARGETS if not lacking[target]),
        *(
            f"# not covered: {t.name} (no wheel of {', '.join(names)})"
            for t, names in lacking.items()
            if names
        ),
    ]
    for package in packages:
        digests = {
            digest
            for target, each in found.items()
            if not lacking[target]
            for other, its in each
            if other is package
            for digest in its or ()
        }
        if digests:
            marker = f" ; {package['marker']}" if "marker" in package else ""
            lines.append(f"{canonicalize_name(package['name'])}=={package['version']}{marker} \\")
            lines += [f"    --hash=sha256:{digest} \\" for digest in sorted(digests)]
            lines[-1] = lines[-1].removesuffix(" \\")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "locks", help="folder for the locks (default: locks)"
    )
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for extra in EXTRAS:
        file = out / f"{extra or 'base'}.txt"
        lines = lock_lines(extra, locked(extra))
        file.write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{file}: {sum('==' in line and line[0] != '#' for line in lines)} packages")
        print("\n".join(line for line in lines if line.startswith("# not")))


if __name__ == "__main__":
    main()
