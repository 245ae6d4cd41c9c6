"""Brings the files of a world from the backend to this machine and hands them to the importers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from . import preferences, session
from .importers import results

# Ids become names of folders and parts of addresses; one from a foreign .blend is checked first.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


def valid(identifier: str) -> bool:
    """Whether this can be the id of a world or job; says so in the panel when it cannot."""
    if _ID.fullmatch(identifier):
        return True
    session.current.say(
        f"{identifier!r} is no name of a world or job; this file did not get it from an engine."
    )
    return False


def fetch_seed(world: dict) -> None:
    """Downloads what a world's first picture left and imports it."""
    names = ["seed_points.ply", "seed.png"]

    def complete(folder: Path) -> None:
        session.current.tasks.append(results.import_seed(world, folder / names[0], folder / names[1]))

    _fetch(world, names, complete)


def fetch_results(world: dict) -> None:
    """Downloads a world's newest results and imports them."""
    there = {file["path"] for file in world["files"]}
    chunks = [f"chunks/{chunk['index']:04d}/trajectory.npz" for chunk in world["chunks"]]
    names = [name for name in ("results/splats.ply", "results/mesh.ply", "walkthrough.mp4") if name in there]

    def complete(folder: Path) -> None:
        def file(name: str) -> Path | None:
            return folder / name if name in names else None

        files = results.Files(
            splats=file("results/splats.ply"),
            mesh=file("results/mesh.ply"),
            walkthrough=file("walkthrough.mp4"),
            chunks=[folder / name for name in chunks],
        )
        session.current.tasks.append(results.import_results(world, files))

    _fetch(world, names + chunks, complete)


def _fetch(world: dict, names: list[str], complete: Callable[[Path], None]) -> None:
    """Downloads files of a world side by side, then calls `complete` with the folder they lie in."""
    if not valid(world["id"]):
        return
    folder = preferences.user_folder("downloads") / world["id"]
    left = set(names)
    exchanges = []

    def failed(message: str) -> None:
        for exchange in exchanges:
            exchange.cancel()
        session.current.say(message)

    def arrived(name: str) -> None:
        left.discard(name)
        if not left:
            complete(folder)

    if not names:
        complete(folder)
    for name in names:
        exchanges.append(
            session.current.client.request(
                "GET",
                f"/worlds/{world['id']}/files/{name}",
                save_to=folder / name,
                on_reply=lambda _reply, name=name: arrived(name),
                on_error=failed,
            )
        )
    session.wake()
