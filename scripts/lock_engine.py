"""Locks the packages of *Install Service*: one version of each, with the hashes of its wheels.

    python scripts/lock_engine.py [--out locks]

Runs in the environment that the tests run in, on Linux, and locks its versions; where another Python version cannot
have one of them, pip chooses. What each platform needs follows from the packages' markers (PEP 508), and pip says
which wheels its releases take. A platform for which pip finds no wheel of some package is left out and named.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
# The optional parts that the installer offers; "" is the base install.
EXTRAS = ("", "depth", "lyra2")
_LINUX = ("1", "2010", "2014", "_2_5", "_2_12", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28")
_NEW_LINUX = (*_LINUX, "_2_31", "_2_34", "_2_35", "_2_39")
# The second is what pip says where a constraint names the package as well.
_NO_MATCH = re.compile(
    r"(?:No matching distribution found for|Cannot install) ([A-Za-z0-9._-]+)==[^ ,]+(?: because|$)", re.M
)


@dataclass(frozen=True)
class Platform:
    """A system as markers name it. `tags` are the wheel tags of its releases, the oldest first."""

    system: str
    machine: str
    tags: tuple[tuple[str, ...], ...]

    @property
    def markers(self) -> dict[str, str]:
        names = {"linux": ("Linux", "posix"), "win32": ("Windows", "nt"), "darwin": ("Darwin", "posix")}
        platform_system, os_name = names[self.system]
        return {
            "sys_platform": self.system,
            "platform_machine": self.machine,
            "platform_system": platform_system,
            "os_name": os_name,
        }


def _manylinux(machine: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f"manylinux{tag}_{machine}" for tag in tags) for tags in (_LINUX, _NEW_LINUX))


def _macos(machine: str, versions: Iterable[int]) -> tuple[tuple[str, ...], ...]:
    return tuple((f"macosx_{version}_0_{machine}",) for version in versions)


PLATFORMS = (
    Platform("linux", "x86_64", _manylinux("x86_64")),
    Platform("linux", "aarch64", _manylinux("aarch64")),
    Platform("win32", "AMD64", (("win_amd64",),)),
    Platform("darwin", "arm64", _macos("arm64", (11, 12, 13, 14, 15))),
    Platform("darwin", "x86_64", _macos("x86_64", (11, 12, 13, 14, 15))),
)


@dataclass(frozen=True)
class Target:
    """A Python version on a platform."""

    python: str
    platform: Platform

    @property
    def name(self) -> str:
        return f"{self.python} {self.platform.system} {self.platform.machine}"

    @property
    def markers(self) -> dict[str, str]:
        versions = {"python_version": self.python, "python_full_version": f"{self.python}.0"}
        more = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
        return versions | more | self.platform.markers


class PipError(Exception):
    """pip found no answer; `without` names the package that it has no wheel of, if that is why."""

    def __init__(self, message: str, without: str):
        super().__init__(message)
        self.without = without


@dataclass(frozen=True)
class Package:
    """A version of a package and what it asks for."""

    name: str
    version: str
    requires: tuple[Requirement, ...]


def roots(extra: str) -> list[Requirement]:
    """What the package asks for itself, with one of its optional parts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    waiting = [extra] if extra else []
    for name in waiting:
        for line in project["optional-dependencies"][name]:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == project["name"]:
                waiting += sorted(requirement.extras)
            else:
                found.append(requirement)
    return found


def constraints(python: str) -> list[Requirement]:
    """Those of constraints.txt that hold for a Python version."""
    environment = Target(python, PLATFORMS[0]).markers
    return [each for each in _all_constraints() if each.marker is None or each.marker.evaluate(environment)]


def _pip(arguments: list[str], lines: list[str]) -> dict:
    """pip's report on an installation that it only pretends. Raises PipError."""
    with tempfile.TemporaryDirectory() as scratch:
        report, listed = Path(scratch) / "report.json", Path(scratch) / "lines.txt"
        listed.write_text("\n".join(lines), "utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--target", scratch]
        command += ["--report", str(report), "-r", str(listed), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            without = _NO_MATCH.search(done.stderr)
            raise PipError(done.stderr.strip(), canonicalize_name(without[1]) if without else "")
        return json.loads(report.read_text("utf-8"))


def _tags(python: str, tags: Iterable[str]) -> list[str]:
    return ["--python-version", python, *(part for tag in tags for part in ("--platform", tag))]


def tested() -> dict[str, Package]:
    """The packages of this environment. What a build of another index asks for, such as torch's, is asked of pip."""
    found = {}
    for each in distributions():
        name, requires = canonicalize_name(each.metadata["Name"]), each.requires or ()
        version, _, local = each.version.partition("+")
        if local:
            (item,) = _pip(["--no-deps", *_tags("3.12", PLATFORMS[0].tags[-1])], [f"{name}=={version}"])[
                "install"
            ]
            found[name] = _package(item)
        else:
            found[name] = Package(name, version, tuple(map(Requirement, requires)))
    return found


def resolve(python: str, preferred: dict[str, str]) -> dict[str, Package]:
    """One version of every package that the base install needs on any platform, the preferred one where it can be."""
    held = constraints(python)
    named = {canonicalize_name(each.name) for each in _all_constraints()}
    limits = [f"{name}=={version}" for name, version in preferred.items() if name not in named]
    limits += [f"{each.name}{each.specifier}" for each in held]
    asked = [str(each) for each in roots("")]
    while True:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "constraints.txt"
            file.write_text("\n".join(limits), "utf-8")
            report = _pip([*_tags(python, PLATFORMS[0].tags[-1]), "-c", str(file)], asked)
        packages = {package.name: package for package in map(_package, report["install"])}
        closures = [closure("", packages, Target(python, platform)) for platform in PLATFORMS]
        lacking = {f"{each.name}{each.specifier}" for _, missing in closures for each in missing}
        if not lacking:
            return packages
        asked += sorted(lacking)


def _package(item: dict) -> Package:
    metadata = item["metadata"]
    requires = tuple(Requirement(line) for line in metadata.get("requires_dist", ()))
    return Package(canonicalize_name(metadata["name"]), metadata["version"], requires)


def closure(extra: str, packages: dict[str, Package], target: Target) -> tuple[set[str], list[Requirement]]:
    """The names of the packages that a target needs, and what it needs that is not among them."""
    needed: set[tuple[str, str]] = set()
    missing, waiting = [], list(roots(extra))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in packages:
            missing.append(requirement)
            continue
        for chosen in ("", *requirement.extras):
            if (name, chosen) in needed:
                continue
            needed.add((name, chosen))
            environment = target.markers | {"extra": chosen}
            waiting += [
                each
                for each in packages[name].requires
                if each.marker is None or each.marker.evaluate(environment)
            ]
    return {name for name, _ in needed}, missing


def hashes(
    packages: dict[str, Package], names: set[str], target: Target, anywhere: dict[tuple[str, str], str]
) -> dict[str, str]:
    """The SHA-256 of the wheel of each package that a target takes; one without a wheel for it is left out.

    It is that of the oldest release of the platform: pip passes over wheels with other hashes, so newer ones take it
    too. Wheels for any platform are kept in `anywhere` by name and version, and asked for once.
    """
    found = {}
    for tags in target.platform.tags:
        for name in names:
            if digest := anywhere.get((name, packages[name].version)):
                found[name] = digest
        wanted = names - found.keys()
        report = None
        while wanted and report is None:
            try:
                lines = [f"{name}=={packages[name].version}" for name in sorted(wanted)]
                report = _pip(["--no-deps", *_tags(target.python, tags)], lines)
            except PipError as error:
                if error.without not in wanted:
                    raise
                wanted.remove(error.without)
        for item in report["install"] if report else ():
            package, download = _package(item), item["download_info"]
            if package.version != packages[package.name].version:
                raise SystemExit(f"pip answers {package} with another build; leave it out of --find-links.")
            found[package.name] = download["archive_info"]["hashes"]["sha256"]
            if download["url"].endswith("-none-any.whl"):
                anywhere[package.name, package.version] = found[package.name]
    return found


def marker_of(targets: list[Target], all_targets: list[Target]) -> str:
    """A marker that holds on these of all targets and on no other; empty where it is all of them."""
    wanted = {target.name for target in targets}
    pythons = sorted({target.python for target in targets})
    platforms = sorted({target.platform for target in targets}, key=PLATFORMS.index)

    def any_of(parts: Iterable[str]) -> str:
        parts = list(parts)
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"

    by_python = any_of(f'python_version == "{python}"' for python in pythons)
    systems = sorted({platform.system for platform in platforms})
    by_system = any_of(f'sys_platform == "{system}"' for system in systems)
    by_platform = any_of(
        f'(sys_platform == "{platform.system}" and platform_machine == "{platform.machine}")'
        for platform in platforms
    )
    one_by_one = any_of(
        f'(python_version == "{t.python}" and sys_platform == "{t.platform.system}" and '
        f'platform_machine == "{t.platform.machine}")'
        for t in targets
    )
    for text in ("", by_python, by_system, by_platform, f"{by_python} and {by_platform}"):
        marker = Marker(text) if text else None
        if {t.name for t in all_targets if marker is None or marker.evaluate(t.markers)} == wanted:
            return text
    return one_by_one


@dataclass(frozen=True)
class Resolved:
    """What one target installs: every package it needs with the hashes of its wheels."""

    target: Target
    packages: dict[str, Package]
    hashes: dict[str, str]


def write(extra: str, resolved: list[Resolved], file: Path) -> None:
    """The lock of the engine with one of its parts, for the targets that have a wheel of every package."""
    entries: dict[tuple[str, str], dict[str, str]] = {}
    covered, left = [], []
    for each in resolved:
        names, missing = closure(extra, each.packages, each.target)
        lacking = {name for name in names if name not in each.hashes} | {m.name for m in missing}
        if lacking:
            left.append(f"{each.target.name} (no wheel of {', '.join(sorted(lacking))})")
            continue
        covered.append(each.target)
        for name in names:
            entry = entries.setdefault((name, each.packages[name].version), {})
            entry[each.target.name] = each.hashes[name]
    asked = f"with its part '{extra}'" if extra else "alone"
    lines = [
        f"# Packages of the engine {asked}, with the SHA-256 of their wheels. Made by scripts/lock_engine.py.",
        *(f"# covers: {target.name}" for target in covered),
        *(f"# not covered: {reason}" for reason in left),
    ]
    for (name, version), by_target in sorted(entries.items()):
        marker = marker_of([target for target in covered if target.name in by_target], covered)
        lines.append(f"{name}=={version}{f' ; {marker}' if marker else ''} \\")
        digests = sorted(set(by_target.values()))
        lines += [f"    --hash=sha256:{digest} \\" for digest in digests[:-1]]
        lines.append(f"    --hash=sha256:{digests[-1]}")
    file.write_text("\n".join(lines) + "\n", "utf-8")
    print(
        f"{file}: {len(entries)} packages for {len(covered)} targets; left out: {'; '.join(left) or 'none'}"
    )


def _all_constraints() -> list[Requirement]:
    lines = (
        line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    return [Requirement(line) for line in lines if line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / "locks", help="folder for the locks (default: locks)"
    )
    out = parser.parse_args().out
    environment = tested()
    resolved, anywhere = [], {}
    for python in PYTHONS:
        preferred = {name: package.version for name, package in environment.items()}
        packages = environment | resolve(python, preferred)
        for platform in PLATFORMS:
            target = Target(python, platform)
            names, _ = closure(EXTRAS[-1], packages, target)
            resolved.append(Resolved(target, packages, hashes(packages, names, target, anywhere)))
            print(f"{target.name}: {len(names)} packages", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    for extra in EXTRAS:
        write(extra, resolved, out / f"{extra or 'base'}.txt")


if __name__ == "__main__":
    main()
