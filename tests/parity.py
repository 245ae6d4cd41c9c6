"""Holds the project against golden tensors: `python -m tests.parity FOLDER`.

A folder has a `meta.json`, which names the seed and the cases, and a file per golden. A line per golden says the
largest deviation and the tolerance, and whether that passes; goldens without code are named. Exits with 1 if one fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lyra.geometry.projection import unproject
from lyra.geometry.rays import camera_rays
from lyra.geometry.reliability import reliable_depth_mask
from lyra.geometry.warp import SplatSettings, forward_warp
from lyra.memory import GeometryCache, GreedyCoverage, MemorySettings
from tests import parity_encoders, parity_loop, parity_network
from tests.parity_base import Deviation, Folder, largest_deviation

GRID_STRIDE = 4
CACHED_FRAME_STRIDE = 8
RAY_CAMERA_STRIDE = 2


def check_warp(folder: Folder) -> Deviation:
    inputs, golden = folder.geometry_inputs(), folder.arrays("warp")
    n = len(inputs["target_w2c"])
    warped = forward_warp(
        inputs["image"][:n].permute(0, 2, 3, 1)[:, None],
        inputs["depth"][:n, None],
        inputs["w2c"][:n, None],
        inputs["K"][:n, None],
        inputs["target_w2c"],
        inputs["target_K"],
        # Published: one maximum for the whole batch.
        settings=SplatSettings(pixel_offset=0.0, batch=n),
    )
    if largest_deviation(warped.mask[:, None], golden["mask"]) > 0:
        return Deviation(np.inf, 1e-4)
    image = largest_deviation(warped.values.permute(0, 3, 1, 2), golden["image"])
    return Deviation(max(image, largest_deviation(warped.depth, golden["depth"])), 1e-4)


def check_reliable_depth_mask(folder: Folder) -> Deviation:
    mask = reliable_depth_mask(folder.geometry_inputs()["depth"])
    return Deviation(largest_deviation(mask[:, None], folder.arrays("reliable_depth_mask")["mask"]), 0.0)


def check_plucker(folder: Folder) -> Deviation:
    inputs = folder.geometry_inputs()
    height, width = inputs["depth"].shape[1:]
    golden = folder.arrays("plucker")["rays"]
    cameras = slice(0, RAY_CAMERA_STRIDE * golden.shape[1], RAY_CAMERA_STRIDE)
    c2w = torch.linalg.inv(inputs["w2c"][cameras])
    rays = camera_rays(c2w, inputs["K"][cameras], height, width, stride=GRID_STRIDE)
    return Deviation(largest_deviation(rays[None], golden), 1e-5)


def check_cache_points(folder: Folder) -> Deviation:
    inputs = folder.geometry_inputs()
    points = unproject(inputs["depth"], inputs["w2c"], inputs["K"], stride=GRID_STRIDE, pixel_offset=0.0)
    cache = _cache(folder)
    cached = np.stack([cache.points_of(frame_id) for frame_id in cache.frame_ids])
    golden = folder.arrays("cache_points")["points"]
    return Deviation(max(largest_deviation(points, golden), largest_deviation(cached, golden)), 1e-4)


def check_retrieval(folder: Folder) -> Deviation:
    """Counts the cases whose frames differ."""
    inputs, cache = folder.geometry_inputs(), _cache(folder)
    golden = json.loads((folder.path / "retrieval.json").read_text())
    wrong = 0
    for case, expected in golden.items():
        views, _, slots = case.rpartition("_n")
        kind, _, target = views.partition("_t")
        # "single_t1_n3": target view 1 with 3 slots; "multi_n5": all target views together.
        chosen = slice(int(target), int(target) + 1) if kind == "single" else slice(None)
        picked = cache.retrieve(
            inputs["target_w2c"][chosen], inputs["target_K"][chosen], int(slots), GreedyCoverage()
        )
        wrong += picked != expected
    return Deviation(float(wrong), 0.0)


def _cache(folder: Folder) -> GeometryCache:
    inputs = folder.geometry_inputs()
    cache = GeometryCache(*inputs["depth"].shape[1:], MemorySettings.published())
    for i, frame in enumerate(zip(inputs["depth"], inputs["w2c"], inputs["K"], strict=True)):
        cache.add(CACHED_FRAME_STRIDE * i, *frame)
    return cache


# Golden file -> its check. Code for another golden adds its line here.
CHECKS: dict[str, Callable[[Folder], Deviation]] = {
    "warp": check_warp,
    "reliable_depth_mask": check_reliable_depth_mask,
    "plucker": check_plucker,
    "cache_points": check_cache_points,
    "retrieval": check_retrieval,
    **parity_network.CHECKS,
    **parity_encoders.CHECKS,
    **parity_loop.CHECKS,
}


def run(path: Path) -> bool:
    """Prints the table of a folder and returns whether everything that has code passes."""
    folder = Folder(path)
    names = folder.names()
    width = max(map(len, names), default=0)
    good = True
    for name in sorted(names, key=lambda name: (name not in CHECKS, name)):
        if name not in CHECKS:
            print(f"{name:<{width}}  no code yet")
            continue
        deviation = CHECKS[name](folder)
        good &= deviation.passes
        verdict = "pass" if deviation.passes else "FAIL"
        print(f"{name:<{width}}  max {deviation.largest:.1e}  tol {deviation.tolerance:.1e}  {verdict}")
    return good


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with meta.json and the goldens")
    folder = parser.parse_args(arguments).folder
    if not (folder / "meta.json").is_file():
        parser.error(f"There is no meta.json in {folder}; give a folder of goldens.")
    return 0 if run(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
