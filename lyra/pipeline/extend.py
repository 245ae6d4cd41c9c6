"""Extension of a world along a camera path: preparing the path, making its chunks, resuming an interrupted run."""

from __future__ import annotations

import contextlib
import time
from typing import NamedTuple

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.files import require_space
from lyra.common.progress import SILENT, Progress
from lyra.engines import create_engine
from lyra.engines.base import Engine
from lyra.geometry.cameras import CHUNK_FRAMES, MAX_FRAMES, Trajectory
from lyra.pipeline.path_remarks import length_remarks, median_depth, picture_remarks, require_reach
from lyra.pipeline.shares import CHUNK_FRAMES_END, CHUNKS_END
from lyra.world.captions import caption_for
from lyra.world.folder import BYTES_PER_PIXEL, World
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions
from lyra.world.plan import Plan

START_TOLERANCE = 1e-6
# A camera this near to the seed camera is meant to be the seed camera.
UNREMARKABLE_START = 1e-3


class PreparedPath(NamedTuple):
    """A camera path as a world takes it, made by `prepare_path`, and what the user should know about it.

    `trajectory` (1 + 80k frames) has the world's frame size and unit and starts at its newest camera.
    """

    trajectory: Trajectory
    notes: list[str]


def check_path(world: World, trajectory: Trajectory, pose_scale: float = 1.0) -> None:
    """Raises InvalidInputError for a path that no state of the world could be extended along, as `prepare_path` does.

    Checks its length, that of the world with it, and how far it goes.
    """
    trajectory.require_world_length()
    total = world.frames + len(trajectory) - 1
    if total > MAX_FRAMES:
        room = MAX_FRAMES - world.frames
        shorter = f"Take a path of at most {room + 1} frames" if room else "Revert this world"
        raise InvalidInputError(
            f"The world would have {total} frames; at most {MAX_FRAMES} are possible. {shorter}, or begin a new world."
        )
    require_reach(trajectory.scaled(pose_scale))


def prepare_path(world: World, trajectory: Trajectory, pose_scale: float = 1.0) -> PreparedPath:
    """The path as the world will use it, and what the user should know about it.

    Fits the intrinsics to the world's size, scales translations and moves the start to the world's newest camera.
    Preparing a prepared path changes nothing. Raises InvalidInputError as `check_path`.
    """
    check_path(world, trajectory, pose_scale)
    path = trajectory.fitted(world.height, world.width)
    notes = picture_remarks(trajectory, path)
    if pose_scale != 1.0:
        path = path.scaled(pose_scale)
    start = world.last_w2c
    difference = np.abs(path.w2c[0] - start).max()
    if difference > UNREMARKABLE_START:
        step = path.c2w[0, :3, 3] - np.linalg.inv(start)[:3, 3]
        cosine = (np.trace(path.w2c[0, :3, :3] @ start[:3, :3].T) - 1) / 2
        turn = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        notes.append(
            f"The path starts {np.linalg.norm(step):.3g} units and {turn:.3g}° away "
            "from the world's newest camera; the whole path was moved there."
        )
    if difference > START_TOLERANCE:
        path = path.rebased(start)
    newest = world.chunks[-1].load_trajectory().intrinsics[-1] if world.chunks else world.intrinsics
    zoom = path.intrinsics[0, 0, 0] / newest[0, 0]
    if abs(zoom - 1) > 0.01:
        notes.append(
            f"The path's first lens has a focal length of {path.intrinsics[0, 0, 0]:.0f} px and the newest "
            f"frame {newest[0, 0]:.0f} px; the picture jumps by a factor of {zoom:.3g}. "
            "Give both the same lens to avoid it."
        )
    return PreparedPath(path, [*notes, *length_remarks(path, median_depth(world))])


def extend_world(
    world: World,
    path: PreparedPath | Trajectory,
    *,
    prompt: str = "",
    captions: dict[int, str] | None = None,
    seed: int | None = None,
    options: EngineOptions = DEFAULT_OPTIONS,
    job: str | None = None,
    device: str | None = None,
    progress: Progress = SILENT,
) -> list[str]:
    """Adds k chunks along a path of 1 + 80k cameras from the newest frame on; returns all notes for the user.

    `path` is prepared for this world, or a trajectory that is prepared here. `options` are settings of the world's
    engine, which a resumed run keeps; `job` is the id of the service's job that the chunks are made for. Every
    finished chunk stays, whatever happens after it; `resume_world` goes on from there. Raises LyraError, InUseError
    while another process works on the world.
    """
    with world.exclusive():
        prepared = path if isinstance(path, PreparedPath) else prepare_path(world, path)
        plan = Plan(
            _require_here(world, prepared.trajectory),
            len(world.chunks),
            captions or {0: prompt},
            world.settings.seed if seed is None else seed,
            options.checked_for(world.engine),
            job,
            world.head,
        )
        # Before the space is asked for: what does not fit now can be resumed when there is room.
        world.save_plan(plan)
        frames = plan.trajectory.chunks * CHUNK_FRAMES
        require_space(world.folder, frames * world.height * world.width * BYTES_PER_PIXEL)
        return prepared.notes + _run_plan(world, plan, device, progress)


def _require_here(world: World, path: Trajectory) -> Trajectory:
    """The path; raises InvalidInputError for one that was prepared before the world was changed, or for another."""
    size = (path.height, path.width) == (world.height, world.width)
    if not size or np.abs(path.w2c[0] - world.last_w2c).max() > START_TOLERANCE:
        raise InvalidInputError(
            f"The path does not start at the newest camera of {world.folder}, which has {world.frames} frames now; "
            "prepare it again."
        )
    return path


def resume_world(world: World, *, device: str | None = None, progress: Progress = SILENT) -> list[str] | None:
    """Goes on with the path that an interrupted run left; returns notes for the user, None when there is no path.

    Raises LyraError, InUseError while another process works on the world.
    """
    with world.exclusive():
        plan = world.load_plan()
        return None if plan is None else _run_plan(world, plan, device, progress)


def _run_plan(world: World, plan: Plan, device: str | None, progress: Progress) -> list[str]:
    """Makes the chunks of a plan that are still missing; returns what the engine has to say about them."""
    total = plan.trajectory.chunks
    done = len(world.chunks) - plan.first_chunk
    if not plan.follows(world.chunks):
        raise InvalidInputError(
            f"{world.folder} has {len(world.chunks)} chunks; its unfinished path is for {plan.first_chunk + 1} to "
            f"{plan.first_chunk + total}. Chunks were taken away or added by hand: extend it along another path."
        )
    progress.update("start", CHUNKS_END * done / total)
    with contextlib.closing(create_engine(world.engine, device, plan.options)) as engine:
        engine.announce([caption_for(plan.captions, plan.first_chunk + n) for n in range(done, total)])
        notes = _add_chunks(world, plan, engine, range(done, total), progress)
    world.write_walkthrough(progress.part(CHUNKS_END, 1))
    world.clear_plan()
    progress.update("done", 1.0)
    return notes


def _add_chunks(world: World, plan: Plan, engine: Engine, numbers: range, progress: Progress) -> list[str]:
    """Makes the plan's chunks `numbers`. The engine's state ends with this call, before the engine is closed."""
    state = engine.restore(world.seed_view(), world.chunks)
    notes: list[str] = []
    for number in numbers:
        total = plan.trajectory.chunks
        share = progress.part(CHUNKS_END * number / total, CHUNKS_END * (number + 1) / total)
        index = plan.first_chunk + number
        prompt, seed = caption_for(plan.captions, index), plan.seed + index
        cameras = plan.trajectory[1 + CHUNK_FRAMES * number : 1 + CHUNK_FRAMES * (number + 1)]
        started = time.monotonic()
        chunk = engine.extend(state, cameras, prompt, seed, share.part(0, CHUNK_FRAMES_END))
        share.update("saving", CHUNK_FRAMES_END, chunk.frames[-1])
        world.add_chunk(cameras, chunk, prompt, seed, time.monotonic() - started, plan.job, plan.options)
        notes += [note for note in chunk.notes if note not in notes]
    return notes
