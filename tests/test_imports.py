"""The import rule of docs/architecture.md, read from the sources of all three packages."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A part imports only from rows above its own.
ROWS = {
    "lyra": (
        {"version"},
        {"common"},
        {"geometry"},
        {"media", "formats", "hub", "memory", "splats", "mesh", "synthetic"},
        {"world", "depth"},
        {"engines", "training"},
        {"pipeline", "evaluation"},
        {"cli"},
        {"__main__"},
    ),
    "backend": (
        {"config", "errors", "log", "worker"},
        {"state_file", "leftovers"},
        {"jobs"},
        {"catalog", "inspection"},
        {"service"},
        {"api"},
        {"__main__"},
    ),
    "blender_addon": (
        {"camera", "service"},
        {"scene"},
        {"importers"},
        {"jobs", "viewport"},
        {"ui", "operators"},
    ),
}
# The only packages that may import these at all.
ONLY = {
    "bpy": ("blender_addon",),
    "fastapi": ("backend.api",),
    "starlette": ("backend.api",),
    "uvicorn": ("backend.api",),
    "lyra": ("lyra", "backend"),
    "backend": ("backend",),
    "blender_addon": ("blender_addon",),
}
BLENDER = {
    "bpy",
    "bpy_extras",
    "blf",
    "gpu",
    "gpu_extras",
    "mathutils",
    "numpy",
}  # what the extension runs on
# What the base install lacks, or loads where it is used; the modules that may load it at once.
OPTIONAL = {
    "accelerate",
    "diffusers",
    "gsplat",
    "onnxruntime",
    "peft",
    "torch",
    "torchvision",
    "transformers",
}
WITH_OPTIONAL = ("lyra.engines.lyra2", "lyra.training", "lyra.splats.gsplat_backend")


@dataclass(frozen=True)
class Import:
    """One import: by which module, of what, where it stands, and whether it runs when the module is loaded."""

    by: str
    of: str
    place: str
    at_load: bool


def breaches(root: Path) -> list[str]:
    """Every breach of the rule in the packages under `root`, as "file:line: what is wrong"; of circles the first."""
    paths = [path for package in ROWS for path in sorted((root / package).rglob("*.py"))]
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
    }
    imports = [found for name, path in files.items() for found in _imports(name, path, files, root)]
    heavy = _loading_optional(imports)
    wrong = [
        f"{found.place}: {found.by} imports {found.of}; {why}"
        for found in imports
        for why in (_upward(found), _foreign(found), _loaded_at_once(found, heavy))
        if why
    ]
    unplaced = [
        f"{path.relative_to(root)}: it has no row" for name, path in files.items() if _row(name) is None
    ]
    return unplaced + wrong + _circle([found for found in imports if found.of in files])


def _imports(name: str, path: Path, files: dict[str, Path], root: Path) -> Iterator[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node, at_load in _statements(ast.parse(path.read_bytes()), at_load=True):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            above = package.rsplit(".", node.level - 1)[0] if node.level else None
            base = ".".join(filter(None, (above, node.module)))
            found = [one if (one := f"{base}.{alias.name}") in files else base for alias in node.names]
        for of in dict.fromkeys(found):
            yield Import(name, of, f"{path.relative_to(root)}:{node.lineno}", at_load)


def _statements(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_load
        for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        later = for_types or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _statements(child, at_load and not later)


def _row(module: str) -> int | None:
    """Counted from the top; -1 for a package itself, None for a part that stands in no row."""
    package, *parts = module.split(".")
    rows = ROWS.get(package, ())
    return next((row for row, names in enumerate(rows) if parts[0] in names), None) if parts else -1


def _upward(found: Import) -> str | None:
    by, of = found.by.split("."), found.of.split(".")
    if by[0] != of[0] or by[:2] == of[:2] or len(by) == 1:
        return None
    mine, other = _row(found.by), _row(found.of)
    above = mine is not None and other is not None and other < mine
    return None if above else "that is not in a row above its own"


def _foreign(found: Import) -> str | None:
    package, by = found.of.partition(".")[0], found.by.partition(".")[0]
    if package in ONLY and not _lies_in(found.by, ONLY[package]):
        return f"only {', '.join(ONLY[package])} may"
    if by == "blender_addon" and package not in BLENDER | {by} | sys.stdlib_module_names:
        return "the extension runs on NumPy and Blender alone"
    return None


def _lies_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _loading_optional(imports: list[Import]) -> set[str]:
    """Names whose import, directly or through others, imports one of OPTIONAL."""
    heavy = set(OPTIONAL)
    while more := {found.by for found in imports if found.at_load and _loads(found, heavy)} - heavy:
        heavy |= more
    return heavy


def _loads(found: Import, heavy: set[str]) -> bool:
    """Importing a.b.c runs a, a.b and a.b.c, but for those that are being imported already."""
    parts = found.of.split(".")
    run = {".".join(parts[: end + 1]) for end in range(len(parts))}
    return any(name in heavy and not f"{found.by}.".startswith(f"{name}.") for name in run)


def _loaded_at_once(found: Import, heavy: set[str]) -> str | None:
    # Whoever imports a module that is found here is not told as well.
    told = {name for name in heavy if name in OPTIONAL or _lies_in(name, WITH_OPTIONAL)}
    if not found.at_load or _lies_in(found.by, WITH_OPTIONAL) or not _loads(found, told):
        return None
    return "that loads what the base install lacks: import it where it is used"


def _circle(imports: list[Import]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for found in imports:
        graph.setdefault(found.by, set()).add(found.of)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = error.args[1]
        edges = set(zip(names[1:], names, strict=False))
        first = next(found for found in imports if (found.by, found.of) in edges)
        return [f"{first.place}: a circle of files: {' <- '.join(names)}"]
    return []


def test_the_packages_keep_the_import_rule():
    assert breaches(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("lyra/geometry/a.py", "from lyra.world.a import b", "not in a row above"),
        ("lyra/mesh/a.py", "def f():\n    import lyra.splats.a", "not in a row above"),
        ("lyra/world/a.py", "from lyra import depth", "not in a row above"),
        ("backend/jobs/a.py", "from backend.catalog import b", "not in a row above"),
        ("backend/worker/a.py", "from ..config import b", "not in a row above"),
        ("blender_addon/scene/a.py", "from ..ui import b", "not in a row above"),
        ("lyra/depth/a.py", "from . import b", "a circle of files"),
        ("lyra/depth/a.py", "if x:\n    import torch.nn", "import it where it is used"),
        ("lyra/depth/a.py", "from lyra.splats import gsplat_backend", "import it where it is used"),
        ("lyra/engines/a.py", "from lyra.engines.lyra2.plain import b", "import it where it is used"),
        ("lyra/common/a.py", "def f():\n    import bpy", "only blender_addon may"),
        ("lyra/cli/a.py", "import backend", "only backend may"),
        ("backend/service.py", "import fastapi", "only backend.api may"),
        ("blender_addon/scene/a.py", "def f():\n    from lyra import version", "only lyra, backend may"),
        ("blender_addon/scene/a.py", "import scipy", "NumPy and Blender alone"),
        ("lyra/elsewhere/a.py", "", "it has no row"),
    ],
)
def test_one_wrong_import_is_found(tmp_path, file, line, says):
    tree = {
        "lyra/depth/__init__.py": "",
        "lyra/depth/b.py": "from lyra.depth.a import c",
        "lyra/splats/gsplat_backend.py": "import gsplat",
        "lyra/training/a.py": "import torch",
        "lyra/engines/lyra2/__init__.py": "import torch",
        "lyra/engines/lyra2/plain.py": "",
    }
    for name, text in {**tree, file: line}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = breaches(tmp_path)
    assert len(found) == 1 and says in found[0] and found[0].startswith(file), found
