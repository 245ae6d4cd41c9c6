"""The locks of Install Service against what the project asks for; scripts/lock_engine.py makes them."""

import re
import tomllib

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.blender.addon import ROOT

SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}
LOCKS = sorted(path.stem for path in (ROOT / "locks").glob("*.txt"))
NEXT = "run scripts/lock_engine.py"


def read(name):
    """(covered targets, [(name, version, marker, digests)]) of a lock."""
    text = (ROOT / "locks" / f"{name}.txt").read_text("utf-8")
    covered = [
        line.removeprefix("# covers: ").split() for line in text.splitlines() if line.startswith("# covers: ")
    ]
    entries = []
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines():
        first, *digests = re.split(r"\s+--hash=sha256:", line.strip())
        pin, _, marker = first.partition(" ; ")
        package, _, version = pin.strip().partition("==")
        entries.append((package, version, Marker(marker) if marker else None, digests))
    return covered, entries


def environment(target):
    python, system, machine = target
    return {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system,
        "platform_machine": machine, "platform_system": SYSTEMS[system], "extra": "",
        "os_name": "nt" if system == "win32" else "posix", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip


def asked(extra):
    """What pyproject.toml asks for, with one of its parts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found, waiting = [Requirement(line) for line in project["dependencies"]], [extra] if extra else []
    for name in waiting:
        for requirement in map(Requirement, project["optional-dependencies"][name]):
            if requirement.name == project["name"]:
                waiting += requirement.extras
            else:
                found.append(requirement)
    return found


def limits():
    lines = (
        line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    return [Requirement(line) for line in lines if line]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_versions_and_hashes_and_no_place(name):
    text = (ROOT / "locks" / f"{name}.txt").read_text("utf-8")
    assert "://" not in text and "index" not in text and "find-links" not in text
    _, entries = read(name)
    for package, version, _, digests in entries:
        assert package == canonicalize_name(package) and re.fullmatch(r"[0-9][0-9a-z.]*", version), package
        assert digests and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests), package


@pytest.mark.parametrize("name", LOCKS)
def test_each_target_has_what_the_project_asks_for(name):
    """Every package that is asked for, once, at a version that pyproject.toml and constraints.txt allow."""
    covered, entries = read(name)
    for target in covered:
        markers = environment(target)
        pins = [
            (p, version) for p, version, marker, _ in entries if marker is None or marker.evaluate(markers)
        ]
        assert len(dict(pins)) == len(pins), (target, pins)
        for requirement in (*asked("" if name == "base" else name), *limits()):
            if requirement.marker is not None and not requirement.marker.evaluate(markers):
                continue
            version = dict(pins).get(canonicalize_name(requirement.name))
            if version is None and requirement in limits():
                continue
            assert version is not None, f"{requirement.name} is not locked for {target}; {NEXT}"
            assert requirement.specifier.contains(version), (
                f"{requirement} forbids {version} ({target}); {NEXT}"
            )


def test_the_engine_alone_is_locked_wherever_blender_runs():
    covered, _ = read("base")
    for python in ("3.11", "3.12", "3.13"):
        for system in (["linux", "x86_64"], ["linux", "aarch64"], ["win32", "AMD64"], ["darwin", "arm64"]):
            assert [python, *system] in covered
