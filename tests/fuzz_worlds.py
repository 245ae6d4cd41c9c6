"""Readers of world folders and results, with a small whole file each."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backend.api.worlds import resource
from lyra.engines.preview.kept import checked_state
from lyra.engines.preview.layers import Layer, pack
from lyra.formats.mesh_files import save_glb, save_ply
from lyra.formats.splat_ply import read_ply, write_ply
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory, intrinsics_from_fov
from lyra.geometry.meshes import Mesh
from lyra.geometry.views import View
from lyra.media import video
from lyra.pipeline import metres
from lyra.world.captions import load_captions
from lyra.world.chunks import Chunk, ChunkFrames
from lyra.world.folder import World
from lyra.world.options import EngineOptions
from lyra.world.plan import Plan
from lyra.world.settings import WorldSettings
from tests.fuzz_files import SIDE, Reader, picture
from tests.splats.test_rasterize import random_cloud


def path_of(frames: int) -> Trajectory:
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, 0, 3] = -0.01 * np.arange(frames)
    return Trajectory.checked(w2c, np.tile(intrinsics_from_fov(1, SIDE, SIDE), (frames, 1, 1)), SIDE, SIDE)


def layer(count: int) -> Layer:
    colours, disparity = np.zeros((count, 3), np.uint8), np.ones(count, np.float32)
    lens = intrinsics_from_fov(1, SIDE, SIDE)
    return Layer(SIDE, SIDE, np.arange(count, dtype=np.int32), colours, disparity, np.eye(4), lens)


def preview_state() -> dict[str, np.ndarray]:
    return pack([layer(5), layer(9)]) | {
        "witness_frame": np.array([8, 16]),
        "witness_depth": np.ones((2, SIDE, SIDE), np.float16),
        "witness_w2c": np.tile(np.eye(4), (2, 1, 1)),
        "witness_intrinsics": np.tile(intrinsics_from_fov(1, SIDE, SIDE), (2, 1, 1)),
    }


def small_world(folder: Path) -> World:
    """A world of one chunk with a plan and figures."""
    picture().save(folder / "source.png")
    settings = WorldSettings(
        "world-1", "World", "preview", SIDE, SIDE, 0, "a file", "", "2026-01-01T00:00:00+00:00"
    )
    depth = np.linspace(1, 9, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    view = View.at_origin(np.asarray(picture()), depth, intrinsics_from_fov(1, SIDE, SIDE))
    points = np.zeros(
        5, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    )
    world = World.create(folder / "world", settings, view, folder / "source.png", points)
    frames = np.zeros((CHUNK_FRAMES, SIDE, SIDE, 3), np.uint8)
    chunk = ChunkFrames(frames, np.ones((CHUNK_FRAMES, SIDE, SIDE), np.float32), preview_state())
    world.add_chunk(path_of(81)[1:], chunk, "a street", 7, 1.5)
    Plan(path_of(81), 0, {0: "a street"}, 7, EngineOptions()).save(world.folder)
    world.results.mkdir(exist_ok=True)
    world.figures.write_text(json.dumps({"frames": 81, "splats": 5, "psnr": 30.5, "notes": []}))
    return world


def in_world(relative: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return small_world(folder).folder / relative

    return make


def world_of(path: Path) -> World:
    return World.open(next(parent for parent in path.parents if parent.name == "world"))


def chunk_of(path: Path) -> Chunk:
    return Chunk.open(path.parent, (SIDE, SIDE))


def write_path(folder: Path) -> Path:
    path_of(81).save(folder / "path.npz")
    return folder / "path.npz"


def write_captions(folder: Path) -> Path:
    path = folder / "captions.json"
    path.write_text('{"0": "a street at noon", "81": "a square", "161": "a river"}')
    return path


def worlds() -> list[Reader]:
    return [
        Reader("path.npz", write_path, Trajectory.load),
        Reader("captions", write_captions, load_captions),
        Reader("world.json", in_world("world.json"), lambda path: resource(world_of(path))),
        Reader("seed.npz", in_world("seed.npz"), lambda path: world_of(path).seed_view()),
        Reader("seed.png", in_world("seed.png"), lambda path: world_of(path).seed_view()),
        Reader("chunk.json", in_world("chunks/0001/chunk.json"), lambda path: resource(world_of(path))),
        Reader(
            "trajectory.npz of a chunk",
            in_world("chunks/0001/trajectory.npz"),
            lambda path: chunk_of(path).load_trajectory(),
        ),
        Reader(
            "depth.npz of a chunk",
            in_world("chunks/0001/depth.npz"),
            lambda path: chunk_of(path).load_depth(),
        ),
        Reader(
            "state.npz of preview",
            in_world("chunks/0001/state.npz"),
            lambda path: checked_state(chunk_of(path).load_state(), path, (SIDE, SIDE)),
        ),
        Reader("frames.mkv", in_world("chunks/0001/frames.mkv"), lambda path: chunk_of(path).load_frames()),
        Reader("pending.json", in_world("pending.json"), lambda path: world_of(path).load_plan()),
        Reader("pending.npz", in_world("pending.npz"), lambda path: world_of(path).load_plan()),
        Reader("results.json", in_world("results/results.json"), lambda path: resource(world_of(path))),
        Reader("frames.mp4", write_video, lambda path: video.encoded_as(path, 4)),
    ]


def write_video(folder: Path) -> Path:
    video.write_watchable(folder / "in.mp4", [np.asarray(picture())] * 4, SIDE, SIDE)
    return folder / "in.mp4"


# ----------------------------------------------------------------------------------------------------------- results
def mesh() -> Mesh:
    vertices = np.array([[0, 0, 2], [1, 0, 2], [0, 1, 2], [1, 1, 3]], np.float32)
    return Mesh(vertices, np.array([[0, 1, 2], [1, 3, 2]], np.int32), np.full((4, 3), 90, np.uint8))


def results() -> list[Reader]:
    def splats(folder: Path) -> Path:
        write_ply(random_cloud(6, 1, 4), folder / "splats.ply")
        return folder / "splats.ply"

    def text_splats(folder: Path) -> Path:
        from plyfile import PlyData

        ply = PlyData.read(splats(folder), mmap=False)
        ply.text = True
        ply.write(folder / "splats.ply")
        return folder / "splats.ply"

    def glb(folder: Path) -> Path:
        save_glb(mesh(), folder / "mesh.glb")
        return folder / "mesh.glb"

    def ply(folder: Path) -> Path:
        save_ply(mesh(), folder / "mesh.ply")
        return folder / "mesh.ply"

    def in_metres(path: Path) -> None:
        metres.copy_in_metres(path, io.BytesIO(), 2.0)

    return [
        Reader("splats.ply", splats, read_ply),
        Reader("splats.ply as text", text_splats, read_ply),
        Reader(
            "splats.ply in metres",
            splats,
            lambda path: metres.copy_in_metres(path, io.BytesIO(), 2.0, f_rest=True),
        ),
        Reader("mesh.ply in metres", ply, in_metres),
        Reader("mesh.glb in metres", glb, in_metres),
    ]
