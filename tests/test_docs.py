"""Paths in the developer documentation exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:txt|toml|md))`|\]\(([^)#:]+)\)")
PYTEST = re.compile(r"-m pytest ([\w./]+)")
# Made by commands, not part of the checkout.
MADE = {"demo-out/"}


def paths_in(document: str) -> dict[str, Path]:
    """The paths a document names, as written, and where they are."""
    text = (ROOT / document).read_text("utf-8")
    named = {code: ROOT / code for code, _ in NAMED.findall(text) if code and code not in MADE}
    linked = {link: (ROOT / document).parent / link for _, link in NAMED.findall(text) if link}
    return named | linked | {path: ROOT / path for path in PYTEST.findall(text)}


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_paths_exist(document):
    paths = paths_in(document)
    assert len(paths) > 5
    assert not [name for name, path in paths.items() if not path.exists()]


def test_commands_of_make_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    commands = set(re.findall(r"\bmake ([\w-]+)", text))
    assert {"demo", "test", "lint"} <= commands <= targets
