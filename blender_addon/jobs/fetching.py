"""Downloads of a world's files from the service, which are handed to the importers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path

import bpy

from ..importers import results
from ..importers.camera import trajectory_limit
from ..service import preferences, session
from ..service.contract import MESH, SEED_IMAGE, SEED_POINTS, SPLATS, WALKTHROUGH
from ..service.fields import is_id
from ..service.resources import World
from ..service.wire import Reply, error_of
from . import tasks

FIRST_VIEW_FILES = (SEED_POINTS, SEED_IMAGE)
TRAJECTORY = "trajectory.npz"


def valid(identifier: str) -> bool:
    """Whether this can be the id of a world or job; says so in the panel when it cannot."""
    if is_id(identifier):
        return True
    session.current.say(f"{identifier!r} is not a valid id of a world or job; this file is damaged.")
    return False


def fetch_first_view(world: World) -> None:
    """Downloads the points and the picture of a world's first view and imports them."""
    files = {name: folder_of(world.id) / name for name in FIRST_VIEW_FILES}

    def complete() -> None:
        tasks.begin(results.import_first_view(world, *files.values()))

    _fetch(world, files, complete)


def fetch_results(world: World) -> None:
    """Downloads a world's newest results and imports them."""

    def cameras_known(files: results.ResultFiles, chunks: dict[str, Path]) -> None:
        def complete() -> None:
            _remove_old_walkthroughs(files.walkthrough, folder_of(world.id))
            tasks.begin(results.import_results(world, files))

        _fetch(world, _paths(files) | chunks, complete)

    _fetch_cameras(world, cameras_known)


def fetch_world(
    world: World, stand: Callable[[], tuple[bpy.types.Scene, bpy.types.Object]], then: Callable[[], None]
) -> None:
    """Downloads all of a world and imports it in the scene and under the empty that `stand` gives; calls `then`."""
    seed = {name: folder_of(world.id) / name for name in FIRST_VIEW_FILES}

    def cameras_known(files: results.ResultFiles, chunks: dict[str, Path]) -> None:
        def importing() -> Iterator[str | None]:
            yield from results.import_world(world, *seed.values(), files, stand)
            then()

        _fetch(world, seed | _paths(files) | chunks, lambda: tasks.begin(importing()))

    _fetch_cameras(world, cameras_known)


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


def _results(world: World) -> results.ResultFiles:
    """Where the results that a world has go."""
    folder, there = folder_of(world.id), {file.path for file in world.files}
    return results.ResultFiles(
        splats=folder / SPLATS if SPLATS in there else None,
        mesh=folder / MESH if MESH in there else None,
        walkthrough=folder / walkthrough_name(world) if WALKTHROUGH in there else None,
        trajectory=None,
    )


def _paths(files: results.ResultFiles) -> dict[str, Path]:
    """Results by their names in the world's folder, as far as the world has them."""
    named = {SPLATS: files.splats, MESH: files.mesh, WALKTHROUGH: files.walkthrough}
    return {name: file for name, file in named.items() if file is not None}


def _fetch_cameras(world: World, known: Callable[[results.ResultFiles, dict[str, Path]], None]) -> None:
    """Downloads the cameras of a world. `known` gets where its results go, and the chunks' files that are still to be
    fetched: those of a service that does not give all cameras in one file."""
    files = _results(world)
    if not valid(world.id):
        return
    if not world.chunks:
        known(files, {})
        return
    trajectory = folder_of(world.id) / TRAJECTORY

    def arrived(_reply: Reply) -> None:
        known(replace(files, trajectory=trajectory), {})

    def refused(reply: Reply) -> None:
        if reply.status != HTTPStatus.NOT_FOUND:
            session.current.say(error_of(reply))
            return
        names = [f"chunks/{chunk.index:04d}/{TRAJECTORY}" for chunk in world.chunks]
        chunks = {name: folder_of(world.id) / name for name in names}
        known(replace(files, chunks=tuple(chunks.values())), chunks)

    session.current.client.request(
        "GET",
        f"/worlds/{world.id}/trajectory",
        save_to=trajectory,
        limit=trajectory_limit(world.frames),
        on_reply=arrived,
        on_refusal=refused,
        on_error=session.current.say,
    )
    session.wake()


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
