"""Reconstruction of a world: Gaussian splats and a mesh of its frames, with their figures."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.files import inside, retry_while_locked, scratch_folder
from lyra.common.progress import SILENT, Progress
from lyra.geometry.views import View, evenly_spaced
from lyra.pipeline.around import views_around
from lyra.pipeline.shares import CHECK_END, MESH_END, SPLATS_END
from lyra.world.files import RESULTS
from lyra.world.folder import World

# Share of the splats' progress in which the views around the path are made.
AROUND_SHARE = 0.2
# Share of a frame that is not sky, from which what lies around the path belongs to the mesh.
LEAST_SURFACE = 0.01
# Frames that the splats are compared with.
CHECKED_VIEWS = 10


def reconstruct_world(
    world: World, *, mesh: bool = True, device: str | None = None, progress: Progress = SILENT
) -> dict:
    """Writes results/splats.ply and, with `mesh`, results/mesh.glb and mesh.ply; returns the figures.

    A world with too little surface for a mesh, such as nothing but sky, gets splats alone, and the figures' `notes`
    say why. Raises InUseError while another process works on the world.
    """
    with world.exclusive():
        return _reconstruct(world, mesh, device or "cpu", progress)


def _reconstruct(world: World, mesh: bool, device: str, progress: Progress) -> dict:
    from lyra.formats.mesh_files import save_glb, save_ply
    from lyra.formats.splat_ply import write_ply
    from lyra.mesh import NoSurfaceError, fuse
    from lyra.splats import psnr_along_path, reconstruct_splats

    started = time.monotonic()
    views = world.views()
    notes: list[str] = []
    around: list[View] = []
    try:
        around = views_around(world, device, progress.part(0, AROUND_SHARE * SPLATS_END))
    except InvalidInputError as error:
        # The frames are there all the same, and so are their splats.
        notes.append(f"Nothing was added beside the path. {error}")
    cloud = reconstruct_splats(
        views, progress.part(AROUND_SHARE * SPLATS_END, SPLATS_END), device=device, notes=notes, around=around
    )
    checked = [views[i] for i in evenly_spaced(len(views), CHECKED_VIEWS)]
    quality = psnr_along_path(cloud, checked, progress.part(SPLATS_END, CHECK_END), device=device)
    results: dict[str, Any] = {
        "frames": world.frames,
        "splats": len(cloud),
        "psnr": round(float(quality), 2),
        "faces": 0,
        "notes": notes,
    }
    # Beside what is there, so that a full disk takes nothing away; an old mesh never stands beside new splats.
    inside(world.folder, RESULTS).mkdir(exist_ok=True)
    with scratch_folder(world.results) as new:
        write_ply(cloud, new / "splats.ply")
        if mesh:
            # The ground around a world of nothing but sky is made up, and no surface of it.
            solid = max(np.isfinite(view.depth).mean() for view in checked)
            shown = around if solid >= LEAST_SURFACE else ()
            try:
                surface = fuse(views, progress.part(CHECK_END, MESH_END), device=device, around=shown)
            except NoSurfaceError as error:
                notes.append(f"There is no mesh. {error}")
            else:
                save_glb(surface, new / "mesh.glb")
                save_ply(surface, new / "mesh.ply")
                results["faces"] = len(surface.faces)
        results["seconds"] = round(time.monotonic() - started, 1)
        figures = new / world.figures.name
        figures.write_text(json.dumps(results, indent=2), "utf-8")
        world.clear_results()
        # The figures last: a run that is stopped before is seen as unfinished.
        for file in (*(file for file in new.iterdir() if file != figures), figures):
            retry_while_locked(file.rename, world.results / file.name)
    progress.update("done", 1.0)
    return results
