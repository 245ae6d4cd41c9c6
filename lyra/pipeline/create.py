"""Ties depth, engine and world together, with progress and cancel: how a world begins and grows."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lyra import depth as depth_estimators
from lyra.common.errors import InvalidInputError
from lyra.common.files import require_place, require_space
from lyra.common.progress import SILENT, Progress
from lyra.engines import FREE_LICENSE, create_engine, engine_info
from lyra.engines.base import Engine
from lyra.geometry.cameras import CHUNK_FRAMES, MAX_FRAMES, Trajectory
from lyra.geometry.lens import lens_remark, picture_lens
from lyra.geometry.views import View
from lyra.hub.licences import LICENCES
from lyra.media.images import fit, load_image
from lyra.pipeline.path_remarks import length_remarks, median_depth, picture_remarks, require_reach
from lyra.world.captions import caption_for
from lyra.world.folder import BYTES_PER_PIXEL, World, require_new_folder
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions
from lyra.world.plan import Plan
from lyra.world.settings import WorldSettings, new_id, now

MAX_SEED_POINTS = 200_000
START_TOLERANCE = 1e-6
# A camera this near to the seed camera is meant to be the seed camera.
UNREMARKABLE_START = 1e-3


def create_world(
    folder: str | Path,
    image: str | Path,
    *,
    engine: str = "preview",
    depth: str = "auto",
    depth_file: str | Path | None = None,
    depth_blend: bool = False,
    depth_scene: depth_estimators.Scene = "auto",
    depth_values: depth_estimators.Values = "metres",
    allow_download: bool = False,
    name: str | None = None,
    seed: int = 0,
    intrinsics: np.ndarray | None = None,
    intrinsics_hw: tuple[int, int] | None = None,
    lens: Trajectory | None = None,
    size: tuple[int, int] | None = None,
    world_id: str | None = None,
    device: str | None = None,
    progress: Progress = SILENT,
) -> World:
    """A world of one frame: the fitted image with its depth.

    `intrinsics` (3, 3) are those of the given image in its own pixels, upright; `intrinsics_hw`, the (height, width)
    that they are of, must be its own. Alternatively the first camera of `lens` says them for any image size. Without
    either the depth estimator's field of view is used. `size` is (height, width). With `depth_blend` the depth file
    may leave pixels unknown (NaN): the estimator fills them in.
    With `depth_values` "inverse" it is a relative map, near is bright, and gets its scale from the estimator.
    `depth_scene` ("auto", "indoor", "outdoor") says which weights Depth Anything V2 takes.
    The folder is whole or not there. Raises LyraError for anything that cannot be used.
    """
    info = engine_info(engine, device)
    require_new_folder(Path(folder))
    require_place(Path(folder))
    image = Path(image)
    progress.update("image", 0.0)
    fitted = fit(load_image(image), size)
    height, width = fitted.image.shape[:2]
    if intrinsics is not None:
        given = picture_lens(intrinsics, fitted.source_hw, intrinsics_hw)
        lens = Trajectory(np.eye(4)[None], given[None], *fitted.source_hw)
    known = None if lens is None else lens.fitted(height, width).intrinsics[0]
    progress.update("depth", 0.1, fitted.image)
    create = functools.partial(
        depth_estimators.create_estimator,
        depth,
        depth_file,
        allow_download,
        source_hw=fitted.source_hw,
        scene=depth_scene,
        blend=depth_blend,
        values=depth_values,
    )
    estimator = create(device=device)
    estimate = depth_estimators.sanitise(
        depth_estimators.estimate_with_room(estimator, lambda: create(device="cpu"), fitted.image, known)
    )
    progress.update("depth", 0.9)
    guessed = not isinstance(estimator, depth_estimators.DepthFile)
    remarks = depth_estimators.picture_notes(fitted.image) if guessed else ()
    if intrinsics is not None and (remark := lens_remark(given, "the given lens")):
        remarks += (remark,)
    view = View.at_origin(fitted.image, estimate.depth, estimate.intrinsics if known is None else known)
    name = name or image.stem
    settings = WorldSettings(
        id=world_id or new_id(name),
        name=name,
        engine=engine,
        height=height,
        width=width,
        seed=seed,
        depth_source=estimate.source,
        license=_license_of_outputs(info.license, estimate.notes),
        created=now(),
        notes=[*fitted.notes, f"Depth: {estimate.source}.", *remarks, *estimate.notes],
    )
    world = World.create(Path(folder), settings, view, image, seed_points(view))
    progress.update("done", 1.0)
    return world


def _license_of_outputs(of_engine: str, depth_notes: Sequence[str]) -> str:
    """What may be done with a world: what its engine says, and the notices of the weights its depth comes from."""
    notices = [entry.notice for entry in LICENCES.values() if entry.notice and entry.notice in depth_notes]
    if not notices:
        return of_engine
    said = [] if of_engine == FREE_LICENSE else [of_engine]
    return " ".join([*said, *(notice for notice in notices if notice not in of_engine)])


def seed_points(view: View) -> np.ndarray:
    """Coloured points of a view as a structured array (x y z float32, red green blue uint8); no sky."""
    ys, xs = np.nonzero(np.isfinite(view.depth))
    step = -(-len(xs) // MAX_SEED_POINTS) if len(xs) else 1
    ys, xs = ys[::step], xs[::step]
    z = view.depth[ys, xs]
    points = np.empty(
        len(z), [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    )
    points["x"] = (xs + 0.5 - view.intrinsics[0, 2]) / view.intrinsics[0, 0] * z
    points["y"] = (ys + 0.5 - view.intrinsics[1, 2]) / view.intrinsics[1, 1] * z
    points["z"] = z
    for channel, colour in enumerate(("red", "green", "blue")):
        points[colour] = view.image[ys, xs, channel]
    return points


def prepare_path(
    world: World, trajectory: Trajectory, pose_scale: float = 1.0
) -> tuple[Trajectory, list[str]]:
    """The path as the world will use it, and what the user should know about it.

    Checks the length, of the path and of the world with it, fits the intrinsics to the world's size, scales
    translations and moves the start to the world's newest camera. Preparing a prepared path changes nothing, so a
    resumed run sees the same numbers. Raises InvalidInputError.
    """
    path = trajectory.require_world_length().fitted(world.height, world.width)
    total = world.frames + len(path) - 1
    if total > MAX_FRAMES:
        room = MAX_FRAMES - world.frames
        shorter = f"Take a path of at most {room + 1} frames" if room else "Revert this world"
        raise InvalidInputError(
            f"The world would have {total} frames; at most {MAX_FRAMES} are possible. {shorter}, or begin a new world."
        )
    notes = picture_remarks(trajectory, path)
    if pose_scale != 1.0:
        path = path.scaled(pose_scale)
    require_reach(path)
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
    return path, [*notes, *length_remarks(path, median_depth(world))]


def extend_world(
    world: World,
    trajectory: Trajectory,
    *,
    prompt: str = "",
    captions: dict[int, str] | None = None,
    seed: int | None = None,
    pose_scale: float = 1.0,
    options: EngineOptions = DEFAULT_OPTIONS,
    device: str | None = None,
    progress: Progress = SILENT,
) -> list[str]:
    """Adds k chunks along a path of 1 + 80k cameras from the newest frame on; returns notes for the user.

    `options` are settings of the world's engine, which a resumed run keeps. Every finished chunk stays, whatever
    happens after it; `resume_world` goes on from there. Raises LyraError, InUseError while another process works on
    the world.
    """
    with world.exclusive():
        return _extend(
            world, trajectory, captions or {0: prompt}, seed, pose_scale, options, device, progress
        )


def _extend(
    world: World,
    trajectory: Trajectory,
    captions: dict[int, str],
    seed: int | None,
    pose_scale: float,
    options: EngineOptions,
    device: str | None,
    progress: Progress,
) -> list[str]:
    path, notes = prepare_path(world, trajectory, pose_scale)
    seed = world.settings.seed if seed is None else seed
    plan = Plan(path, len(world.chunks), captions, seed, options.checked_for(world.engine), world.head)
    # Before the space is asked for: what does not fit now can be resumed when there is room.
    world.save_plan(plan)
    require_space(world.folder, path.chunks * CHUNK_FRAMES * world.height * world.width * BYTES_PER_PIXEL)
    return notes + _run_plan(world, plan, device, progress)


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
    progress.update("start", 0.95 * done / total)
    with contextlib.closing(create_engine(world.engine, device, plan.options)) as engine:
        engine.announce([caption_for(plan.captions, plan.first_chunk + n) for n in range(done, total)])
        notes = _add_chunks(world, plan, engine, range(done, total), progress)
    world.write_walkthrough(progress.part(0.95, 1))
    world.clear_plan()
    progress.update("done", 1.0)
    return notes


def _add_chunks(world: World, plan: Plan, engine: Engine, numbers: range, progress: Progress) -> list[str]:
    """Makes the plan's chunks `numbers`. The engine's state ends with this call, before the engine is closed."""
    state = engine.restore(world.seed_view(), world.chunks)
    notes: list[str] = []
    for number in numbers:
        total = plan.trajectory.chunks
        share = progress.part(0.95 * number / total, 0.95 * (number + 1) / total)
        index = plan.first_chunk + number
        prompt, seed = caption_for(plan.captions, index), plan.seed + index
        cameras = plan.trajectory[1 + CHUNK_FRAMES * number : 1 + CHUNK_FRAMES * (number + 1)]
        started = time.monotonic()
        chunk = engine.extend(state, cameras, prompt, seed, share.part(0, 0.95))
        share.update("saving", 0.95, chunk.frames[-1])
        world.add_chunk(cameras, chunk, prompt, seed, time.monotonic() - started, plan.options)
        notes += [note for note in chunk.notes if note not in notes]
    return notes
