"""The zips that users install."""

import ast
import re
import subprocess
import tomllib
import zipfile

from tests.blender.addon import FOLDER, ROOT
from tests.blender.engine import ENGINE_PYTHON, zips


def manifest(path):
    with zipfile.ZipFile(path) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_full_zip_carries_the_engine_as_data():
    full, thin = zips()
    with zipfile.ZipFile(full) as archive, zipfile.ZipFile(thin) as other:
        extra = sorted(set(archive.namelist()) - set(other.namelist()))
        assert set(other.namelist()) < set(archive.namelist())
        assert extra[0] == "engine/constraints.txt"
        locks = [f"engine/locks/{path.name}" for path in sorted((ROOT / "locks").glob("*.txt"))]
        assert extra[1:-1] == locks and "engine/locks/base.txt" in locks
        assert re.fullmatch(r"engine/lyra_worlds-.*-py3-none-any\.whl", extra[-1])
        assert "wheels" not in manifest(full)
        with archive.open(extra[-1]) as wheel, zipfile.ZipFile(wheel) as engine:
            names = engine.namelist()
        assert "lyra/version.py" in names and "backend/__main__.py" in names
        assert not [name for name in names if name.startswith(("tests", "blender_addon"))]


def test_nothing_but_sources_is_shipped():
    for path in zips():
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("engine/")]
        assert all(name.endswith((".py", ".toml")) or name == "LICENSE" for name in names)
        assert not [name for name in names if "__pycache__" in name or "test" in name]


def test_manifest():
    found = manifest(zips()[0])
    number = re.search(r'"(.+)"', (ROOT / "lyra/version.py").read_text().split("VERSION")[1])[1]
    assert found["version"] == number
    assert found["id"] == "lyra_worlds" and found["blender_version_min"] == "4.5.0"
    assert found["license"] == ["SPDX:GPL-3.0-or-later"]
    assert len(found["tagline"]) <= 64 and not found["tagline"].endswith(".")
    assert set(found["permissions"]) == {"network", "files"}
    assert all(len(reason) <= 64 and not reason.endswith(".") for reason in found["permissions"].values())


def test_same_sources_give_the_same_bytes(tmp_path):
    subprocess.run(
        [ENGINE_PYTHON, str(ROOT / "build_addon.py"), "--out", str(tmp_path)], check=True, cwd=ROOT
    )
    for path in zips():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_every_class_is_registered():
    """What is written for Blender is in CLASSES, once."""
    found = {
        node.name
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.startswith("LYRA_")
    }
    tree = ast.parse((FOLDER / "__init__.py").read_text("utf-8"))
    (listed,) = (
        [name.id for name in node.value.elts]
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "CLASSES"
    )
    assert sorted(listed) == sorted(found) and len(found) > 40


def test_extension_keeps_to_the_rules():
    """No threads, nothing of the engine, no waiting, no code from strings."""
    for path in FOLDER.rglob("*.py"):
        source = path.read_text("utf-8")
        assert not re.search(
            r"^\s*(from|import) (threading|concurrent|multiprocessing|asyncio|lyra|backend)\b", source, re.M
        ), path
        assert not re.search(r"\btime\.sleep\(|(?<![.\w])(exec|eval)\(", source), path
