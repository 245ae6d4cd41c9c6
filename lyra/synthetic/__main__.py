"""A contact sheet of random worlds: `python -m lyra.synthetic sheet.png --count 24 --kinds street hall`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.synthetic import KINDS, Samples, generate


def sheet(samples: Samples, columns: int) -> np.ndarray:
    """Images above their depth (near bright, sky black), (rows H, columns W, 3) uint8."""
    cells = []
    for image, depth in zip(samples.images, samples.depth, strict=True):
        solid = np.isfinite(depth)
        log = np.log(np.where(solid, depth, 1))
        near, far = np.percentile(log[solid], [1, 99]) if solid.any() else (0.0, 1.0)
        bright = 255 - 215 * ((log - near) / max(far - near, 1e-3)).clip(0, 1)
        shown = np.where(solid, bright, 0).astype(np.uint8)
        cells.append(np.concatenate([image, np.repeat(shown[..., None], 3, 2)]))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate(cells[k : k + columns], 1) for k in range(0, len(cells), columns)]
    return np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lyra.synthetic", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--size", default="160x96", metavar="WxH")
    parser.add_argument("--kinds", nargs="*", help=", ".join(KINDS))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        width, height = (int(n) for n in options.size.split("x"))
    except ValueError:
        parser.error(f"{options.size!r} is not a valid size; use WIDTHxHEIGHT, e.g. 160x96.")
    started = time.process_time()
    try:
        samples = generate(options.seed, options.count, height, width, options.kinds, options.device)
    except InvalidInputError as error:
        parser.error(str(error))
    rate = options.count / (time.process_time() - started)
    Image.fromarray(sheet(samples, options.columns)).save(options.out)
    print(f"{options.out}: {', '.join(samples.kinds)}; {rate:.1f} pictures per second of CPU time")


if __name__ == "__main__":
    main()
