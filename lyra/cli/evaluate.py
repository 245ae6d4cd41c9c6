"""`lyra eval`: figures of the preview engine, depth estimators, and gravity and ground, on scenes with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from lyra.cli.terminal import note, progress_bar
from lyra.common.errors import InvalidInputError


def add_parser(subcommands: argparse._SubParsersAction) -> None:
    """Adds `eval`; its options carry `run`, which returns an exit code."""
    text = "Measure how good a part is, on scenes with known truth."
    sub = subcommands.add_parser("eval", help=text, description=text)
    sub.set_defaults(run=run_eval)
    sub.add_argument("subject", choices=["preview", "depth", "place", "sheet"])
    sub.add_argument(
        "pictures", nargs="*", type=Path, metavar="IMAGE", help="for sheet: images to make places of"
    )
    sub.add_argument(
        "--depth-model",
        metavar="NAME",
        help="for depth and place: the estimator (builtin); for preview: its depth takes the place of the true one",
    )
    sub.add_argument(
        "--images", type=Path, metavar="DIR", help="for depth: pictures; those with marked pairs are scored"
    )
    sub.add_argument(
        "--rendered",
        type=Path,
        metavar="DIR",
        help="for depth: .npz pictures with depth, as Blender renders; for place: those of benchmarks.place_scenes",
    )
    sub.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="for depth: picture, depth and points of --images; for preview: frames of the example's walkthrough on "
        "depth by layout, by builtin, and on the true one; for sheet: steps and turns of each IMAGE, before and after",
    )


def run_eval(options: argparse.Namespace) -> int:
    """Exit code of the chosen protocol. Raises InvalidInputError where images are given to another one."""
    if options.pictures and options.subject != "sheet":
        raise InvalidInputError(
            f"Images are for `lyra eval sheet`; {options.subject} takes none: leave them out."
        )
    subjects = {"depth": eval_depth, "place": eval_place, "preview": eval_preview, "sheet": eval_sheet}
    return subjects[options.subject](options)


def eval_place(options: argparse.Namespace) -> int:
    """Figures of gravity, labels, lean, ground and edges on the depth of an estimator."""
    from lyra.depth import create_estimator
    from lyra.evaluation.place import evaluate, scenes, table

    estimator = create_estimator(options.depth_model or "builtin")
    with progress_bar() as progress:
        rows = evaluate(scenes(rendered=options.rendered), estimator, progress)
    print(table(rows))
    return 0


def eval_sheet(options: argparse.Namespace) -> int:
    """Draws what steps and turns show of each image, with and without surroundings, and the splats."""
    from lyra.depth import create_estimator
    from lyra.evaluation.place_sheet import draw_place_sheet

    if not options.pictures or options.sheet is None:
        raise InvalidInputError("Name images and the sheet to draw: lyra eval sheet IMAGE --sheet FILE.png")
    with progress_bar() as progress:
        draw_place_sheet(
            options.pictures, create_estimator(options.depth_model or "builtin"), options.sheet, progress
        )
    print(options.sheet.resolve())
    return 0


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
