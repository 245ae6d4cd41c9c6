"""Reads the imports of a source tree with `ast` and finds those that break the import rule of docs/architecture.md."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

# Each package imports only from rows above its own.
LYRA = (
    {"version"},
    {"common"},
    {"geometry"},
    {"media", "formats", "hub", "memory", "splats", "mesh", "synthetic"},
    {"world", "depth"},
    {"engines", "training"},
    {"pipeline", "evaluation"},
    {"cli"},
    {"__main__"},
)
BACKEND = (
    {"config", "errors", "log", "worker"},
    {"state_file", "leftovers"},
    {"jobs"},
    {"catalog", "inspection"},
    {"service"},
    {"api"},
    {"__main__"},
)
ADDON = (
    {"camera", "service"},
    {"scene"},
    {"importers"},
    {"jobs", "viewport"},
    {"ui", "operators"},
)
ROWS = {"lyra": LYRA, "backend": BACKEND, "blender_addon": ADDON}
# Who may import what at all.
ONLY = {
    "bpy": ("blender_addon",),
    "gpu": ("blender_addon",),
    "fastapi": ("backend.api",),
    "starlette": ("backend.api",),
    "uvicorn": ("backend.api",),
    "lyra": ("lyra", "backend"),
    "backend": ("backend", "lyra.cli"),
    "blender_addon": ("blender_addon",),
}
# Who may import what the base install lacks, or need not load, when it is loaded itself; others where it is used.
OPTIONAL = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "onnxruntime", "gsplat")
WITH_OPTIONAL = ("lyra.engines.lyra2", "lyra.training")


@dataclass(frozen=True)
class Import:
    """One import: by which module, of which, where, and whether it runs when the module is loaded."""

    by: str
    of: str
    where: str
    at_load: bool


def breaches(root: Path) -> list[str]:
    """Every breach in `root`/{lyra,backend,blender_addon}, as "file:line: what is wrong", and one circle of files."""
    files = {
        _module(path.relative_to(root)): path
        for package in ROWS
        for path in sorted((root / package).rglob("*.py"))
    }
    imports = [found for name, path in files.items() for found in _imports(name, path, root, files)]
    wrong = [f"{found.where}: {said}" for found in imports for said in (_upward(found), _foreign(found)) if said]
    return wrong + _circle([found for found in imports if found.of in files])


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imports(name: str, path: Path, root: Path, files: dict[str, Path]) -> Iterator[Import]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node, at_load in _statements(ast.parse(path.read_bytes()), True):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            inside = [f"{base}.{alias.name}" for alias in node.names]
            found = [one if one in files else base for one in inside]
        for of in dict.fromkeys(found):
            yield Import(name, of, f"{path.relative_to(root)}:{node.lineno}", at_load)


def _statements(node: ast.AST, at_load: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_load
        typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        runs_later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or typing
        yield from _statements(child, at_load and not runs_later)


def _row(module: str) -> int | None:
    """None for a package itself, and for what has no row."""
    package, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    return next((row for row, parts in enumerate(ROWS.get(package, ())) if part in parts), None)


def _upward(found: Import) -> str | None:
    (by, of), (mine, other) = (found.by.split("."), found.of.split(".")), (_row(found.by), _row(found.of))
    if by[0] != of[0] or by[1:2] == of[1:2] or mine is None or other is None or other < mine:
        return None
    return f"{'.'.join(by[:2])} imports {found.of}, which is not in a row above its own"


def _foreign(found: Import) -> str | None:
    package = found.of.partition(".")[0]
    if package in ONLY and not _lies_in(found.by, ONLY[package]):
        return f"{found.by} imports {package}; only {', '.join(ONLY[package])} may"
    late = package in OPTIONAL or _lies_in(found.of, WITH_OPTIONAL)
    if late and found.at_load and not _lies_in(found.by, WITH_OPTIONAL):
        return f"{found.by} imports {found.of} when it is loaded; import it where it is used"
    return None


def _lies_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _circle(imports: list[Import]) -> list[str]:
    graph: dict[str, set[str]] = {}
    for found in imports:
        graph.setdefault(found.by, set()).add(found.of)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
        first = next(found for found in imports if (found.by, found.of) in zip(circle[1:], circle, strict=False))
        return [f"{first.where}: a circle of files: {' <- '.join(circle)}"]
    return []
