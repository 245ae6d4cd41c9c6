"""Export of a world: its results and cameras, in metres, packed into a zip file with their licence."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import inside, is_link, open_inside, require_space, whole_file
from lyra.common.progress import SILENT, Progress
from lyra.pipeline.metres import copy_open_in_metres
from lyra.world.files import RESULTS
from lyra.world.folder import WALKTHROUGH, World

CAMERAS = "trajectory.npz"
EXPORT_ITEMS = ("splats.ply", "mesh.glb", "mesh.ply", WALKTHROUGH, CAMERAS)
LICENSE_FILE = "license.txt"


def available_items(world: World) -> list[str]:
    """Which of EXPORT_ITEMS this world has. A link in the place of one counts; `export_world` names it."""
    places = {item: world.folder / _place(item) for item in EXPORT_ITEMS if item != CAMERAS}
    return [
        item for item in EXPORT_ITEMS if item == CAMERAS or places[item].exists() or is_link(places[item])
    ]


def _place(item: str) -> str:
    """Where an item lies in a world's folder."""
    return WALKTHROUGH if item == WALKTHROUGH else f"{RESULTS}/{item}"


def export_world(
    world: World,
    items: Sequence[str],
    target: str | Path,
    progress: Progress = SILENT,
    *,
    f_rest: bool = False,
) -> Path:
    """Packs `items` (of EXPORT_ITEMS) of a world into the zip file `target`, which is whole or not there.

    Splats, meshes and cameras are in metres there: the world's scale is applied. With `f_rest` splats have all 62
    properties of the 3DGS layout. What may be done with them stands in
    LICENSE_FILE beside them. Raises InvalidInputError for what is not there, or lies elsewhere behind a link.
    """
    unknown = [item for item in items if item not in EXPORT_ITEMS]
    if unknown or not items:
        raise InvalidInputError(
            f"Unknown export item {unknown[0]!r}; choose from {', '.join(EXPORT_ITEMS)}."
            if unknown
            else f"No export item is named; choose from {', '.join(EXPORT_ITEMS)}."
        )
    files = [item for item in dict.fromkeys(items) if item != CAMERAS]
    missing = [item for item in files if not inside(world.folder, _place(item)).exists()]
    if missing:
        raise InvalidInputError(
            f"World {world.id} has no {', '.join(missing)} yet; extend or reconstruct it first, "
            "or leave them out."
        )
    target = Path(target)
    if target.is_dir():
        raise InvalidInputError(f"{target} is a folder; name a file in it, such as {target / 'world.zip'}.")
    if target == world.packed:
        inside(world.folder, RESULTS).mkdir(exist_ok=True)
    with contextlib.ExitStack() as opened:
        # All at once: what is replaced meanwhile is packed as it was.
        sources = {item: open_inside(world.folder, _place(item)) for item in files}
        for source, _ in sources.values():
            opened.enter_context(source)
        require_space(target.parent, sum(size for _, size in sources.values()))
        with whole_file(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(LICENSE_FILE, world.settings.license + "\n")
            for done, item in enumerate(dict.fromkeys(items)):
                progress.update("export", done / len(items))
                with archive.open(item, "w", force_zip64=True) as sink:
                    if item == CAMERAS:
                        world.trajectory().scaled(world.settings.scale).save(sink)
                    else:
                        path = world.folder / _place(item)
                        copy_open_in_metres(sources[item][0], path, sink, world.settings.scale, f_rest=f_rest)
    progress.update("done", 1.0)
    return target
