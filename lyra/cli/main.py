"""The command line: one subcommand per thing a user wants done."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from pathlib import Path

from lyra.cli import models as models_cli
from lyra.cli import train as depth_command
from lyra.cli import worlds as commands
from lyra.common.errors import CancelledError, LyraError
from lyra.common.files import refusal
from lyra.version import VERSION
from lyra.world.options import OPTIONS

EXAMPLES = """\
examples:
  lyra demo                                             the whole way on the example scene, in a hidden Blender
  lyra generate castle.jpg --trajectory path.npz --out castle
  lyra generate castle.jpg --trajectory path.npz --depth castle.exr --out castle --frames 161
  lyra extend castle --trajectory on.npz                go on from the newest frame
  lyra resume castle                                    go on after a cancelled or interrupted run
  lyra revert castle --chunks 1                         keep the first 80 new frames
  lyra reconstruct castle                               splats and mesh again
  lyra export castle --out castle.zip
  lyra serve                                            the local service that Blender talks to
  lyra generate castle.jpg --trajectory path.npz --out castle --engine lyra2 --captions captions.json
  lyra models plan lyra2                                what the Lyra 2.0 engine takes on this machine
  lyra eval preview                                     how good the preview engine is, on scenes with known truth

A trajectory is an .npz file with w2c (N, 4, 4), intrinsics (N, 3, 3) in pixels, image_height and image_width;
N = 1 + 80k.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 2 input that cannot be used, 130 stopped by the user.

    141 as every program whose reader ended before it.
    """
    # Printing a path must not fail for the letters in it, after all the work. stderr escapes them by itself.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = build_parser()
    options, others = parser.parse_known_args(arguments)
    if options.run is commands.run_serve:
        options.passed = others
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        code = options.run(options) or 0
        sys.stdout.flush()
        return code
    except LyraError as error:
        print(f"lyra: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has; what is left in the buffer must not fail once more at the end.
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        return 141
    except OSError as error:
        print(f"lyra: {refusal(error)}; {what_is_left(options)}", file=sys.stderr)
        return 2
    except (CancelledError, KeyboardInterrupt):
        print(f"lyra: stopped; {what_is_left(options)}", file=sys.stderr)
        return 130


def what_is_left(options: argparse.Namespace) -> str:
    """What a stopped command leaves, and what to do next."""
    if options.run is commands.run_demo:
        return "run it again to begin anew."
    if options.run is commands.run_reconstruct:
        return f"`lyra reconstruct {options.world}` makes splats and mesh again."
    if options.run in (commands.run_generate, commands.run_extend, commands.run_resume):
        return what_is_left_in(options.out if options.run is commands.run_generate else options.world)
    if options.run is commands.run_export:
        return f"{options.out} was not written. Run it again."
    return "run it again."


def what_is_left_in(folder: Path) -> str:
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


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lyra",
        description="From one image and a camera path to a world: walkthrough video, Gaussian splats and a mesh.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lyra-worlds {VERSION}")
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run, text: str, **more) -> argparse.ArgumentParser:
        sub = subcommands.add_parser(name, help=text, description=text, **more)
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "demo",
        commands.run_demo,
        "The whole way on the example scene: needs the source checkout and the extra 'demo'.",
    )
    sub.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder to write to (demo-out)"
    )

    sub = command("generate", commands.run_generate, "Make a world from an image and a camera path.")
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

    sub = command("extend", commands.run_extend, "Go on from a world's newest frame along another path.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    add_path(sub)
    add_options(sub)
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command(
        "resume",
        commands.run_resume,
        "Go on with a run that was stopped, at its frames or at its splats and mesh.",
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("revert", commands.run_revert, "Remove chunks from the end of a world.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--chunks", type=int, required=True, metavar="K", help="how many to keep")

    sub = command("reconstruct", commands.run_reconstruct, "Make splats and mesh of a world again.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("export", commands.run_export, "Pack a world's results into a zip file.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    sub.add_argument("--items", nargs="+", metavar="ITEM", help="which files; by default all there are")
    sub.add_argument(
        "--f-rest",
        action="store_true",
        help="write all 45 f_rest properties into splats.ply, for viewers that read records of 62 numbers",
    )

    # The service has options, and a --help, of its own.
    command("serve", commands.run_serve, "Run the local service that Blender talks to.", add_help=False)

    models_cli.add_parser(subcommands)

    command("engines", commands.run_engines, "List the engines and what each needs.")

    sub = command("eval", commands.run_eval, "Measure how good a part is, on scenes with known truth.")
    sub.add_argument("subject", choices=["preview", "depth"])
    sub.add_argument(
        "--depth-model",
        metavar="NAME",
        help="for depth: the estimator (builtin); for preview: its depth takes the place of the true one",
    )
    sub.add_argument(
        "--images", type=Path, metavar="DIR", help="for depth: pictures; those with marked pairs are scored"
    )
    sub.add_argument(
        "--rendered", type=Path, metavar="DIR", help="for depth: .npz pictures with depth, as Blender renders"
    )
    sub.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.png",
        help="for depth: picture, depth and points of --images; for preview: frames of the example's walkthrough on "
        "depth by layout, by builtin, and on the true one",
    )

    text = "Train what this project ships."
    train = subcommands.add_parser("train", help=text, description=text)
    depth_command.add_parser(train.add_subparsers(metavar="WHAT", required=True))
    return parser


def add_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trajectory",
        type=Path,
        required=True,
        metavar="FILE",
        help="camera path (.npz, intrinsics in pixels)",
    )
    parser.add_argument("--frames", type=int, metavar="N", help="use the first N poses, N = 1 + 80k")
    parser.add_argument(
        "--pose-scale",
        type=float,
        default=1.0,
        metavar="S",
        help="multiplies the path's translations: 0.01 for centimetres",
    )
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument(
        "--prompt", default="", metavar="TEXT", help="what the world shows, for engines that read"
    )
    texts.add_argument("--captions", type=Path, metavar="FILE", help='JSON: {"0": text, "81": text, ...}')
    parser.add_argument("--seed", type=parse_seed, metavar="N", help="by default 0, or the world's")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the engines; what is left out is the engine's to choose."""
    group = parser.add_argument_group("engines lyra2 and lyra2-fast")
    for name, option in OPTIONS.items():
        flag = f"--{name.replace('_', '-')}"
        if option.kind is bool:
            group.add_argument(flag, action="store_true", help=option.described)
        else:
            group.add_argument(flag, type=option.kind, metavar=option.unit, help=option.described)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="by default frames are made with cuda where there is one"
    )


def parse_size(text: str) -> tuple[int, int]:
    """ "832x480" as (height, width)."""
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 832x480")
    return int(match[2]), int(match[1])


def parse_seed(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; give a whole number from 0 to {2**31 - 1}")
    return int(text)
