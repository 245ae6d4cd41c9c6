"""Beginning of a world: the image is fitted, its depth estimated, the folder of a world of one frame written."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lyra import depth as depth_estimators
from lyra.common.files import require_place
from lyra.common.progress import SILENT, Progress
from lyra.common.shapes import height_width
from lyra.depth.place import settled
from lyra.engines import FREE_LICENSE, engine_info
from lyra.formats.ply_writer import COLORED
from lyra.geometry.cameras import Trajectory
from lyra.geometry.lens import lens_remark, picture_lens
from lyra.geometry.views import View
from lyra.hub.licences import LICENCES
from lyra.media.images import FittedImage, fit, load_image
from lyra.pipeline.shares import DEPTH_END, IMAGE_END
from lyra.world.folder import World, require_new_folder
from lyra.world.settings import WorldSettings, clean_name, new_id, now

MAX_SEED_POINTS = 200_000


@dataclass(frozen=True)
class WorldRequest:
    """What a world is made from.

    `folder` is to be the world and does not exist yet, or is empty. `size` is the frames' (height, width), by default
    that of the image's shape. The lens is that of `intrinsics` (3, 3), in pixels of the upright image, of which
    `intrinsics_hw`, the (height, width) that they are of, must be the size; or that of the first camera of `lens`, for
    an image of any size; without either the depth estimator's. A `depth_file` goes before the model `depth`, one of
    lyra.depth.CHOICES: with `depth_blend` it may leave pixels unknown (NaN), which the model fills in; with
    `depth_values` "inverse" it is a relative map, near is bright, that gets its scale from the model. `depth_scene`
    says which weights Depth Anything V2 takes. `world_id` is by default made from the name, which is by default the
    image's.
    """

    folder: Path
    image: Path
    engine: str = "preview"
    depth: str = "auto"
    depth_file: str | Path | None = None
    depth_blend: bool = False
    depth_scene: depth_estimators.Scene = "auto"
    depth_values: depth_estimators.Values = "metres"
    allow_download: bool = False
    name: str | None = None
    seed: int = 0
    intrinsics: np.ndarray | None = None
    intrinsics_hw: tuple[int, int] | None = None
    lens: Trajectory | None = None
    size: tuple[int, int] | None = None
    world_id: str | None = None


def create_world(
    folder: str | Path,
    image: str | Path,
    *,
    device: str | None = None,
    progress: Progress = SILENT,
    **fields: Any,
) -> World:
    """`begin_world` with the fields of a `WorldRequest` as keywords."""
    return begin_world(WorldRequest(Path(folder), Path(image), **fields), device=device, progress=progress)


def begin_world(request: WorldRequest, *, device: str | None = None, progress: Progress = SILENT) -> World:
    """A world of one frame: the fitted image with its depth. Its folder is whole or not there.

    `device` is "cpu", "cuda" or None for the best there is. Raises LyraError for anything that cannot be used.
    """
    info = engine_info(request.engine, device)
    require_new_folder(request.folder)
    require_place(request.folder)
    progress.update("image", 0.0)
    fitted = fit(load_image(request.image), request.size)
    height, width = height_width(fitted.image)
    known, lens_remarks = _known_intrinsics(request, fitted)
    progress.update("depth", IMAGE_END, fitted.image)
    create = functools.partial(
        depth_estimators.create_estimator,
        request.depth,
        request.depth_file,
        request.allow_download,
        source_hw=fitted.source_hw,
        scene=request.depth_scene,
        blend=request.depth_blend,
        values=request.depth_values,
    )
    estimator = create(device=device)
    estimate = depth_estimators.sanitise(
        depth_estimators.estimate_with_room(estimator, lambda: create(device="cpu"), fitted.image, known)
    )
    estimate, up = settled(fitted.image, estimate, known, measured=request.depth_file is not None)
    progress.update("depth", DEPTH_END)
    guessed = not isinstance(estimator, depth_estimators.DepthFile)
    remarks = (*(depth_estimators.picture_notes(fitted.image) if guessed else ()), *lens_remarks)
    view = View.at_origin(fitted.image, estimate.depth, estimate.intrinsics if known is None else known)
    name = clean_name(request.name or request.image.stem)
    settings = WorldSettings(
        id=request.world_id or new_id(name),
        name=name,
        engine=request.engine,
        height=height,
        width=width,
        seed=request.seed,
        depth_source=estimate.source,
        license=_license_of_outputs(info.license, estimate.notes),
        created=now(),
        notes=[*fitted.notes, f"Depth: {estimate.source}.", *remarks, *estimate.notes],
        up=up.tolist(),
    )
    world = World.create(request.folder, settings, view, request.image, seed_points(view))
    progress.update("done", 1.0)
    return world


def _known_intrinsics(request: WorldRequest, fitted: FittedImage) -> tuple[np.ndarray | None, list[str]]:
    """Intrinsics (3, 3) of the fitted image where the request says them, and remarks on them."""
    lens, remarks = request.lens, []
    if request.intrinsics is not None:
        given = picture_lens(request.intrinsics, fitted.source_hw, request.intrinsics_hw)
        lens = Trajectory(np.eye(4)[None], given[None], *fitted.source_hw)
        remarks = [remark] if (remark := lens_remark(given, "the given lens")) else []
    return None if lens is None else lens.fitted(*height_width(fitted.image)).intrinsics[0], remarks


def _license_of_outputs(of_engine: str, depth_notes: Sequence[str]) -> str:
    """What may be done with a world: what its engine says, and the notices of the weights its depth comes from."""
    notices = [entry.notice for entry in LICENCES.values() if entry.notice and entry.notice in depth_notes]
    if not notices:
        return of_engine
    said = [] if of_engine == FREE_LICENSE else [of_engine]
    return " ".join([*said, *(notice for notice in notices if notice not in of_engine)])


def seed_points(view: View) -> np.ndarray:
    """Coloured points of a view as a structured array (x y z float32, red green blue uint8); no sky."""
    ys, xs = np.nonzero(np.isfinite(view.depth))
    step = -(-len(xs) // MAX_SEED_POINTS) if len(xs) else 1
    ys, xs = ys[::step], xs[::step]
    z = view.depth[ys, xs]
    points = np.empty(len(z), COLORED)
    points["x"] = (xs + 0.5 - view.intrinsics[0, 2]) / view.intrinsics[0, 0] * z
    points["y"] = (ys + 0.5 - view.intrinsics[1, 2]) / view.intrinsics[1, 1] * z
    points["z"] = z
    for channel, colour in enumerate(("red", "green", "blue")):
        points[colour] = view.image[ys, xs, channel]
    return points
