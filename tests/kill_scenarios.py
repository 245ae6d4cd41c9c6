"""Work on a world folder that may be killed, with what is there before and what is done after."""

import shutil
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from backend.leftovers import remove_leftovers
from backend.worker import runners
from backend.worker.task import Task
from lyra.common.progress import SILENT
from lyra.engines.base import ChunkFrames
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory, intrinsics_from_fov
from lyra.geometry.gaussians import GaussianCloud
from lyra.geometry.meshes import Mesh
from lyra.media import video
from lyra.pipeline import extend as extending
from lyra.pipeline.create import create_world
from lyra.pipeline.export import available_items, export_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.world.folder import World
from lyra.world.takes import clean, list_takes

SIDE = 64


class Scenario(ABC):
    """`prepare` makes what is there before, `work` is what is killed, `again` what a user or the service does next.

    `check` looks at what a killed `work` left; `again` must lead to what an undisturbed `work` leads to.
    """

    def prepare(self, folder: Path) -> None:
        new_world(folder)

    @abstractmethod
    def work(self, folder: Path) -> None: ...

    def again(self, folder: Path) -> None:
        self.work(folder)

    def check(self, folder: Path) -> None:
        world = World.open(folder / "world")
        world.views()
        if world.load_figures() is not None:
            assert (world.results / "splats.ply").exists()


class Create(Scenario):
    def prepare(self, folder: Path) -> None:
        inputs(folder)

    def work(self, folder: Path) -> None:
        create_world(
            folder / "world", folder / "picture.png", depth_file=folder / "depth.npz", size=(SIDE, SIDE)
        )

    def again(self, folder: Path) -> None:
        if not (folder / "world").exists():
            self.work(folder)
        with World.open(folder / "world").exclusive():
            pass

    def check(self, folder: Path) -> None:
        if (folder / "world").exists():
            super().check(folder)


class Seed(Create):
    """The service's way: in the job's folder, then moved."""

    def prepare(self, folder: Path) -> None:
        job = folder / "job"
        for name in ("image", "depth"):
            (job / name).mkdir(parents=True)
        inputs(job)
        (job / "picture.png").rename(job / "image" / "picture.png")
        (job / "depth.npz").rename(job / "depth" / "depth.npz")

    def work(self, folder: Path) -> None:
        request = {
            **{
                "image": "image/picture.png",
                "depth_file": "depth/depth.npz",
                "engine": "preview",
                "depth": "auto",
            },
            **{"allow_download": False, "name": "World", "seed": 0, "intrinsics": None, "size": [SIDE, SIDE]},
        }
        runners.seed(Task(request, folder / "job", folder / "world", "cpu", "a-job", SILENT, print))

    def again(self, folder: Path) -> None:
        remove_leftovers(folder / "world", folder / "job")
        self.work(folder)
        with World.open(folder / "world").exclusive():
            pass


class Extend(Scenario):
    def work(self, folder: Path) -> None:
        extend(World.open(folder / "world"))

    def again(self, folder: Path) -> None:
        world = World.open(folder / "world")
        with mock.patch.object(extending, "create_engine", FakeEngine):
            extending.resume_world(world)
        if world.frames == 1:
            extend(world)
        with world.exclusive():
            assert world.frames == 1 + CHUNK_FRAMES and world.load_plan() is None
        assert np.array_equal(world.chunks[0].load_frames()[7], frames(0)[7])


class Reconstruct(Scenario):
    def prepare(self, folder: Path) -> None:
        extended(folder, 1)
        (folder / "world" / "results" / "notes.txt").write_text("the user's own")

    def work(self, folder: Path) -> None:
        reconstruct(World.open(folder / "world"))

    def check(self, folder: Path) -> None:
        super().check(folder)
        assert (folder / "world" / "results" / "notes.txt").read_text() == "the user's own"


class ReconstructAgain(Reconstruct):
    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        reconstruct(World.open(folder / "world"))


class Revert(ReconstructAgain):
    def prepare(self, folder: Path) -> None:
        extended(folder, 2)
        (folder / "world" / "results" / "notes.txt").write_text("the user's own")
        reconstruct(World.open(folder / "world"))

    def work(self, folder: Path) -> None:
        World.open(folder / "world").revert(1)

    def check(self, folder: Path) -> None:
        super().check(folder)
        world = World.open(folder / "world")
        assert world.frames == 161 or not (world.walkthrough.exists() and world.reconstructed)
        assert list(world.tree.chunks) == [1, 2]


class Takes(ReconstructAgain):
    """Two takes of the second chunk, 2 and 3, each with results; 3 is shown."""

    ids = (1, 2, 3)

    def prepare(self, folder: Path) -> None:
        extended(folder, 2)
        world = World.open(folder / "world")
        (world.results / "notes.txt").write_text("the user's own")
        reconstruct(world, 2)
        world.switch(1)
        extend(world)
        reconstruct(world, 3)
        for take in (2, 3):
            world.switch(take)
            shutil.copy(world.results / "splats.ply", folder / f"{take}.ply")

    def check(self, folder: Path) -> None:
        super().check(folder)
        world = World.open(folder / "world")
        assert set(self.ids) <= set(world.tree.chunks) and not world.tree.strays
        if world.load_figures() is not None:
            frames, owner = world.load_figures()["frames"], world.results_owner()
            assert frames == 161 and owner in (2, 3)
            assert (world.results / "splats.ply").read_bytes() == (folder / f"{owner}.ply").read_bytes()
        if world.walkthrough.exists() and world.load_plan() is None:
            assert video.frame_count(world.walkthrough) == world.frames


class Switch(Takes):
    def work(self, folder: Path) -> None:
        World.open(folder / "world").switch(2)

    def again(self, folder: Path) -> None:
        self.work(folder)
        world = World.open(folder / "world")
        assert world.reconstructed and world.walkthrough.exists()
        assert [take.id for take in list_takes(world) if take.results] == [2, 3]


class SwitchUnfinished(Switch):
    """The take that is left has a path that was stopped."""

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        with (
            mock.patch.object(FakeEngine, "extend", side_effect=InterruptedError),
            suppress(InterruptedError),
        ):
            extend(World.open(folder / "world"))
        assert World.open(folder / "world").load_plan().parent == 3

    def again(self, folder: Path) -> None:
        super().again(folder)
        assert [take.id for take in list_takes(World.open(folder / "world")) if take.unfinished] == [3]


class ExtendFrom(Takes):
    def work(self, folder: Path) -> None:
        world = World.open(folder / "world")
        world.switch(2)
        extend(world)

    def again(self, folder: Path) -> None:
        world = World.open(folder / "world")
        with mock.patch.object(extending, "create_engine", FakeEngine):
            extending.resume_world(world)
        if len(world.tree.chunks) == 3:
            self.work(folder)
        world = World.open(folder / "world")
        with world.exclusive():
            assert [chunk.id for chunk in world.chunks] == [1, 2, 4] and world.load_plan() is None


class Clean(Takes):
    ids = (1, 3)

    def work(self, folder: Path) -> None:
        clean(World.open(folder / "world"))

    def check(self, folder: Path) -> None:
        super().check(folder)
        assert World.open(folder / "world").head == 3 and World.open(folder / "world").reconstructed


class Rescale(ReconstructAgain):
    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        world = World.open(folder / "world")
        export_world(world, ["splats.ply"], world.packed)

    def work(self, folder: Path) -> None:
        World.open(folder / "world").rescale(2.0)

    def again(self, folder: Path) -> None:
        self.work(folder)
        with World.open(folder / "world").exclusive():
            pass

    def check(self, folder: Path) -> None:
        super().check(folder)
        world = World.open(folder / "world")
        assert world.settings.scale == 1.0 or not world.packed.exists()


class Export(ReconstructAgain):
    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        (folder / "out").mkdir()

    def work(self, folder: Path) -> None:
        world = World.open(folder / "world")
        export_world(world, available_items(world), folder / "out" / "world.zip")
        with world.exclusive():
            export_world(world, ["splats.ply", "trajectory.npz"], world.packed)


SCENARIOS = {
    kind.__name__.lower(): kind()
    for kind in (
        *(Create, Seed, Extend, Reconstruct, ReconstructAgain, Revert, Rescale, Export),
        *(Switch, SwitchUnfinished, ExtendFrom, Clean),
    )
}


class FakeEngine:
    """Grey frames at once."""

    def __init__(self, *_):
        pass

    def announce(self, prompts):
        pass

    def close(self):
        pass

    def restore(self, view, chunks):
        return len(chunks)

    def extend(self, state, cameras, prompt, seed, progress):
        depth = np.full((CHUNK_FRAMES, SIDE, SIDE), 2, np.float32)
        return ChunkFrames(frames(state), depth, {"layer": np.arange(3)})


def frames(number: int) -> np.ndarray:
    shades = np.arange(CHUNK_FRAMES, dtype=np.uint8)[:, None, None, None] + np.uint8(80 * number)
    return np.broadcast_to(shades, (CHUNK_FRAMES, SIDE, SIDE, 3))


def inputs(folder: Path) -> None:
    Image.fromarray(frames(0)[5]).save(folder / "picture.png")
    np.savez(folder / "depth.npz", depth=np.full((SIDE, SIDE), 2, np.float32))


def new_world(folder: Path) -> World:
    inputs(folder)
    Create().work(folder)
    return World.open(folder / "world")


def extend(world: World) -> None:
    w2c = np.tile(np.eye(4), (1 + CHUNK_FRAMES, 1, 1))
    path = Trajectory(w2c, np.tile(intrinsics_from_fov(1, SIDE, SIDE), (len(w2c), 1, 1)), SIDE, SIDE)
    with mock.patch.object(extending, "create_engine", FakeEngine):
        extending.extend_world(world, path)


def extended(folder: Path, chunks: int) -> None:
    world = new_world(folder)
    for _ in range(chunks):
        extend(world)


def reconstruct(world: World, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    shapes = ((9, 3), (9, 3), (9, 4), 9, (9, 4, 3))
    cloud = GaussianCloud(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))
    corners = np.array([[0, 0, 3], [1, 0, 3], [0, 1, 3]], np.float32)
    mesh = Mesh(corners, np.array([[0, 1, 2]], np.int32), np.zeros((3, 3), np.uint8))
    with (
        mock.patch("lyra.splats.reconstruct_splats", lambda *_, **__: cloud),
        mock.patch("lyra.splats.psnr_along_path", lambda *_, **__: 30.0),
        mock.patch("lyra.mesh.fuse", lambda *_, **__: mesh),
    ):
        reconstruct_world(world)
