"""`lyra train depth` on the command line; imports torch only when it runs.

    lyra train depth --minutes 240 --out runs/depth
    lyra train depth --minutes 240 --out runs/depth --resume
    python -m lyra.cli.train --steps 2000 --out runs/depth

`--out` gets depth.safetensors (what ships), curve.csv and .png, sheet.png, the checkpoint and a pool of pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lyra.cli.terminal import progress_bar
from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.hub.packages import require_packages

ABOUT = "Train the built-in depth network on worlds made on the way; Ctrl-C stops and keeps what was learned."


def add_parser(commands) -> None:
    """Adds `depth` to the subparsers `commands` of `lyra train`; its options carry `run`."""
    sub = commands.add_parser("depth", help=ABOUT, description=ABOUT)
    add_arguments(sub)
    sub.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lyra train depth`."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after so many minutes")
    parser.add_argument("--steps", type=int, metavar="N", help="stop after so many steps")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--extra",
        type=Path,
        metavar="DIR",
        help="pictures of scripts.blender_scenes to learn from besides",
    )
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="pictures of 96x160 per step (16)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes making pictures (1)")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="processes that learn together on the CPU, each with a batch of its own: one for every core (1)",
    )
    parser.add_argument(
        "--cooldown",
        type=float,
        default=0.15,
        metavar="SHARE",
        help="share of this run, at its end, in which the learning rate falls to nothing (0.15)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="where the pictures' seeds begin (0)"
    )


def run(options: argparse.Namespace) -> int:
    """Trains as the options say.

    Raises InvalidInputError when they do not say how long, EngineNotReadyError where torch or CUDA is missing.
    """
    wanted = (options.steps, options.minutes)
    if not any(wanted) or any(value is not None and value <= 0 for value in wanted):
        raise InvalidInputError(f"--steps is {wanted[0]} and --minutes is {wanted[1]}; give one, above 0.")
    least = {"batch": 2, "workers": 1, "processes": 1}
    for name, count in least.items():
        if getattr(options, name) < count:
            raise InvalidInputError(f"--{name} is {getattr(options, name)}; at least {count} is needed.")
    if not 0 <= options.cooldown <= 1:
        raise InvalidInputError(f"--cooldown is {options.cooldown}; it is a share, from 0 to 1.")
    require_packages(["torch"], "depth", "Training")
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        raise EngineNotReadyError(
            f"--device is {options.device!r} but torch sees no CUDA device; leave it out."
        )
    from lyra.training.depth.train import Budget, train
    from lyra.training.depth.trainer import Settings

    budget = Budget(options.steps, options.minutes)
    settings = Settings(
        pixels=options.batch * 96 * 160,
        cooldown=options.cooldown,
        workers=options.workers,
        processes=options.processes,
    )
    with progress_bar() as progress:
        train(
            options.out,
            budget,
            resume=options.resume,
            settings=settings,
            device=options.device,
            seed=options.seed,
            extra=options.extra,
            progress=progress,
        )
    return 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m lyra.cli.train", description=ABOUT)
    add_arguments(arguments)
    sys.exit(run(arguments.parse_args()))
