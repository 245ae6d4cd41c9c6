"""Small worlds that tests share: made up at once, or of the small scene with its depth."""

import subprocess
import sys
from contextlib import contextmanager

import av
import numpy as np
from PIL import Image

from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory, intrinsics_from_fov
from lyra.geometry.views import View
from lyra.pipeline.create import create_world
from lyra.world.chunks import ChunkFrames
from lyra.world.folder import World
from lyra.world.settings import WorldSettings, new_id

HEIGHT, WIDTH = 64, 96
SCENE_SIZE = (112, 208)


def make_world(folder, name="Test World"):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    depth = np.full((HEIGHT, WIDTH), 3, np.float32)
    depth[:10] = np.inf
    source = folder.parent / "picture.PNG"
    Image.fromarray(image).save(source)
    points = np.zeros(
        5, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    )
    settings = WorldSettings(
        id=new_id(name),
        name=name,
        engine="preview",
        height=HEIGHT,
        width=WIDTH,
        seed=3,
        depth_source="made up",
        license="free",
        created="2026-01-01T00:00:00+00:00",
    )
    return World.create(
        folder, settings, View.at_origin(image, depth, intrinsics_from_fov(1, HEIGHT, WIDTH)), source, points
    )


def seeded(scene, folder, **options):
    """A world of one frame of the small scene, by the pipeline."""
    path = Trajectory.load(scene / "path.npz")
    given = {"depth_file": scene / "depth.npz", "size": SCENE_SIZE, "lens": path, "seed": 5}
    return create_world(folder, scene / "image.png", **given, **options)


def make_chunk(seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (CHUNK_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    depth = rng.uniform(1, 50, (CHUNK_FRAMES, HEIGHT, WIDTH)).astype(np.float16).astype(np.float32)
    depth[:, :4] = np.inf
    return ChunkFrames(frames, depth, {"layer": np.arange(seed + 3)})


def cameras(start=0.0, frames=CHUNK_FRAMES):
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, 2, 3] = start - 0.01 * np.arange(1, frames + 1)
    k = np.tile(intrinsics_from_fov(1, HEIGHT, WIDTH), (frames, 1, 1))
    return Trajectory(w2c, k, HEIGHT, WIDTH)


class QuickEngine:
    """Stands in for an engine: noise at once. A state is the number of chunks."""

    def __init__(self, *_):
        pass

    def announce(self, prompts):
        pass

    def restore(self, view, chunks):
        return len(chunks)

    def extend(self, state, cameras, prompt, seed, progress):
        return make_chunk(seed)

    def close(self):
        pass


@contextmanager
def held_by_another_process(folder):
    """A process that works on the world in `folder`."""
    script = (
        "import sys; from pathlib import Path; from lyra.world.folder import no_other_process\n"
        "with no_other_process(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline().strip() == b"held"
        try:
            yield
        finally:
            other.kill()


def frame_at(file, number):
    """Frame `number` of a video and how many it has, as a player sees them that jumps there."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        container.seek(int(number / stream.average_rate / stream.time_base), stream=stream)
        frames = {round(float(f.time * stream.average_rate)): f for f in container.decode(stream)}
        assert stream.codec_context.color_range == 1 and stream.codec_context.colorspace == 1
        return frames[number].to_ndarray(format="rgb24").astype(float), stream.frames
