"""Commands about worlds: generate, extend, resume, revert, reconstruct and export."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lyra.cli.arguments import (
    add_device,
    add_options,
    add_path,
    engine_options,
    load_path,
    parse_size,
)
from lyra.cli.takes import tell_head_move
from lyra.cli.terminal import note, progress_bar
from lyra.common.errors import InvalidInputError, LyraError

if TYPE_CHECKING:
    from lyra.common.progress import Progress
    from lyra.geometry.cameras import Trajectory
    from lyra.world.folder import World
    from lyra.world.options import EngineOptions


def add_parsers(subcommands: argparse._SubParsersAction) -> None:
    """Adds the commands; their options carry `run`, and `left`, which says what a stopped command leaves."""

    def command(name: str, run: Callable, text: str, left: Callable | None = None) -> argparse.ArgumentParser:
        sub = subcommands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, left=left)
        return sub

    sub = command(
        "generate",
        run_generate,
        "Make a world from an image and a camera path.",
        left=lambda given: left_in(given.out),
    )
    sub.add_argument("image", type=Path, metavar="IMAGE")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="world folder to make")
    sub.add_argument("--engine", default="preview", help="preview (default), lyra2 or lyra2-fast")
    sub.add_argument(
        "--depth", type=Path, metavar="FILE", help="depth of the image: .npz, .npy, .exr, .pfm or 16-bit .png"
    )
    sub.add_argument(
        "--depth-blend",
        action="store_true",
        help="the depth file leaves pixels unknown (NaN); the depth model fills them in",
    )
    sub.add_argument(
        "--depth-values",
        choices=["metres", "inverse"],
        default="metres",
        help="what the depth file holds: metres (default), or inverse, a relative map (8 or 16 bits too) in which near "
        "is bright; the depth model gives it its scale",
    )
    sub.add_argument(
        "--depth-model",
        default="auto",
        metavar="NAME",
        help="auto (default), joined (MoGe-2 and Depth Anything V2, by `lyra models download depth`), moge-2, "
        "depth-anything-v2-onnx, builtin, layout, depth-anything-v2, depth-anything-v2-large or depth-anything-3",
    )
    sub.add_argument(
        "--depth-scene",
        choices=["auto", "indoor", "outdoor"],
        default="auto",
        help="which weights depth-anything-v2 takes; auto (default) looks for sky",
    )
    sub.add_argument(
        "--allow-download", action="store_true", help="let the depth model's weights be downloaded"
    )
    add_path(sub)
    add_options(sub)
    sub.add_argument(
        "--size", type=parse_size, metavar="WxH", help="frame size; by default 832x480 or 480x832"
    )
    sub.add_argument("--name", help="name of the world; by default the image's")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command(
        "extend",
        run_extend,
        "Go on from a world's newest frame along another path.",
        left=lambda given: left_in(given.world),
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    add_path(sub)
    sub.add_argument(
        "--from",
        dest="from_chunk",
        type=int,
        metavar="CHUNK",
        help="go on from this chunk of `lyra takes WORLD`, to which the world is switched first",
    )
    add_options(sub)
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command(
        "resume",
        run_resume,
        "Go on with a run that was stopped, at its frames or at its splats and mesh.",
        left=lambda given: left_in(given.world),
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("revert", run_revert, "Go back to an earlier chunk of a world; nothing is lost.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--chunks", type=int, required=True, metavar="K", help="how many to show")

    sub = command(
        "reconstruct",
        run_reconstruct,
        "Make splats and mesh of a world again.",
        left=lambda given: f"`lyra reconstruct {given.world}` makes splats and mesh again.",
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command(
        "export",
        run_export,
        "Pack a world's results into a zip file.",
        left=lambda given: f"{given.out} was not written. Run it again.",
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    sub.add_argument("--items", nargs="+", metavar="ITEM", help="which files; by default all there are")
    sub.add_argument(
        "--f-rest",
        action="store_true",
        help="write all 45 f_rest properties into splats.ply, for viewers that read records of 62 numbers",
    )


def run_generate(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.pipeline.create import WorldRequest, begin_world
    from lyra.pipeline.shares import WORLD_END

    require_device(options.device)
    path, captions = load_path(options, frames_before=0)
    chosen = engine_options(options.engine, options)
    request = WorldRequest(
        options.out,
        options.image,
        engine=options.engine,
        depth=options.depth_model,
        depth_file=options.depth,
        depth_blend=options.depth_blend,
        depth_scene=options.depth_scene,
        depth_values=options.depth_values,
        allow_download=options.allow_download,
        name=options.name,
        seed=options.seed or 0,
        lens=path,
        size=options.size,
    )
    with progress_bar() as progress:
        world = begin_world(request, device=options.device, progress=progress.part(0, WORLD_END))
        for line in world.notes:
            note(line)
        follow_path(world, path, captions, chosen, options, progress.part(WORLD_END, 1))
    tell_results(world)


def follow_path(
    world: World,
    path: Trajectory,
    captions: dict[int, str],
    chosen: EngineOptions,
    options: argparse.Namespace,
    progress: Progress,
) -> None:
    """Extends the world and reconstructs it; remarks on the path come before the frames, which may be stopped."""
    from lyra.pipeline.extend import extend_world, prepare_path
    from lyra.pipeline.shares import FRAMES_END

    # One block: what the path is prepared for must not change before it is followed.
    with world.exclusive():
        prepared = prepare_path(world, path, options.pose_scale)
        for line in prepared.notes:
            note(line)
        notes = extend_world(
            world,
            prepared,
            captions=captions,
            seed=options.seed,
            options=chosen,
            device=options.device,
            progress=progress.part(0, FRAMES_END),
        )
    for line in notes:
        if line not in prepared.notes:
            note(line)
    make_results(world, options, progress.part(FRAMES_END, 1))


def make_results(world: World, options: argparse.Namespace, progress: Progress) -> None:
    from lyra.pipeline.reconstruct import reconstruct_world

    figures = reconstruct_world(world, mesh=not options.no_mesh, device=options.device, progress=progress)
    for line in figures["notes"]:
        note(line)


def run_extend(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.pipeline.extend import check_path
    from lyra.world.folder import World

    require_device(options.device)
    world = World.open(options.world)
    chosen = engine_options(world.engine, options)
    longer = world if options.from_chunk is None else world.ending_at(options.from_chunk)
    path, captions = load_path(options, frames_before=longer.frames - 1)
    if options.from_chunk is not None:
        # Before anything is moved for a path that cannot be used.
        check_path(longer, path, options.pose_scale)
        tell_head_move(
            world, lambda progress: world.switch(options.from_chunk, progress, with_walkthrough=False)
        )
    with progress_bar() as progress:
        follow_path(world, path, captions, chosen, options, progress)
    tell_results(world)


def run_resume(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.pipeline.extend import resume_world
    from lyra.pipeline.shares import FRAMES_END
    from lyra.world.folder import World

    require_device(options.device)
    world = World.open(options.world)
    with progress_bar() as progress:
        # A run that was stopped at its splats has all its frames, and no results yet.
        notes = resume_world(world, device=options.device, progress=progress.part(0, FRAMES_END))
        if notes is None and not world.chunks:
            raise InvalidInputError(
                f"{options.world} has no unfinished path; `lyra extend {options.world} --trajectory FILE` gives it one."
            )
        if notes is None and world.reconstructed:
            raise InvalidInputError(
                f"{options.world} has no unfinished path; `lyra reconstruct {options.world}` makes splats and mesh "
                "again."
            )
        for line in notes or []:
            note(line)
        make_results(world, options, progress.part(FRAMES_END, 1))
    tell_results(world)


def run_revert(options: argparse.Namespace) -> None:
    from lyra.world.folder import World

    world = World.open(options.world)
    tell_head_move(world, lambda progress: world.revert(options.chunks, progress))
    note_old_results(world)


def note_old_results(world: World) -> None:
    """Says when splats and mesh are not those of all frames, and what makes them."""
    from lyra.world.chunks import read_optional_json

    if not world.chunks or world.reconstructed:
        return
    figures = read_optional_json(world.figures)
    state = "not made yet" if figures is None else f"of {figures.get('frames')} of {world.frames} frames"
    note(f"splats and mesh are {state}; `lyra reconstruct {world.folder}` makes them.")


def run_reconstruct(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.world.folder import World

    require_device(options.device)
    world = World.open(options.world)
    with progress_bar() as progress:
        make_results(world, options, progress)
    tell_results(world)


def run_export(options: argparse.Namespace) -> None:
    from lyra.pipeline.export import available_items, export_world
    from lyra.world.folder import World

    world = World.open(options.world)
    items = options.items or available_items(world)
    with progress_bar() as progress:
        export_world(world, items, options.out, progress, f_rest=options.f_rest)
    if not options.items or any(item.startswith(("splats", "mesh")) for item in items):
        note_old_results(world)
    print(options.out.resolve())


def tell_results(world) -> None:
    print(f"world        {world.folder.resolve()}")
    for label, path in (
        ("walkthrough", world.walkthrough),
        ("splats", world.results / "splats.ply"),
        ("mesh", world.results / "mesh.glb"),
    ):
        if path.exists():
            print(f"{label:<12} {path.resolve()}")


def left_in(folder: Path) -> str:
    """What a stopped run leaves in a world folder, and what to do next."""
    from lyra.world.folder import World

    try:
        if not (folder / "world.json").is_file():
            return "nothing was written."
        world = World.open(folder)
        unfinished = world.load_plan() is not None or (world.chunks and not world.reconstructed)
    except (LyraError, OSError):
        # What is wrong with it, the next run says.
        return "every whole chunk is kept. Run it again."
    if unfinished:
        return f"every whole chunk is kept. `lyra resume {folder}` goes on."
    if not world.chunks:
        return f"the first frame is kept. `lyra extend {folder} --trajectory FILE` goes on."
    return f"{folder} is as it was. Run it again."
