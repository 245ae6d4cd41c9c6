"""Beginning of a world: the image is fitted, its depth estimated, the folder of a world of one frame written."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lyra import depth as depth_estimators
from lyra.common.files import require_place
from lyra.common.progress import SILENT, Progress
from lyra.engines import FREE_LICENSE, engine_info
from lyra.geometry.cameras import Trajectory
from lyra.geometry.lens import lens_remark, picture_lens
from lyra.geometry.views import View
from lyra.hub.licences import LICENCES
from lyra.media.images import fit, load_image
from lyra.world.folder import World, require_new_folder
from lyra.world.settings import WorldSettings, new_id, now

MAX_SEED_POINTS = 200_000


def create_world(
    folder: str | Path,
    image: str | Path,
    *,
    engine: str = "preview",
    depth: str = "auto",
    depth_file: str | Path | None = None,
    depth_blend: bool = False,
    depth_scene: depth_estimators.Scene = "auto",
    depth_values: depth_estimators.Values = "metres",
    allow_download: bool = False,
    name: str | None = None,
    seed: int = 0,
    intrinsics: np.ndarray | None = None,
    intrinsics_hw: tuple[int, int] | None = None,
    lens: Trajectory | None = None,
    size: tuple[int, int] | None = None,
    world_id: str | None = None,
    device: str | None = None,
    progress: Progress = SILENT,
) -> World:
    """A world of one frame: the fitted image with its depth.

    `intrinsics` (3, 3) are those of the given image in its own pixels, upright; `intrinsics_hw`, the (height, width)
    that they are of, must be its own. Alternatively the first camera of `lens` says them for any image size. Without
    either the depth estimator's field of view is used. `size` is (height, width). With `depth_blend` the depth file
    may leave pixels unknown (NaN): the estimator fills them in.
    With `depth_values` "inverse" it is a relative map, near is bright, and gets its scale from the estimator.
    `depth_scene` ("auto", "indoor", "outdoor") says which weights Depth Anything V2 takes.
    The folder is whole or not there. Raises LyraError for anything that cannot be used.
    """
    info = engine_info(engine, device)
    require_new_folder(Path(folder))
    require_place(Path(folder))
    image = Path(image)
    progress.update("image", 0.0)
    fitted = fit(load_image(image), size)
    height, width = fitted.image.shape[:2]
    if intrinsics is not None:
        given = picture_lens(intrinsics, fitted.source_hw, intrinsics_hw)
        lens = Trajectory(np.eye(4)[None], given[None], *fitted.source_hw)
    known = None if lens is None else lens.fitted(height, width).intrinsics[0]
    progress.update("depth", 0.1, fitted.image)
    create = functools.partial(
        depth_estimators.create_estimator,
        depth,
        depth_file,
        allow_download,
        source_hw=fitted.source_hw,
        scene=depth_scene,
        blend=depth_blend,
        values=depth_values,
    )
    estimator = create(device=device)
    estimate = depth_estimators.sanitise(
        depth_estimators.estimate_with_room(estimator, lambda: create(device="cpu"), fitted.image, known)
    )
    progress.update("depth", 0.9)
    guessed = not isinstance(estimator, depth_estimators.DepthFile)
    remarks = depth_estimators.picture_notes(fitted.image) if guessed else ()
    if intrinsics is not None and (remark := lens_remark(given, "the given lens")):
        remarks += (remark,)
    view = View.at_origin(fitted.image, estimate.depth, estimate.intrinsics if known is None else known)
    name = name or image.stem
    settings = WorldSettings(
        id=world_id or new_id(name),
        name=name,
        engine=engine,
        height=height,
        width=width,
        seed=seed,
        depth_source=estimate.source,
        license=_license_of_outputs(info.license, estimate.notes),
        created=now(),
        notes=[*fitted.notes, f"Depth: {estimate.source}.", *remarks, *estimate.notes],
    )
    world = World.create(Path(folder), settings, view, image, seed_points(view))
    progress.update("done", 1.0)
    return world


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
    points = np.empty(
        len(z), [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    )
    points["x"] = (xs + 0.5 - view.intrinsics[0, 2]) / view.intrinsics[0, 0] * z
    points["y"] = (ys + 0.5 - view.intrinsics[1, 2]) / view.intrinsics[1, 1] * z
    points["z"] = z
    for channel, colour in enumerate(("red", "green", "blue")):
        points[colour] = view.image[ys, xs, channel]
    return points
