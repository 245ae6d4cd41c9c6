"""Checks of what depth and cameras alone decide: warp, masks, rays, world points, retrieval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from lyra.geometry.rays import camera_rays
from lyra.geometry.reliability import reliable_depth_mask
from lyra.geometry.warp import WarpSettings
from lyra.memory import GeometryCache, GreedyCoverage, MemorySettings
from tests.geometry.warping import forward_warp, remembered_points
from tests.parity.base import Check, Folder

GRID_STRIDE = 4
CACHED_FRAME_STRIDE = 8
RAY_CAMERA_STRIDE = 2

Golden = Mapping[str, np.ndarray]


def warped(folder: Folder, golden: Golden) -> dict:
    """The first sources, one into each target."""
    inputs = folder.geometry_inputs()
    n = len(golden["mask"])
    views = forward_warp(
        inputs["image"][:n].permute(0, 2, 3, 1)[:, None],
        inputs["depth"][:n, None],
        inputs["w2c"][:n, None],
        inputs["K"][:n, None],
        inputs["target_w2c"][:n],
        inputs["target_K"][:n],
        # Published: one maximum for the whole batch.
        settings=WarpSettings(pixel_offset=0.0, batch=n),
    )
    return {"image": views.values.permute(0, 3, 1, 2), "mask": views.mask[:, None], "depth": views.depth}


def reliable(folder: Folder, golden: Golden) -> dict:
    return {"mask": reliable_depth_mask(folder.geometry_inputs()["depth"])[:, None]}


def rays(folder: Folder, golden: Golden) -> dict:
    inputs = folder.geometry_inputs()
    height, width = inputs["depth"].shape[1:]
    cameras = slice(0, RAY_CAMERA_STRIDE * golden["rays"].shape[1], RAY_CAMERA_STRIDE)
    c2w = torch.linalg.inv(inputs["w2c"][cameras])
    return {"rays": camera_rays(c2w, inputs["K"][cameras], height, width, stride=GRID_STRIDE)[None]}


def cached_points(folder: Folder, golden: Golden) -> dict:
    cache = _cache(folder)
    return {"points": remembered_points(cache).reshape(len(cache), *cache.grid_hw, 3)}


def retrieved(folder: Folder, golden: Golden) -> dict:
    """Frames of every case: "single_t1_n3" is for target view 1 with 3 slots, "multi_n5" for all together."""
    inputs, cache = folder.geometry_inputs(), _cache(folder)
    picked = {}
    for case in golden:
        views, _, slots = case.rpartition("_n")
        kind, _, target = views.partition("_t")
        chosen = slice(int(target), int(target) + 1) if kind == "single" else slice(None)
        picked[case] = cache.retrieve(
            inputs["target_w2c"][chosen], inputs["target_K"][chosen], int(slots), GreedyCoverage()
        )
    return picked


def _cache(folder: Folder) -> GeometryCache:
    inputs = folder.geometry_inputs()
    cache = GeometryCache(*inputs["depth"].shape[1:], MemorySettings.published())
    for i, frame in enumerate(zip(inputs["depth"], inputs["w2c"], inputs["K"], strict=True)):
        cache.add(CACHED_FRAME_STRIDE * i, *frame)
    return cache


def checks(folder: Folder) -> list[Check]:
    return [
        Check("warp", warped, 1e-4, {"mask": 0.0}),
        Check("reliable_depth_mask", reliable, 0.0),
        Check("plucker", rays, 1e-5),
        Check("cache_points", cached_points, 1e-4),
        Check("retrieval", retrieved, 0.0),
    ]
