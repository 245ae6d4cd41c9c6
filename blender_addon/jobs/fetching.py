"""Brings the files of a world from the backend to this machine and hands them to the importers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import bpy

from ..importers import results
from ..service import preferences, session
from ..service.fields import is_id
from ..service.resources import World

SEED_FILES = ("seed_points.ply", "seed.png")
WALKTHROUGH = "walkthrough.mp4"


def valid(identifier: str) -> bool:
    """Whether this can be the id of a world or job; says so in the panel when it cannot."""
    if is_id(identifier):
        return True
    session.current.say(
        f"{identifier!r} is no name of a world or job; this file did not get it from an engine."
    )
    return False


def fetch_seed(world: World) -> None:
    """Downloads what a world's first picture left and imports it."""
    files = {name: folder_of(world.id) / name for name in SEED_FILES}

    def complete() -> None:
        session.current.tasks.append(results.import_seed(world, *files.values()))

    _fetch(world, files, complete)


def fetch_results(world: World) -> None:
    """Downloads a world's newest results and imports them."""
    files, local = _results(world)

    def complete() -> None:
        _remove_old_walkthroughs(files.walkthrough, folder_of(world.id))
        session.current.tasks.append(results.import_results(world, files))

    _fetch(world, local, complete)


def fetch_world(
    world: World, stand: Callable[[], tuple[bpy.types.Scene, bpy.types.Object]], then: Callable[[], None]
) -> None:
    """Downloads all of a world and imports it in the scene and under the empty that `stand` gives; calls `then`."""
    seed = {name: folder_of(world.id) / name for name in SEED_FILES}
    files, local = _results(world)

    def importing() -> Iterator[None]:
        yield from results.import_world(world, *seed.values(), files, stand)
        then()

    _fetch(world, seed | local, lambda: session.current.tasks.append(importing()))


def forget(world_id: str) -> None:
    """Removes what was downloaded of a world that is deleted. Files that another program holds open may stay."""
    if not is_id(world_id):
        return
    folder = folder_of(world_id).resolve()
    for clip in list(bpy.data.movieclips):
        # Blender holds its video open, though nothing shows it any more.
        if not clip.users and _absolute(clip.filepath).is_relative_to(folder):
            bpy.data.movieclips.remove(clip)
    shutil.rmtree(folder, ignore_errors=True)


def _absolute(path: str) -> Path:
    return Path(bpy.path.abspath(path)).resolve()


def folder_of(world_id: str) -> Path:
    """Where the files of a world are downloaded to."""
    return preferences.user_folder("downloads") / world_id


def walkthrough_name(world: World) -> str:
    """The local name of a world's walkthrough: another one for each state of the world.

    Blender holds the videos of its clips open, which keeps Windows from replacing them; and undo and older .blends go
    on with the video they were saved with.
    """
    state = [world.frames, [asdict(chunk) for chunk in world.chunks], world.size_of(WALKTHROUGH)]
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()
    return f"walkthrough-{world.frames}-{digest[:8]}.mp4"


def _results(world: World) -> tuple[results.Files, dict[str, Path]]:
    """Where the results that a world has go, and the same by their names in the world's folder."""
    folder, there = folder_of(world.id), {file.path for file in world.files}
    chunks = [f"chunks/{chunk.index:04d}/trajectory.npz" for chunk in world.chunks]
    local = {
        "results/splats.ply": folder / "results/splats.ply",
        "results/mesh.ply": folder / "results/mesh.ply",
        WALKTHROUGH: folder / walkthrough_name(world),
    }
    local = {name: file for name, file in local.items() if name in there}
    files = results.Files(
        splats=local.get("results/splats.ply"),
        mesh=local.get("results/mesh.ply"),
        walkthrough=local.get(WALKTHROUGH),
        chunks=[folder / name for name in chunks],
    )
    return files, local | dict(zip(chunks, files.chunks, strict=True))


def _fetch(world: World, files: dict[str, Path], complete: Callable[[], None]) -> None:
    """Downloads files of a world, name -> where it goes, side by side; calls `complete` when all are there."""
    if not valid(world.id):
        return
    video = files.get(WALKTHROUGH)
    if video and video.is_file() and video.stat().st_size == world.size_of(WALKTHROUGH):
        # Its name says that it is this one. A clip may hold it open.
        files = {name: file for name, file in files.items() if name != WALKTHROUGH}
    left = set(files)
    exchanges = []

    def failed(message: str) -> None:
        for exchange in exchanges:
            exchange.cancel()
        session.current.say(message)

    def arrived(name: str) -> None:
        left.discard(name)
        if not left:
            complete()

    if not files:
        complete()
    for name, file in files.items():
        exchanges.append(
            session.current.client.request(
                "GET",
                f"/worlds/{world.id}/files/{name}",
                save_to=file,
                size=world.size_of(name),
                on_reply=lambda _reply, name=name: arrived(name),
                on_error=failed,
            )
        )
    session.wake()


def _remove_old_walkthroughs(newest: Path | None, folder: Path) -> None:
    """Videos that nothing in the file shows go. The one that is replaced now is still shown, so undo finds it."""
    if session.current.tasks:
        return  # an import under way may be about to show one
    used = {Path(path).resolve() for path in bpy.utils.blend_paths(absolute=True)}
    for file in folder.glob("walkthrough*.mp4"):
        if file != newest and file.resolve() not in used:
            # Another Blender may hold it open, which on Windows keeps it from being removed.
            with contextlib.suppress(OSError):
                file.unlink()
