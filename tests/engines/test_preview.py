"""The preview engine: quality on scenes with ground truth, consistency, and unusual paths."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lyra.common.errors import CancelledError
from lyra.common.progress import SILENT, Progress
from lyra.engines.preview import PreviewEngine
from lyra.engines.preview.ground import find_ground_plane
from lyra.engines.preview.sharpen import sharpened
from lyra.evaluation.preview import psnr
from lyra.evaluation.scenes import hall, path, street
from lyra.geometry.cameras import Trajectory
from lyra.geometry.views import View
from lyra.world.chunks import ChunkFrames

SIZE = (96, 160)
FRAMES = 8


@pytest.fixture(scope="module")
def scene():
    return street(SIZE)


@pytest.fixture(scope="module")
def view(scene) -> View:
    return scene.first


def cameras(view: View, start, end, frames: int = FRAMES) -> Trajectory:
    """`frames` cameras from motion `start` (left out) to `end`: x, y, z, yaw, pitch."""
    shares = np.arange(1, frames + 1) / frames
    motions = [(1 - s) * np.array(start, float) + s * np.array(end, float) for s in shares]
    return path(motions, view.intrinsics, view.depth.shape)


def run(view: View, *paths: Trajectory, seed: int = 0) -> list[ChunkFrames]:
    engine = PreviewEngine()
    state = engine.begin(view)
    return [engine.extend(state, part, "", seed, SILENT) for part in paths]


@dataclass
class StoredChunk:
    chunk: ChunkFrames
    trajectory: Trajectory
    folder = Path("chunks", "0001")

    def load_state(self):
        return self.chunk.state

    def load_trajectory(self):
        return self.trajectory


REST = (0, 0, 0, 0, 0)
ASIDE = (-1.5, -0.4, 0.5, 6, 0)


def test_shapes_types_and_rounding(view):
    (chunk,) = run(view, cameras(view, REST, ASIDE))
    assert chunk.frames.shape == (FRAMES, *SIZE, 3) and chunk.frames.dtype == np.uint8
    assert chunk.depth.shape == (FRAMES, *SIZE) and chunk.depth.dtype == np.float32
    assert (chunk.depth > 0).all()
    assert np.isinf(chunk.depth).any()
    np.testing.assert_array_equal(chunk.depth, chunk.depth.astype(np.float16))


def test_standing_still_gives_the_source_picture(view):
    (chunk,) = run(view, cameras(view, REST, REST, 2))
    assert psnr(chunk.frames[-1], view.image) > 45


def test_there_and_back_ends_where_it_began_and_fills_stay(view):
    there, back = cameras(view, REST, ASIDE), cameras(view, ASIDE, REST)
    first, second = run(view, there, back)
    assert psnr(second.frames[-1], view.image) > 38
    for number in range(FRAMES - 1):
        assert psnr(first.frames[number], second.frames[FRAMES - 2 - number]) > 38


def test_equal_input_gives_equal_output_and_the_seed_varies_it(view):
    track = cameras(view, REST, ASIDE, 3)
    (first,), (again,), (other,) = (run(view, track, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.depth, again.depth)
    assert (first.frames != other.frames).any()


def test_a_restored_world_goes_on_as_if_never_interrupted(view):
    tracks = [cameras(view, REST, ASIDE, 4), cameras(view, ASIDE, (-2.5, 0, -1, -30, 5), 4)]
    first, second = run(view, *tracks, seed=5)
    engine = PreviewEngine()
    state = engine.restore(view, [StoredChunk(first, tracks[0])])
    resumed = engine.extend(state, tracks[1], "", 5, SILENT)
    np.testing.assert_array_equal(resumed.frames, second.frames)
    np.testing.assert_array_equal(resumed.depth, second.depth)
    for name, array in second.state.items():
        np.testing.assert_array_equal(resumed.state[name], array)


@pytest.mark.parametrize(
    "end",
    [(0, 0, 0, 180, 0), (0, 0, 30, 0, 0), (0, 0, -12, 0, 0), (8, -6, 10, -90, 20), (0, 4, 2, 0, 60)],
    ids=["turns round", "flies through walls", "backs away", "flies over roofs", "dives into the ground"],
)
def test_wild_paths_leave_no_pixel_unfilled(view, end):
    (chunk,) = run(view, cameras(view, REST, end))
    assert (chunk.depth > np.finfo(np.float16).tiny).all()
    # Black marks hole pixels.
    assert (chunk.frames.max(-1) == 0).mean() < 1e-3


@pytest.mark.parametrize("depth", [np.inf, 2.0])
def test_a_world_of_one_depth(view, depth):
    flat = View.at_origin(view.image, np.full(SIZE, depth, np.float32), view.intrinsics)
    (chunk,) = run(flat, cameras(flat, REST, (0.2, 0, -0.5, 40, 0), 3))
    assert (chunk.depth > 0).all()


def test_zoom_follows_the_lens(view):
    track = cameras(view, REST, REST, 2)
    lens = track.intrinsics.copy()
    lens[:, [0, 1], [0, 1]] *= 2
    (chunk,) = run(view, Trajectory(track.w2c, lens, *SIZE))
    centre = chunk.frames[-1][::2, ::2][: SIZE[0] // 2, : SIZE[1] // 2].astype(float)
    wanted = view.image[24:72, 40:120].astype(float)
    assert np.abs(centre - wanted).mean() < 6


def test_cancel_stops_and_progress_grows(view):
    told = []
    progress = Progress(listener=lambda stage, fraction, frame: told.append((stage, fraction, frame is None)))
    engine = PreviewEngine()
    engine.extend(engine.begin(view), cameras(view, REST, ASIDE, 3), "", 0, progress)
    fractions = [fraction for _, fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert {stage for stage, _, _ in told} == {"frames"}
    assert not any(bare for *_, bare in told)
    with pytest.raises(CancelledError):
        engine.extend(
            engine.begin(view),
            cameras(view, REST, ASIDE, 3),
            "",
            0,
            Progress(cancelled=lambda: len(told) > 0),
        )


def test_the_ground_is_found(view):
    ground = find_ground_plane(view)
    assert abs(ground.height - 1.6) < 0.05
    assert ground.normal[1] > 0.999
    assert (
        find_ground_plane(View.at_origin(view.image, np.full(SIZE, np.inf, np.float32), view.intrinsics))
        is None
    )


def test_blurred_edges_become_crisp_and_crisp_ones_stay():
    depth = np.full((60, 400), 20.0, np.float32)
    depth[:, 100:200] = 4
    np.testing.assert_array_equal(sharpened(depth), depth)
    ramp = depth.copy()
    ramp[:, 98:102] = 1 / np.linspace(1 / 20, 1 / 4, 6)[1:-1]
    crisp = sharpened(ramp)
    assert set(np.unique(crisp)) == {4, 20}
    rows = np.arange(60) + 0.5
    plane = (300 / np.maximum(rows, 3))[:, None].repeat(400, 1).astype(np.float32)
    np.testing.assert_array_equal(sharpened(plane), plane)


def test_hall_quality_at_small_size():
    scene = hall(SIZE)
    track = scene.trajectory[slice(10, 81, 10)]
    (chunk,) = run(scene.first, track)
    for number in (3, 7):
        image, _ = scene.view(track.w2c[number])
        assert psnr(chunk.frames[number], image) > 22
