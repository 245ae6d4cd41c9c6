"""Arguments that several commands share: camera path, engine options, device; and what is read from them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lyra.cli.terminal import note
from lyra.common.errors import InvalidInputError
from lyra.world.options import OPTIONS, EngineOptions

if TYPE_CHECKING:
    from lyra.geometry.cameras import Trajectory


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
    """The options of the engines, of `lyra.world.options`; what is left out is the engine's to choose."""
    engines = dict.fromkeys(engine for option in OPTIONS.values() for engine in option.defaults)
    group = parser.add_argument_group(f"engines {' and '.join(engines)}")
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


def engine_options(engine_id: str, options: argparse.Namespace) -> EngineOptions:
    """What the user chose of the engine. Raises InvalidInputError for what it does not have."""
    return EngineOptions(**{name: getattr(options, name) for name in OPTIONS}).checked_for(engine_id)


def parse_size(text: str) -> tuple[int, int]:
    """ "832x480" as (height, width)."""
    match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a valid size; use WIDTHxHEIGHT, e.g. 832x480")
    return int(match[2]), int(match[1])


def parse_seed(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**31):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a valid seed; use a whole number from 0 to {2**31 - 1}"
        )
    return int(text)
