"""The command line `lyra`: its parser, its exit codes and what it says when a command fails or is stopped."""

from __future__ import annotations

import argparse
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

from lyra.cli import evaluate, models, takes, train, worlds
from lyra.common.errors import CancelledError, InvalidInputError, LyraError
from lyra.common.files import refusal
from lyra.version import VERSION

EXAMPLES = """\
examples:
  lyra demo                                             the whole way on the example scene, in a hidden Blender
  lyra generate castle.jpg --trajectory path.npz --out castle
  lyra generate castle.jpg --trajectory path.npz --depth castle.exr --out castle --frames 161
  lyra extend castle --trajectory on.npz                go on from the newest frame
  lyra resume castle                                    go on after a cancelled or interrupted run
  lyra revert castle --chunks 1                         go back to the first 80 new frames; nothing is lost
  lyra extend castle --from 1 --trajectory other.npz    another way on from chunk 1
  lyra takes castle                                     all chunks that were made, and which of them is shown
  lyra switch castle 2                                  show another one
  lyra clean castle                                     remove what the one that is shown does without
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
    if options.run is run_serve:
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
    """What a stopped command leaves, and what to do next; a command says it with `left` among its options."""
    left = getattr(options, "left", None)
    return left(options) if left else "run it again."


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lyra",
        description="From one image and a camera path to a world: walkthrough video, Gaussian splats and a mesh.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lyra-worlds {VERSION}")
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)

    text = "The whole way on the example scene: needs the source checkout and the extra 'demo'."
    demo = subcommands.add_parser("demo", help=text, description=text)
    demo.set_defaults(run=run_demo, left=lambda _: "run it again to begin anew.")
    demo.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder to write to (demo-out)"
    )
    worlds.add_parsers(subcommands)
    takes.add_parsers(subcommands)
    text = "Run the local service that Blender talks to."
    # The service has options, and a --help, of its own.
    serve = subcommands.add_parser("serve", help=text, description=text, add_help=False)
    serve.set_defaults(run=run_serve)
    models.add_parser(subcommands)
    text = "List the engines and what each needs."
    subcommands.add_parser("engines", help=text, description=text).set_defaults(run=run_engines)
    evaluate.add_parser(subcommands)
    text = "Train what this project ships."
    training = subcommands.add_parser("train", help=text, description=text)
    train.add_parser(training.add_subparsers(metavar="WHAT", required=True))
    return parser


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


def run_demo(options: argparse.Namespace) -> int:
    script = Path(__file__).resolve().parents[2] / "examples" / "demo.py"
    if not script.is_file():
        raise InvalidInputError(f"{script} is not there: `lyra demo` runs from the source checkout.")
    return subprocess.call([sys.executable, str(script), "--out", str(options.out)])
