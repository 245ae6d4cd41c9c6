"""What the worker does for each kind of job: thin calls into lyra.pipeline."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from backend.worker.task import DEPTH_FOLDER, IMAGE_FOLDER, TRAJECTORY_FILE, Runner, Task
from lyra import hub
from lyra.common.errors import InvalidInputError
from lyra.common.files import retry_while_locked
from lyra.common.progress import Progress
from lyra.engines.readiness import wanted_items
from lyra.geometry.cameras import Trajectory
from lyra.hub.catalog import needs
from lyra.hub.packages import require_packages
from lyra.pipeline.create import WorldRequest, begin_world
from lyra.pipeline.export import export_world
from lyra.pipeline.extend import extend_world, prepare_path, resume_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.pipeline.shares import DOWNLOAD_END, FRAMES_END
from lyra.world.folder import World
from lyra.world.options import EngineOptions

NEW_WORLD = "world"


def seed(task: Task) -> None:
    """Estimates depth and makes the world of one frame. It is built in the job's folder and moved when whole.

    The world then has its own copy of the image, and the depth is in it: what was uploaded goes.
    """
    finished = task.folder / NEW_WORLD
    # A run that was killed after its last step finds the world there.
    if not (task.world_folder / "world.json").is_file():
        if not finished.exists():
            _create(task, finished)
        retry_while_locked(finished.rename, task.world_folder)
    for uploads in (IMAGE_FOLDER, DEPTH_FOLDER):
        # What cannot be removed now, such as a file that is being looked at, goes with the job.
        shutil.rmtree(task.folder / uploads, ignore_errors=True)


def _create(task: Task, folder: Path) -> None:
    settings = task.request
    size = settings["size"]
    request = WorldRequest(
        folder,
        task.folder / settings["image"],
        engine=settings["engine"],
        depth=settings["depth"],
        depth_file=task.folder / settings["depth_file"] if settings["depth_file"] else None,
        # Jobs of older versions lack these three.
        depth_blend=settings.get("depth_blend", False),
        depth_scene=settings.get("depth_scene", "auto"),
        depth_values=settings.get("depth_values", "metres"),
        allow_download=settings["allow_download"],
        name=settings["name"],
        seed=settings["seed"],
        intrinsics=None if settings["intrinsics"] is None else np.array(settings["intrinsics"]),
        size=None if size is None else (size[1], size[0]),
        world_id=task.world_folder.name,
    )
    begin_world(request, device=task.device, progress=task.progress)


def extend(task: Task) -> None:
    """Adds the path's chunks, or those that are still missing, then splats and mesh when asked for."""
    world = World.open(task.world_folder)
    request = task.request
    share = FRAMES_END if request["reconstruct"] else 1.0
    with world.exclusive():
        _add_chunks(task, world, task.progress.part(0, share))
        if request["reconstruct"]:
            _reconstruct(task, world, task.progress.part(share, 1))


def _add_chunks(task: Task, world: World, progress: Progress) -> None:
    request = task.request
    plan = world.load_plan()
    # Plans of older versions, and of the command line, name no job; one that lies there before a first run is not its.
    if plan is not None and (plan.job == task.job_id or (plan.job is None and task.resumed)):
        task.notes(resume_world(world, device=task.device, progress=progress) or [])
        return
    trajectory = Trajectory.load(task.folder / TRAJECTORY_FILE)
    made = sum(chunk.job == task.job_id for chunk in world.chunks)
    if made == trajectory.chunks:
        return
    if made:
        raise InvalidInputError(
            f"World {world.id} has {made} of the {trajectory.chunks} chunks of this job, and no plan to go on with; it "
            "was changed from outside. Generate again from its newest frame."
        )
    # Jobs of older versions have none.
    if request.get("from_chunk") is not None:
        task.notes(world.switch(request["from_chunk"], with_walkthrough=False))
    # A plan that names no job must not be taken for this one's, should this one be interrupted at once.
    world.clear_plan()
    prepared = prepare_path(world, trajectory, request["pose_scale"])
    # Before the frames, which may be stopped.
    task.notes(prepared.notes)
    captions = request["captions"]
    notes = extend_world(
        world,
        prepared,
        prompt=request["prompt"],
        captions=None if captions is None else {int(start): text for start, text in captions.items()},
        seed=request["seed"],
        # Jobs of older versions have none.
        options=EngineOptions(**request.get("options", {})),
        job=task.job_id,
        device=task.device,
        progress=progress,
    )
    task.notes(notes)


def reconstruct(task: Task) -> None:
    _reconstruct(task, World.open(task.world_folder), task.progress)


def _reconstruct(task: Task, world: World, progress: Progress) -> None:
    figures = reconstruct_world(world, mesh=task.request["mesh"], device=task.device, progress=progress)
    task.notes(figures["notes"])


def export(task: Task) -> None:
    world = World.open(task.world_folder)
    # The zip file lies among the results, which others may be about to replace.
    with world.exclusive():
        export_world(world, task.request["items"], world.packed, task.progress)
        # A scale that was set meanwhile found no packed file to remove.
        while (now := World.open(task.world_folder)).settings.scale != world.settings.scale:
            world = now
            export_world(world, task.request["items"], world.packed, task.progress)


def download(task: Task) -> None:
    """Fetches what an engine lacks and converts its network; finished parts stay when it is stopped."""
    engine, weights = task.request["engine"], hub.Weights()
    fetching = task.progress.part(0, DOWNLOAD_END)
    hub.download(wanted_items(engine, weights), weights, hub.choose_source(), progress=fetching)
    if needs(engine).conversions and weights.usable_conversion(engine) is None:
        require_packages(needs(engine).packages, needs(engine).extra, "Converting the network")
        from lyra.engines.lyra2.conversion import convert

        convert(weights, progress=task.progress.part(DOWNLOAD_END, 1))
    task.progress.update("done", 1.0)


RUNNERS: dict[str, Runner] = {
    "seed": seed,
    "extend": extend,
    "reconstruct": reconstruct,
    "export": export,
    "download": download,
}
