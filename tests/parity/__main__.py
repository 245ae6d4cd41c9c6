"""Holds the project against golden tensors: `python -m tests.parity FOLDER`.

A folder has a `meta.json`, which names the seed and the cases, and a file per golden. A line per golden says the
largest deviation and the tolerance, of the array that is worst, and whether all its arrays pass; goldens and arrays
without code are named. Exits with 1 if one fails.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.parity import encoders as parity_encoders
from tests.parity import geometry as parity_geometry
from tests.parity import loop as parity_loop
from tests.parity import network as parity_network
from tests.parity.base import Check, Deviation, Folder, worst

# What a file of other keys, shapes or types than the layout's leads to.
BROKEN = (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile)


def checks_of(folder: Folder) -> dict[str, Check]:
    """Golden file -> its check, for the cases that the folder names."""
    parts = (parity_geometry, parity_network, parity_encoders, parity_loop)
    return {check.golden: check for part in parts for check in part.checks(folder)}


def deviations(check: Check, folder: Folder) -> dict[str, Deviation | None]:
    """As `Check.deviations`; a file that cannot be checked fails as a whole, with the reason on stderr."""
    try:
        return check.deviations(folder)
    except BROKEN:
        # The other goldens still have their say.
        traceback.print_exc()
        return {check.golden: Deviation(np.inf, check.tolerance)}


def run(path: Path, every_array: bool = False) -> bool:
    """Prints the table of a folder and returns whether everything that has code passes."""
    folder = Folder(path)
    names, checks = folder.names(), checks_of(folder)
    width = max(map(len, names), default=0)
    good = True
    for name in sorted(names, key=lambda name: (name not in checks, name)):
        if name not in checks:
            print(f"{name:<{width}}  no code yet", flush=True)
            continue
        found = deviations(checks[name], folder)
        overall = worst(found.values(), checks[name].tolerance)
        good &= overall.passes
        print(f"{name:<{width}}  {_said(overall)}", flush=True)
        for array, deviation in found.items():
            if deviation is None or every_array:
                print(f"{name}.{array}  {_said(deviation)}", flush=True)
    return good


def _said(deviation: Deviation | None) -> str:
    if deviation is None:
        return "no code yet"
    verdict = "pass" if deviation.passes else "FAIL"
    return f"max {deviation.largest:.1e}  tol {deviation.tolerance:.1e}  {verdict}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with meta.json and the goldens")
    parser.add_argument("--arrays", action="store_true", help="also print a line per array")
    options = parser.parse_args(arguments)
    if not (options.folder / "meta.json").is_file():
        parser.error(f"There is no meta.json in {options.folder}; give a folder of goldens.")
    return 0 if run(options.folder, options.arrays) else 1


if __name__ == "__main__":
    # The tensors are so small that threads would only wait for each other: minutes on a busy machine.
    torch.set_num_threads(1)
    sys.exit(main())
