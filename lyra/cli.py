"""The command line: one subcommand per thing a user wants done."""

from __future__ import annotations

import argparse
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lyra.errors import CancelledError, InvalidInputError, LyraError
from lyra.progress import Progress
from lyra.version import VERSION

if TYPE_CHECKING:
    from lyra.geometry.cameras import Trajectory

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
  lyra eval preview                                     how good the preview engine is, on scenes with known truth

A trajectory is an .npz file with w2c (N, 4, 4), intrinsics (N, 3, 3), image_height and image_width; N = 1 + 80k.
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 2 input that cannot be used, 130 stopped by the user."""
    parser = build_parser()
    options, others = parser.parse_known_args(arguments)
    if options.run is run_serve:
        options.passed = others
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    try:
        return options.run(options) or 0
    except LyraError as error:
        print(f"lyra: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        # A folder that may not be written, a drive that went away: whatever the system refuses.
        print(
            f"lyra: {error.filename or 'A file'} cannot be used: {error.strerror or error}. "
            "Choose another path or change its permissions.",
            file=sys.stderr,
        )
        return 2
    except (CancelledError, KeyboardInterrupt):
        print(f"lyra: stopped; {what_is_left(options)}", file=sys.stderr)
        return 130


def what_is_left(options: argparse.Namespace) -> str:
    """What a stopped command leaves, and what to do next."""
    if options.run is run_demo:
        return "run it again to begin anew."
    folder = getattr(options, "world", None) or getattr(options, "out", None)
    if folder is None or not (folder / "world.json").is_file():
        return "nothing was written."
    if options.run is run_reconstruct:
        return f"`lyra reconstruct {folder}` makes splats and mesh again."
    return f"every whole chunk is kept. `lyra resume {folder}` goes on."


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lyra",
        description="From one image and a camera path to a world: walkthrough video, Gaussian splats and a mesh.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lyra-worlds {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run, text: str, **more) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, **more)
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "demo",
        run_demo,
        "The whole way on the example scene: needs the source checkout and the extra 'demo'.",
    )
    sub.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="folder to write to (demo-out)"
    )

    sub = command("generate", run_generate, "Make a world from an image and a camera path.")
    sub.add_argument("image", type=Path, metavar="IMAGE")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="world folder to make")
    sub.add_argument("--engine", default="preview", help="preview (default), lyra2 or lyra2-fast")
    sub.add_argument(
        "--depth", type=Path, metavar="FILE", help="depth of the image: .npz, .exr or 16-bit .png"
    )
    sub.add_argument(
        "--depth-model", default="auto", metavar="NAME", help="auto (default), builtin or depth-anything-v2"
    )
    sub.add_argument(
        "--allow-download", action="store_true", help="let the depth model's weights be downloaded"
    )
    add_path(sub)
    sub.add_argument(
        "--size", type=parse_size, metavar="WxH", help="frame size; by default 832x480 or 480x832"
    )
    sub.add_argument("--name", help="name of the world; by default the image's")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("extend", run_extend, "Go on from a world's newest frame along another path.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    add_path(sub)
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command(
        "resume", run_resume, "Go on with a run that was stopped, at its frames or at its splats and mesh."
    )
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("revert", run_revert, "Remove chunks from the end of a world.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--chunks", type=int, required=True, metavar="K", help="how many to keep")

    sub = command("reconstruct", run_reconstruct, "Make splats and mesh of a world again.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--no-mesh", action="store_true", help="splats only")
    add_device(sub)

    sub = command("export", run_export, "Pack a world's results into a zip file.")
    sub.add_argument("world", type=Path, metavar="WORLD")
    sub.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    sub.add_argument("--items", nargs="+", metavar="ITEM", help="which files; by default all there are")

    # The service has options, and a --help, of its own.
    command("serve", run_serve, "Run the local service that Blender talks to.", add_help=False)

    command("engines", run_engines, "List the engines and what each needs.")

    sub = command("eval", run_eval, "Measure how good a part is, on scenes with known truth.")
    sub.add_argument("subject", choices=["preview"])
    return parser


def add_path(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trajectory", type=Path, required=True, metavar="FILE", help="camera path (.npz)")
    parser.add_argument("--frames", type=int, metavar="N", help="use the first N poses, N = 1 + 80k")
    parser.add_argument(
        "--pose-scale", type=float, default=1.0, metavar="S", help="multiplies the path's translations"
    )
    texts = parser.add_mutually_exclusive_group()
    texts.add_argument(
        "--prompt", default="", metavar="TEXT", help="what the world shows, for engines that read"
    )
    texts.add_argument("--captions", type=Path, metavar="FILE", help='JSON: {"0": text, "81": text, ...}')
    parser.add_argument("--seed", type=parse_seed, metavar="N", help="by default 0, or the world's")


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


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr; Ctrl-C cancels at the next update instead of tearing the work apart."""
    stopped = False

    def stop(number, frame):
        nonlocal stopped
        stopped = True

    previous = signal.signal(signal.SIGINT, stop)
    bar = tqdm(total=100, bar_format="{desc:<10} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", leave=True)

    def show(stage, fraction, frame):
        bar.set_description_str(stage, refresh=False)
        bar.update(max(100 * fraction - bar.n, 0))

    try:
        yield Progress(show, lambda: stopped)
    finally:
        bar.close()
        signal.signal(signal.SIGINT, previous)


def run_generate(options: argparse.Namespace) -> None:
    from lyra.builder import create_world, extend_world, reconstruct_world
    from lyra.engines import require_device

    require_device(options.device)
    path, captions = load_path(options, frames_before=0)
    with progress_bar() as progress:
        world = create_world(
            options.out,
            options.image,
            engine=options.engine,
            depth=options.depth_model,
            depth_file=options.depth,
            allow_download=options.allow_download,
            name=options.name,
            seed=options.seed or 0,
            lens=path,
            size=options.size,
            device=options.device,
            progress=progress.part(0, 0.05),
        )
        notes = extend_world(
            world,
            path,
            captions=captions,
            pose_scale=options.pose_scale,
            device=options.device,
            progress=progress.part(0.05, 0.5),
        )
        reconstruct_world(
            world, mesh=not options.no_mesh, device=options.device, progress=progress.part(0.5, 1)
        )
    for line in [*world.notes, *notes]:
        note(line)
    tell_results(world)


def load_path(options: argparse.Namespace, frames_before: int) -> tuple[Trajectory, dict[int, str]]:
    """The path and the captions that `add_path` asks for; the path goes on after `frames_before` frames."""
    from lyra.builder import load_captions
    from lyra.geometry.cameras import Trajectory

    path = Trajectory.load(options.trajectory)
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


def run_extend(options: argparse.Namespace) -> None:
    from lyra.builder import extend_world, reconstruct_world
    from lyra.engines import require_device
    from lyra.world import World

    require_device(options.device)
    world = World.open(options.world)
    path, captions = load_path(options, frames_before=world.frames - 1)
    with progress_bar() as progress:
        notes = extend_world(
            world,
            path,
            captions=captions,
            seed=options.seed,
            pose_scale=options.pose_scale,
            device=options.device,
            progress=progress.part(0, 0.5),
        )
        reconstruct_world(
            world, mesh=not options.no_mesh, device=options.device, progress=progress.part(0.5, 1)
        )
    for line in notes:
        note(line)
    tell_results(world)


def run_resume(options: argparse.Namespace) -> None:
    from lyra.builder import reconstruct_world, resume_world
    from lyra.engines import require_device
    from lyra.world import World

    require_device(options.device)
    world = World.open(options.world)
    with progress_bar() as progress:
        # A run that was stopped at its splats has all its frames, and no results yet.
        if not resume_world(world, device=options.device, progress=progress.part(0, 0.5)) and (
            world.reconstructed or not world.chunks
        ):
            raise InvalidInputError(
                f"{options.world} has no unfinished path; `lyra reconstruct {options.world}` makes splats and mesh "
                "again."
            )
        reconstruct_world(
            world, mesh=not options.no_mesh, device=options.device, progress=progress.part(0.5, 1)
        )
    tell_results(world)


def run_revert(options: argparse.Namespace) -> None:
    from lyra.world import World

    world = World.open(options.world)
    world.revert(options.chunks)
    print(f"{world.folder} now has {world.frames} frames.")


def run_reconstruct(options: argparse.Namespace) -> None:
    from lyra.builder import reconstruct_world
    from lyra.engines import require_device
    from lyra.world import World

    require_device(options.device)
    world = World.open(options.world)
    with progress_bar() as progress:
        reconstruct_world(world, mesh=not options.no_mesh, device=options.device, progress=progress)
    tell_results(world)


def run_export(options: argparse.Namespace) -> None:
    from lyra.builder import available_items, export_world
    from lyra.world import World

    world = World.open(options.world)
    with progress_bar() as progress:
        export_world(world, options.items or available_items(world), options.out, progress)
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


def run_eval(options: argparse.Namespace) -> None:
    from lyra.evaluation.preview import evaluate, table
    from lyra.evaluation.scenes import all_scenes

    with progress_bar() as progress:
        rows = evaluate(all_scenes(), progress)
    print(table(rows))


def run_demo(options: argparse.Namespace) -> int:
    script = Path(__file__).resolve().parents[1] / "examples" / "demo.py"
    if not script.is_file():
        raise InvalidInputError(f"{script} is not there: `lyra demo` runs from the source checkout.")
    return subprocess.call([sys.executable, str(script), "--out", str(options.out)])


def note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def tell_results(world) -> None:
    print(f"world        {world.folder.resolve()}")
    for label, path in (
        ("walkthrough", world.walkthrough),
        ("splats", world.results / "splats.ply"),
        ("mesh", world.results / "mesh.glb"),
    ):
        if path.exists():
            print(f"{label:<12} {path.resolve()}")
