"""`lyra takes`, `lyra switch` and `lyra clean`: the ends that a world can have, and the one that it has."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lyra.cli.terminal import note, progress_bar

if TYPE_CHECKING:
    from lyra.common.progress import Progress
    from lyra.world.folder import World
    from lyra.world.takes import Take, Unneeded

COLUMNS = ("take", "parent", "frames", "seed", "engine", "state", "prompt")
PROMPT_SHOWN = 60


def add_parsers(subcommands: argparse._SubParsersAction) -> None:
    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = subcommands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("world", type=Path, metavar="WORLD")
        return sub

    command("takes", run_takes, "List a world's takes: every chunk, with the frames that lead to it.")

    sub = command("switch", run_switch, "Show another take of a world; nothing is lost.")
    sub.add_argument(
        "take", type=int, metavar="TAKE", help="as `lyra takes` lists them; 0 is the first frame alone"
    )

    sub = command("clean", run_clean, "Remove what the take that a world shows does without.")
    sub.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    sub.add_argument("--yes", action="store_true", help="do not ask")


def run_takes(options: argparse.Namespace) -> None:
    from lyra.world.folder import World
    from lyra.world.takes import list_takes

    print(table(list_takes(World.open(options.world))))


def table(takes: list[Take]) -> str:
    """The takes as lines of aligned columns; the head is marked with an asterisk."""
    rows = [COLUMNS] + [
        (
            f"{'*' if take.head else ' '}{take.id:>3}",
            "-" if take.parent is None else str(take.parent),
            str(take.frames),
            str(take.seed),
            described_engine(take),
            state(take),
            shortened(take.prompt),
        )
        for take in takes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def described_engine(take: Take) -> str:
    """The engine and what was chosen of it."""
    return " ".join([take.engine, *(f"{name}={value}" for name, value in take.options.items())])


def state(take: Take) -> str:
    words = (
        "head" if take.head else "on its line" if take.on_line else "",
        "results" if take.results else "",
    )
    return ", ".join(word for word in (*words, "unfinished" if take.unfinished else "") if word) or "-"


def shortened(prompt: str) -> str:
    text = " ".join(prompt.split())
    return text if len(text) <= PROMPT_SHOWN else f"{text[: PROMPT_SHOWN - 1]}…"


def run_switch(options: argparse.Namespace) -> None:
    from lyra.world.folder import World

    world = World.open(options.world)
    tell_head_move(world, lambda progress: world.switch(options.take, progress))


def tell_head_move(world: World, move: Callable[[Progress], list[str]]) -> None:
    """Says what a world shows after `move`, which gives notes for the user."""
    with progress_bar() as progress:
        notes = move(progress)
    for line in notes:
        note(line)
    print(f"{world.folder} now has {world.frames} frames, to take {world.head}.")


def run_clean(options: argparse.Namespace) -> None:
    from lyra.world.folder import World
    from lyra.world.takes import clean, unneeded

    world = World.open(options.world)
    found = unneeded(world)
    if not found.chunks and not found.takes:
        print(f"{world.folder} holds nothing that take {world.head} does without.")
        return
    print(f"Take {world.head} does without {described(found)}.")
    if options.dry_run:
        return
    if not options.yes and not confirmed("Remove them for good?"):
        print("Nothing was removed.")
        return
    print(f"Removed {described(clean(world))}.")


def confirmed(question: str) -> bool:
    """Whether the user answers yes; no answer, as without a terminal, is a no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def described(found: Unneeded) -> str:
    """What is removed, and how much that is."""
    parts = []
    if found.chunks:
        parts.append(f"{_counted(len(found.chunks), 'chunk')} ({_listed(found.chunks)})")
    if found.takes:
        parts.append(f"what is kept of {_counted(len(found.takes), 'take')} ({_listed(found.takes)})")
    return f"{' and '.join(parts)}, {found.size / 1e6:,.1f} MB"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _listed(ids: tuple[int, ...]) -> str:
    return ", ".join(map(str, sorted(ids)))
