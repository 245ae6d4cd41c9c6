"""Every `lyra ...` command that a message or the documentation quotes is one that the parser takes."""

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from backend.__main__ import parse as parse_serve
from lyra.cli.main import build_parser
from lyra.hub.catalog import EVERYTHING, ITEMS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    file
    for package in ("lyra", "backend", "blender_addon")
    for file in sorted((ROOT / package).rglob("*.py"))
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "lyra").rglob("*.md"))]
# Stands for what is filled in when a message is made; words in capitals stand for what the reader fills in.
FIELD = "FIELD"
PLACEHOLDER = re.compile(r"\b(?:[A-Z][A-Z0-9]*)\b(?!\.)")
STANDS_FOR = ("7", "fp8", "a.zip", "lyra2")
# In prose the name has a capital; in small letters, a space and a word behind it, it is the command.
QUOTED = re.compile(r"(?P<tick>`?)(?<![\w./@-])lyra (?P<rest>[a-z][^\n`]*)")
ENDS = re.compile(r"  +| #|[;,:]( |$)|[.)]( |$)|\\")


def commands_in(text):
    """The commands in a text, each up to a backtick, a gap, or the end of its sentence."""
    for line in text.splitlines():
        for match in QUOTED.finditer(line):
            rest = match["rest"].rstrip()
            if not match["tick"]:
                rest = ENDS.split(rest, maxsplit=1)[0]
            yield rest.strip()


def texts_of(file):
    """String constants of a module, fields of f-strings replaced by FIELD."""
    tree = ast.parse(file.read_text("utf-8"))
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else FIELD for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def quoted_commands():
    found = {}
    for file in SOURCES:
        for text in texts_of(file):
            for command in commands_in(text):
                found.setdefault(command, file.relative_to(ROOT))
    for page in PAGES:
        for command in commands_in(page.read_text("utf-8")):
            found.setdefault(command, page.relative_to(ROOT))
    return found


QUOTED_COMMANDS = quoted_commands()


def parsed(words):
    """What the parsers make of a command, or None and what they complain of."""
    complaints = io.StringIO()
    with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(io.StringIO()):
        try:
            if words[0] == "serve":
                return parse_serve(words[1:]), ""
            return build_parser().parse_args(words), ""
        except SystemExit as stop:
            # --help and --version end so.
            return ({} if stop.code == 0 else None), complaints.getvalue()


def is_taken(command):
    """Whether the parser takes a command, whatever its placeholders stand for; of a mere name, that it is one."""
    words = shlex.split(command)
    if all(re.fullmatch("[a-z]+", word) for word in words):
        options, complaint = parsed([*words, "--help"])
        return options is not None, complaint
    for replacement in STANDS_FOR:
        options, complaint = parsed([PLACEHOLDER.sub(replacement, word) for word in words])
        if options is not None:
            return True, ""
    return False, complaint


def test_commands_are_found():
    assert {
        "serve",
        "models convert",
        "reconstruct FIELD",
        "models licence nvidia-lyra-2.0",
    } <= QUOTED_COMMANDS.keys()
    assert len(QUOTED_COMMANDS) > 30


@pytest.mark.parametrize("command", sorted(QUOTED_COMMANDS))
def test_the_parser_takes_what_is_quoted(command):
    taken, complaint = is_taken(command)
    assert taken, f"{QUOTED_COMMANDS[command]}: lyra {command}: {complaint}"


@pytest.mark.parametrize("command", sorted(c for c in QUOTED_COMMANDS if c.startswith("models download ")))
def test_what_is_to_be_downloaded_exists(command):
    name = shlex.split(command)[2]
    assert PLACEHOLDER.fullmatch(name) or name in {*ITEMS, *EVERYTHING}


def test_a_command_that_does_not_exist_is_caught():
    for wrong in (
        "models convert lyra2",
        "models fetch lyra2",
        "rebuild",
        "export FIELD",
        "revert FIELD --chunks",
    ):
        assert not is_taken(wrong)[0], wrong
