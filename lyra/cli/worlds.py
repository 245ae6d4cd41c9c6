"""What each command of lyra.cli.main does with its options."""

from __future__ import annotations

import argparse
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lyra.cli.takes import tell_head_move
from lyra.cli.terminal import note, progress_bar
from lyra.common.errors import InvalidInputError

if TYPE_CHECKING:
    from lyra.common.progress import Progress
    from lyra.geometry.cameras import Trajectory
    from lyra.world.folder import World
    from lyra.world.options import EngineOptions


def run_generate(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.pipeline.create import create_world

    require_device(options.device)
    path, captions = load_path(options, frames_before=0)
    chosen = engine_options(options.engine, options)
    with progress_bar() as progress:
        world = create_world(
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
            device=options.device,
            progress=progress.part(0, 0.05),
        )
        for line in world.notes:
            note(line)
        follow_path(world, path, captions, chosen, options, progress.part(0.05, 0.5))
        make_results(world, options, progress.part(0.5, 1))
    tell_results(world)


def load_path(options: argparse.Namespace, frames_before: int) -> tuple[Trajectory, dict[int, str]]:
    """The path and the captions that `add_path` asks for; the path goes on after `frames_before` frames."""
    from lyra.geometry.cameras import Trajectory
    from lyra.pipeline.path_remarks import axes_remarks
    from lyra.world.captions import load_captions

    path = Trajectory.load(options.trajectory)
    for line in axes_remarks(path):
        note(line)
    if options.frames is not None:
        if options.frames < 1:
            raise InvalidInputError(f"--frames {options.frames}: give 1 + 80k, such as 81 or 161.")
        if options.frames > len(path):
            raise InvalidInputError(f"--frames {options.frames}: {options.trajectory} has {len(path)} poses.")
        path = path[: options.frames].require_world_length()
    else:
        poses = len(path)
        path = path.longest_world_prefix()
        if len(path) != poses:
            note(f"{options.trajectory} has {poses} poses; the first {len(path)} are used.")
    if not 0 < options.pose_scale < 1e6:
        raise InvalidInputError(f"--pose-scale {options.pose_scale}: give a positive number such as 1.0.")
    captions = load_captions(options.captions) if options.captions else {0: options.prompt}
    beyond = [start for start in captions if start >= frames_before + len(path)]
    if len(beyond) == len(captions):
        raise InvalidInputError(f"{options.captions}: all captions start beyond the path's end.")
    if beyond:
        note(f"captions from frame {min(beyond)} on lie beyond the path's end and are left out.")
    return path, {start: text for start, text in captions.items() if start not in beyond}


def follow_path(
    world: World,
    path: Trajectory,
    captions: dict[int, str],
    chosen: EngineOptions,
    options: argparse.Namespace,
    progress: Progress,
) -> None:
    """Extends the world; what is to be said of the path is said before the frames, which may be stopped."""
    from lyra.pipeline.extend import extend_world, prepare_path

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
            progress=progress,
        )
    for line in notes:
        if line not in prepared.notes:
            note(line)


def make_results(world: World, options: argparse.Namespace, progress: Progress) -> None:
    from lyra.pipeline.reconstruct import reconstruct_world

    figures = reconstruct_world(world, mesh=not options.no_mesh, device=options.device, progress=progress)
    for line in figures["notes"]:
        note(line)


def engine_options(engine_id: str, options: argparse.Namespace) -> EngineOptions:
    """What the user chose of the engine. Raises InvalidInputError for what it does not have."""
    from lyra.world.options import OPTIONS, EngineOptions

    return EngineOptions(**{name: getattr(options, name) for name in OPTIONS}).checked_for(engine_id)


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
        tell_head_move(world, lambda progress: world.switch(options.from_chunk, progress))
    with progress_bar() as progress:
        follow_path(world, path, captions, chosen, options, progress.part(0, 0.5))
        make_results(world, options, progress.part(0.5, 1))
    tell_results(world)


def run_resume(options: argparse.Namespace) -> None:
    from lyra.engines import require_device
    from lyra.pipeline.extend import resume_world
    from lyra.world.folder import World

    require_device(options.device)
    world = World.open(options.world)
    with progress_bar() as progress:
        # A run that was stopped at its splats has all its frames, and no results yet.
        notes = resume_world(world, device=options.device, progress=progress.part(0, 0.5))
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
        make_results(world, options, progress.part(0.5, 1))
    tell_results(world)


def run_revert(options: argparse.Namespace) -> None:
    from lyra.world.folder import World

    world = World.open(options.world)
    tell_head_move(world, lambda progress: world.revert(options.chunks, progress))
    note_old_results(world)


def note_old_results(world: World) -> None:
    """Says when splats and mesh are not those of all frames, and what makes them."""
    from lyra.world.chunks import read_json

    if not world.chunks or world.reconstructed:
        return
    figures = read_json(world.figures, optional=True)
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


def run_serve(options: argparse.Namespace) -> None:
    sys.argv = ["lyra serve", *options.passed]
    runpy.run_module("backend", run_name="__main__")


def run_engines(options: argparse.Namespace) -> None:
    from lyra.engines import available_engines

    for info in available_engines():
        print(
            f"{info.id:<12} {'ready' if info.ready else 'not ready'}\n  needs: {info.needs}\n  {info.license}"
        )
        if info.reason:
            print(f"  {info.reason}")


def run_eval(options: argparse.Namespace) -> int:
    return eval_depth(options) if options.subject == "depth" else eval_preview(options)


def eval_preview(options: argparse.Namespace) -> int:
    """Figures on the scenes' true depth, or on what --depth-model makes of their pictures; --sheet shows both."""
    from lyra.depth import create_estimator
    from lyra.evaluation.preview import evaluate, table
    from lyra.evaluation.preview_sheet import draw_preview_sheet, example_scene
    from lyra.evaluation.scenes import all_scenes

    chosen = options.depth_model and create_estimator(options.depth_model)
    if options.sheet is not None:
        others = [chosen] if chosen and chosen.id not in ("layout", "builtin") else []
        shown = [create_estimator("layout"), create_estimator("builtin"), *others]
        with progress_bar() as progress:
            draw_preview_sheet(example_scene(), shown, options.sheet, progress)
        print(options.sheet.resolve())
    with progress_bar() as progress:
        rows = evaluate(all_scenes(), progress, estimator=chosen)
    print(f"depth by {chosen.id}, at the true scale" if chosen else "true depth")
    print(table(rows, goals=chosen is None))
    return 0


def eval_depth(options: argparse.Namespace) -> int:
    """Exit code 1 when a figure that was measured is not reached; what was not measured is said.

    The pictures of a sheet need not be marked: then they are not scored.
    """
    from lyra.depth import create_estimator
    from lyra.evaluation.depth_alignment import alignment_table, evaluate_alignment, missed_alignment
    from lyra.evaluation.depth_pairs import found_images
    from lyra.evaluation.depth_quality import evaluate_depth, missed, not_measured, rendered_files
    from lyra.evaluation.depth_sheet import draw_depth_sheet

    estimator = create_estimator(options.depth_model or "builtin")
    # All that was given is looked at before minutes of work.
    images, unscored = options.images, None
    if options.rendered is not None:
        rendered_files(options.rendered)
    if options.sheet is not None and images is None:
        raise InvalidInputError(f"--sheet {options.sheet}: name the folder of its pictures with --images.")
    if images is not None:
        try:
            found_images(images)
        except InvalidInputError as error:
            if options.sheet is None:
                raise
            images, unscored = None, error
    if options.sheet is not None:
        draw_depth_sheet(estimator, options.images, options.sheet)
    with progress_bar() as progress:
        rows = evaluate_alignment(progress=progress)
    figures = evaluate_depth(estimator, images, options.rendered)
    for part, values in figures.items():
        for name, value in values.items():
            print(f"{part:<12}{name:<24}{value:10.4f}")
    print(alignment_table(rows))
    not_reached = missed(figures) + missed_alignment(rows)
    for line in [*not_reached, *not_measured(figures), *([str(unscored)] if unscored else [])]:
        note(line)
    return 1 if not_reached else 0


def run_demo(options: argparse.Namespace) -> int:
    script = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
    if not script.is_file():
        raise InvalidInputError(f"{script} is not there: `lyra demo` runs from the source checkout.")
    return subprocess.call([sys.executable, str(script), "--out", str(options.out)])


def tell_results(world) -> None:
    print(f"world        {world.folder.resolve()}")
    for label, path in (
        ("walkthrough", world.walkthrough),
        ("splats", world.results / "splats.ply"),
        ("mesh", world.results / "mesh.glb"),
    ):
        if path.exists():
            print(f"{label:<12} {path.resolve()}")
