"""Builds the Blender extension: a zip that carries the service as a wheel, and a thin one without it.

    python build_addon.py [--out dist]

The same sources give the same bytes: entries are sorted and carry one fixed time.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent
ADDON = ROOT / "blender_addon"
# The earliest moment a zip can hold.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
SOURCE_DATE_EPOCH = "315532800"
ENGINE_SOURCES = ("lyra", "backend", "pyproject.toml", "README.md", "LICENSE")


def project_version(root: Path = ROOT) -> str:
    """The version in lyra/version.py, read without importing the package."""
    found = re.search(r'^VERSION = "([^"]+)"$', (root / "lyra/version.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit('lyra/version.py has no line VERSION = "..."; restore it.')
    return found[1]


def addon_files(number: str) -> dict[str, bytes]:
    """What lies in both zips: name -> content. The manifest gets the project's version."""
    files = {
        path.relative_to(ADDON).as_posix(): path.read_bytes()
        for path in ADDON.rglob("*")
        if path.is_file() and path.suffix in {".py", ".toml"} and "__pycache__" not in path.parts
    }
    manifest = files["blender_manifest.toml"].decode()
    manifest = re.sub(r'^version = ".*"$', f'version = "{number}"', manifest, count=1, flags=re.MULTILINE)
    return files | {"blender_manifest.toml": manifest.encode(), "LICENSE": (ROOT / "LICENSE").read_bytes()}


def build_wheel(folder: Path) -> Path:
    """The service with the engines as a wheel in `folder`, built from a copy so that the working tree stays clean."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ENGINE_SOURCES:
            source, target = ROOT / name, Path(scratch) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(folder),
            scratch,
        ]
        if _has_setuptools():
            command.insert(4, "--no-build-isolation")
        subprocess.run(command, check=True, env=os.environ | {"SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH})
    (wheel,) = folder.glob("lyra_worlds-*.whl")
    return wheel


def _has_setuptools() -> bool:
    """Whether this Python can build the wheel itself; otherwise pip fetches the build tools."""
    try:
        return int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        return False


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    return path


def build(out: Path) -> tuple[Path, Path]:
    """Both zips in `out`: with the service, and thin."""
    out.mkdir(parents=True, exist_ok=True)
    number = project_version()
    files = addon_files(number)
    thin = write_zip(out / f"lyra_worlds-{number}-thin.zip", files)
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        engine = {
            f"engine/{wheel.name}": wheel.read_bytes(),
            "engine/constraints.txt": (ROOT / "constraints.txt").read_bytes(),
            **{
                f"engine/locks/{lock.name}": lock.read_bytes()
                for lock in sorted((ROOT / "locks").glob("*.txt"))
            },
        }
    full = write_zip(out / f"lyra_worlds-{number}.zip", files | engine)
    return full, thin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the zips (default: dist)")
    for path in build(parser.parse_args().out):
        print(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
