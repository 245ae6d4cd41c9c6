"""`lyra models`: which weights there are, what an engine takes, and how to get, convert, check and remove them."""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lyra.common.errors import CancelledError, InvalidInputError

if TYPE_CHECKING:
    from lyra.hub import Weights

EXAMPLES = """\
examples:
  lyra models download depth                 better depth of the picture; 191 MB, for any use
  lyra models plan depth-anything-3          what a depth model takes
  lyra models plan lyra2                     disk, memory and time that the engine takes on this machine
  lyra models licence nvidia-lyra-2.0        read a licence; --accept accepts it
  lyra models download lyra2                 get what the engine needs; goes on where it was stopped
  lyra models convert --dtype bf16           make the network's weights ready, once
  lyra models verify                         check everything that is there
  lyra models remove depth                   delete it from the disk

Weights lie in the folder that --weights or the environment variable LYRA_WEIGHTS names, by default in the user's
cache folder. Repositories that ask for a login take a token from HF_TOKEN; HF_HUB_OFFLINE=1 forbids the network;
--mirror or LYRA_MIRROR names a folder with copies of the repositories.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds `models` with its subcommands; each sets `run`, which takes the parsed options and returns an exit code."""
    text = "List, plan, download, convert, check and remove the weights of engines and depth models."
    models = commands.add_parser(
        "models",
        help=text,
        description=text,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = models.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text)
        sub.set_defaults(run=stoppable(run))
        sub.add_argument("--weights", type=Path, metavar="DIR", help="weights folder")
        return sub

    sub = action(
        "list",
        run_list,
        "List all weights: size, memory while they are used (GPU, or RAM without one; frames of 832x480), licence, "
        "what needs them, and whether they are here.",
    )
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = action(
        "plan",
        run_plan,
        "Say what an engine or a depth model takes on this machine, before anything is fetched.",
    )
    sub.add_argument("name", metavar="NAME", help="lyra2, lyra2-fast, depth, or a depth model")
    sub.add_argument("--device", choices=["cpu", "cuda"], help="by default a GPU where there is one")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = action(
        "download", run_download, "Get the weights of an engine, a depth model, or one item of the list."
    )
    sub.add_argument("name", metavar="NAME", help="engine, depth model, add-on or item of `lyra models list`")
    sub.add_argument("--depth", metavar="NAME", help="depth model to go with an engine")
    sub.add_argument("--mirror", type=Path, metavar="FOLDER", help="copy from here instead of the hub")
    sub.add_argument(
        "--newest",
        action="store_true",
        help="take the newest revision of the repository, not the pinned one",
    )

    sub = action("convert", run_convert, "Convert the downloaded network once, to bf16 or fp8.")
    sub.add_argument("--dtype", choices=["bf16", "fp8"], default="bf16", help="bf16 (default) or fp8")
    sub.add_argument(
        "--source", type=Path, metavar="PATH", help="checkpoint folder or .pth file to read instead"
    )
    sub.add_argument(
        "--delete-checkpoint",
        action="store_true",
        help="delete the downloaded float32 checkpoint (68 GB) afterwards; it is needed for nothing else",
    )

    sub = action("verify", run_verify, "Check weights: sizes, digests, headers, keys and shapes.")
    sub.add_argument("names", nargs="*", metavar="NAME", help="by default all that are here")
    sub.add_argument("--quick", action="store_true", help="leave out the digests, which read every byte")

    sub = action("remove", run_remove, "Delete weights from the weights folder.")
    sub.add_argument(
        "names", nargs="+", metavar="NAME", help="engine, depth model, add-on or item of the list"
    )

    sub = action("licence", run_licence, "Show licences; with --accept, accept those that are named.")
    sub.add_argument("names", nargs="*", metavar="LICENCE", help="by default all")
    sub.add_argument("--accept", action="store_true", help="accept: you have read and agree to them")


def stoppable(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """A command that Ctrl-C stops between two pieces; run again, it goes on from there."""

    @functools.wraps(run)
    def wrapped(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except (CancelledError, KeyboardInterrupt):
            print("lyra: stopped; what is finished is kept, and the same command goes on.", file=sys.stderr)
            return 130

    return wrapped


def run_list(options: argparse.Namespace) -> int:
    from lyra.engines.readiness import network_config
    from lyra.hub import ITEMS, AcceptedLicences, Weights
    from lyra.hub.catalog import CONVERSIONS, used_by
    from lyra.hub.units import bytes_text

    weights, accepted = Weights(options.weights), AcceptedLicences()
    rows: list[dict[str, Any]] = [
        {
            "id": entry.id,
            "label": entry.label,
            "repository": entry.repository,
            "size": weights.size(entry.id),
            "memory": entry.memory,
            "missing": weights.missing_bytes(entry.id),
            "licence": entry.licence,
            "accepted": accepted.accepted(entry.licence),
            "used_by": list(used_by(entry.id)),
        }
        for entry in ITEMS.values()
    ]
    converted = {name: weights.has(name) for name in CONVERSIONS}
    config = network_config(weights)
    if options.json:
        print(json.dumps({"folder": str(weights.root), "items": rows, "converted": converted}, indent=1))
        return 0
    print(f"{weights.root}\n")
    for row in rows:
        state = "here" if not row["missing"] else f"{bytes_text(row['missing'])} to get"
        memory = f"{bytes_text(row['memory']):>8} in memory"
        print(
            f"{row['id']:<32} {bytes_text(row['size']):>8} {memory}  {state:<16} {', '.join(row['used_by'])}"
        )
        mark = "" if row["accepted"] else " (not accepted)"
        print(f"  {row['label']}; {row['repository']}; {row['licence']}{mark}")
    for name, whole in converted.items():
        size = bytes_text(config.bytes_as(name))
        print(f"{name:<32} {size:>8} {size:>8} in memory  {'here' if whole else 'not converted'}")
    return 0


def run_plan(options: argparse.Namespace) -> int:
    from lyra.engines import require_device
    from lyra.engines.planning import plan, plan_depth
    from lyra.hub import DEPTH_MODELS, ENGINES, IMAGE_DEPTH, Weights

    require_device(options.device)
    planned = dict.fromkeys(ENGINES, plan) | dict.fromkeys(DEPTH_MODELS | IMAGE_DEPTH, plan_depth)
    if options.name not in planned:
        raise InvalidInputError(f"There is no plan for {options.name!r}; choose one of {', '.join(planned)}.")
    made = planned[options.name](options.name, options.device, Weights(options.weights))
    print(json.dumps(asdict(made), indent=1) if options.json else "\n".join(made.lines))
    return 0


def run_download(options: argparse.Namespace) -> int:
    from lyra.cli.terminal import progress_bar
    from lyra.engines.readiness import wanted_items
    from lyra.hub import DEPTH_MODELS, ITEMS, Weights, choose_source, download
    from lyra.hub.units import bytes_text

    weights = Weights(options.weights)
    if options.depth is not None and options.depth not in DEPTH_MODELS:
        raise InvalidInputError(
            f"There is no depth model {options.depth!r}; choose one of {', '.join(DEPTH_MODELS)}."
        )
    wanted = (options.name,) if options.name in ITEMS else wanted_items(options.name, weights, options.depth)
    if not wanted:
        print(f"{options.name} is all here, in {weights.root}.")
        return 0
    tell_licences(wanted, weights)
    with progress_bar() as progress:
        fetched = download(
            wanted, weights, choose_source(options.mirror), progress=progress, newest=options.newest
        )
    print(f"{', '.join(wanted)}: {bytes_text(fetched)} fetched into {weights.root}.")
    tell_next(options.name, weights)
    return 0


def tell_licences(items: tuple[str, ...], weights: Weights) -> None:
    """Says what is about to be fetched, and under which licences."""
    from lyra.hub.catalog import item
    from lyra.hub.licences import licence
    from lyra.hub.units import bytes_text

    for entry in map(item, items):
        terms = licence(entry.licence)
        print(f"{entry.label} ({bytes_text(weights.missing_bytes(entry.id))} from {entry.repository})")
        print(f"  {terms.label}: {terms.summary} {terms.where}")


def tell_next(name: str, weights: Weights) -> None:
    """Says that an engine's network still has to be converted."""
    from lyra.hub import ENGINES

    if name in ENGINES and weights.usable_conversion(name) is None:
        print("Next: lyra models convert")


def run_convert(options: argparse.Namespace) -> int:
    from lyra.cli.terminal import progress_bar
    from lyra.hub import Weights
    from lyra.hub.catalog import CHECKPOINT, item, needs
    from lyra.hub.packages import require_packages

    require_packages(needs("lyra2").packages, "lyra2", "Converting the network")
    from lyra.engines.lyra2.conversion import convert

    weights = Weights(options.weights)
    with progress_bar() as progress:
        folder = convert(weights, f"lyra2-{options.dtype}", options.source, progress)
    print(folder)
    if options.delete_checkpoint:
        checkpoint = weights.place(item(CHECKPOINT))
        if checkpoint.exists():
            shutil.rmtree(checkpoint)
            print(f"{checkpoint} was deleted.")
        weights.manifest_file(CHECKPOINT).unlink(missing_ok=True)
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from lyra.cli.terminal import progress_bar
    from lyra.engines.lyra2.verification import verify_weights
    from lyra.hub import Weights
    from lyra.hub.verification import present

    weights = Weights(options.weights)
    chosen = chosen_ids(options.names, weights) if options.names else present(weights)
    if not chosen:
        raise InvalidInputError(
            f"There are no weights in {weights.root}; get some with: lyra models download NAME"
        )
    with progress_bar() as progress:
        findings = verify_weights(weights, chosen, options.quick, progress)
    wrong = {finding.id for finding in findings}
    for name in chosen:
        print(f"{name:<32} {'NOT GOOD' if name in wrong else 'good'}")
    for finding in findings:
        print(f"lyra: {finding.problem}", file=sys.stderr)
    return 2 if findings else 0


def chosen_ids(names: list[str], weights: Weights) -> list[str]:
    """Items and conversions by name; an engine stands for all that it uses."""
    from lyra.hub import ITEMS
    from lyra.hub.catalog import CHECKPOINT, CONVERSIONS, needs

    chosen = []
    for name in names:
        if name in ITEMS or name in CONVERSIONS:
            chosen.append(name)
            continue
        conversion = weights.usable_conversion(name)
        chosen += [item for item in needs(name).items if not (conversion and item == CHECKPOINT)]
        chosen += [conversion] if conversion else []
    return list(dict.fromkeys(chosen))


def run_remove(options: argparse.Namespace) -> int:
    from lyra.hub import DEPTH_MODELS, ENGINES, ITEMS, Weights
    from lyra.hub.catalog import used_by
    from lyra.hub.removal import remove
    from lyra.hub.units import bytes_text

    weights = Weights(options.weights)
    chosen = chosen_ids(options.names, weights)
    freed = remove(chosen, weights)
    print(f"{', '.join(chosen)}: {bytes_text(freed)} removed from {weights.root}.")
    needing = dict.fromkeys(name for i in chosen if i in ITEMS for name in used_by(i))
    others = [name for name in needing if name in (ENGINES | DEPTH_MODELS) and name not in options.names]
    if freed and others:
        print(f"They are missing for {', '.join(others)} as well.")
    return 0


def run_licence(options: argparse.Namespace) -> int:
    from lyra.hub import LICENCES, AcceptedLicences
    from lyra.hub.licences import licence

    if options.accept and not options.names:
        raise InvalidInputError("--accept: name the licence that you accept, such as nvidia-lyra-2.0.")
    accepted = AcceptedLicences()
    for entry in [licence(name) for name in options.names or LICENCES]:
        if options.accept:
            accepted.accept(entry.id)
        state = "needs no acceptance" if not entry.must_accept else "accepted"
        print(f"[{entry.id}: {state if accepted.accepted(entry.id) else 'not accepted'}]\n\n{entry.text}\n")
    return 0
