"""End-to-end demo on the example scene, in a headless Blender: `make demo` or `lyra demo`.

Builds the extension's zip, installs it into a separate Blender, starts the service, loads the example image, creates a
camera path on a curve, generates, imports, renders and saves.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "courtyard"
EXTENSION = "bl_ext.user_default.lyra_worlds"
RENDER_SIZE = (832, 480)
PATIENCE = 3600.0
RESULTS = ("world.blend", "splats.ply", "mesh.glb", "walkthrough.mp4", "render.png", "world")


class DemoError(RuntimeError):
    """A step of the demo failed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    parser.add_argument("--size", metavar="WxH", help="size of the world's pictures (832x480)")
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    foreign = sorted({path.name for path in out.iterdir()} - set(RESULTS))
    if foreign:
        print(
            f"lyra: {out} holds {foreign[0]}, which is not the demo's; choose another folder.",
            file=sys.stderr,
        )
        return 2
    # The world of an earlier run; the other results are replaced one by one.
    shutil.rmtree(out / "world", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="lyra-demo-") as scratch:
        bar = tqdm(total=100, bar_format="{desc:<24} {percentage:3.0f}%|{bar}| {elapsed}")
        try:
            run(out, Path(scratch), options.size, bar)
        except DemoError as error:
            bar.close()
            print(f"lyra: {error}", file=sys.stderr)
            return 1
        bar.close()
    for name in RESULTS:
        print(out / name)
    return 0


def run(out: Path, scratch: Path, size: str | None, bar: tqdm) -> None:
    advance(bar, "building the extension", 1)
    log = scratch / "build.log"
    with log.open("wb") as sink:
        code = subprocess.call(
            [sys.executable, str(ROOT / "build_addon.py"), "--out", str(scratch)], stdout=sink, stderr=sink
        )
    if code:
        raise DemoError(
            f"build_addon.py failed: {log.read_text('utf-8', 'replace').strip().splitlines()[-1]}"
        )
    package = next(path for path in scratch.glob("lyra_worlds-*.zip") if "thin" not in path.name)

    advance(bar, "opening Blender", 3)
    # Before bpy is imported, so that the demo's Blender does not touch the user's preferences.
    os.environ["BLENDER_USER_RESOURCES"] = str(scratch / "blender")
    with quiet():
        import bpy

        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.ops.extensions.package_install_files(
            repo="user_default", filepath=str(package), enable_on_install=True
        )
    session, worlds = (sys.modules[f"{EXTENSION}.{name}"] for name in ("service.session", "scene.worlds"))
    preferences = bpy.context.preferences.addons[EXTENSION].preferences
    preferences.source = "PYTHON"
    preferences.service_python = sys.executable
    bpy.context.preferences.filepaths.save_version = 0
    preferences.worlds_folder = str(scratch / "worlds")
    try:
        make_world(bpy, session, worlds, bar, size)
        finish(bpy, worlds, out, bar)
    finally:
        session.current.close()
    world = next((scratch / "worlds").glob("*/world.json")).parent
    shutil.copytree(world, out / "world")
    for name in ("splats.ply", "mesh.glb"):
        shutil.copy(world / "results" / name, out / name)
    advance(bar, "done", 100)


def make_world(bpy, session, worlds, bar: tqdm, size: str | None) -> None:
    """Start World, Add Camera Path, Generate: the panel's buttons in this order."""
    settings = bpy.context.scene.lyra
    settings.image = str(EXAMPLE / "image.png")
    settings.depth_file = str(EXAMPLE / "depth.npz")
    settings.name = "Courtyard"
    if size:
        settings.size = "CUSTOM"
        settings.width, settings.height = (int(side) for side in size.split("x"))
    advance(bar, "starting the backend", 5)
    with quiet():
        bpy.ops.lyra.start_world()
    wait(session, bar, "seed", 5, 10, lambda: bpy.ops.lyra.add_path.poll())
    with quiet():
        bpy.ops.lyra.add_path(preset="WALK", set_scene_range=True)
        bpy.ops.lyra.generate()
    empty = settings.world
    wait(session, bar, "extend", 10, 80, lambda: worlds.part(empty, worlds.CAMERA) is not None)


def finish(bpy, worlds, out: Path, bar: tqdm) -> None:
    """Renders the splats from the middle of the path with Cycles and saves the .blend next to its media."""
    advance(bar, "rendering", 82)
    scene = bpy.context.scene
    scene.frame_set((scene.frame_start + scene.frame_end) // 2)
    scene.camera = worlds.part(scene.lyra.world, worlds.CAMERA)
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = 16
    # Splats have the colours of the frames, which a film look would change.
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = RENDER_SIZE
    scene.render.filepath = str(out / "render.png")
    with quiet():
        bpy.ops.render.render(write_still=True)
    advance(bar, "saving", 96)
    clips = list(bpy.data.movieclips)
    for clip in clips:
        shutil.copy(bpy.path.abspath(clip.filepath), out / "walkthrough.mp4")
    with quiet():
        bpy.ops.wm.save_as_mainfile(filepath=str(out / "world.blend"))
        for clip in clips:
            clip.filepath = "//walkthrough.mp4"
        bpy.ops.file.pack_all()
        bpy.ops.wm.save_mainfile()


def wait(session, bar: tqdm, kind: str, start: float, end: float, ready: Callable[[], bool]) -> None:
    """Runs Blender's timers until `ready`, and shows the progress of the job of this kind."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        session.current.tick()
        for job in session.current.jobs.values():
            if job.state in ("failed", "interrupted", "cancelled"):
                raise DemoError(f"The service reports: {job.error or job.state}")
            if job.kind == kind:
                advance(bar, job.stage or job.state, start + (end - start) * job.progress)
        if session.current.phase.name == "OFF" and session.current.message:
            raise DemoError(session.current.message)
        if time.monotonic() > deadline:
            raise DemoError(
                f"No result within {PATIENCE:.0f} s; the service reports: {session.current.message}"
            )
        time.sleep(0.02)


def advance(bar: tqdm, text: str, percent: float) -> None:
    bar.set_description_str(text, refresh=False)
    bar.update(max(percent - bar.n, 0))
    bar.refresh()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Blender's output, so that it does not mix with the progress bar and the printed paths."""
    sys.stdout.flush()
    saved = os.dup(1)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
        try:
            yield
        finally:
            # Output buffered by Python and C code must be discarded as well.
            sys.stdout.flush()
            ctypes.CDLL(None if os.name == "posix" else "ucrtbase").fflush(None)
            os.dup2(saved, 1)
            os.close(saved)


def leave(code: int) -> None:
    """Exits the process at once: Blender 4.5's own teardown sometimes waits for a thread that never ends."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
