"""Extension of a world: paths that are prepared once, runs that are stopped and resumed, notes for the user."""

import shutil

import numpy as np
import pytest

from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import Progress
from lyra.geometry.cameras import Trajectory
from lyra.pipeline import extend
from lyra.pipeline.extend import PreparedPath, check_path, extend_world, prepare_path, resume_world
from lyra.world.folder import World
from tests.worlds import QuickEngine, cameras, make_chunk, make_world, seeded


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr("lyra.pipeline.extend.create_engine", QuickEngine)
    return make_world(tmp_path / "world")


def fast(frames=81):
    """A path of 30 units a chunk, in a world of which the median depth is 3: a remark is due."""
    return cameras(frames=frames).scaled(37.5)


def test_a_prepared_path_is_followed_as_it_is_and_its_notes_come_back(world, monkeypatch):
    prepared = prepare_path(world, fast())
    assert isinstance(prepared, PreparedPath)
    assert [*prepared] == [prepared.trajectory, prepared.notes]
    assert any("--pose-scale" in note for note in prepared.notes)
    with monkeypatch.context() as patch:
        patch.setattr(extend, "prepare_path", pytest.fail)
        assert extend_world(world, prepared) == prepared.notes
    added = world.chunks[0].load_trajectory()
    assert (added.w2c == prepared.trajectory.w2c[1:]).all()


def test_a_trajectory_is_prepared_on_the_way(world, tmp_path):
    told = prepare_path(world, fast()).notes
    assert extend_world(world, fast()) == told != []
    other = make_world(tmp_path / "other")
    extend_world(other, prepare_path(other, fast()))
    for mine, its in zip(world.chunks, other.chunks, strict=True):
        assert (mine.load_trajectory().w2c == its.load_trajectory().w2c).all()


def test_a_path_that_was_prepared_for_an_earlier_state_is_refused(world):
    prepared = prepare_path(world, cameras(frames=81))
    World.open(world.folder).add_chunk(cameras(), make_chunk(1), "", 0, 0.0)
    with pytest.raises(InvalidInputError, match="has 81 frames now; prepare it again"):
        extend_world(world, prepared)
    assert world.load_plan() is None
    extend_world(world, prepare_path(world, prepared.trajectory))
    assert world.frames == 161


def test_a_path_of_another_size_is_refused(world):
    path = cameras(frames=81)
    other = prepare_path(world, path).trajectory.fitted(32, 48)
    with pytest.raises(InvalidInputError, match="prepare it again"):
        extend_world(world, PreparedPath(other, []))


@pytest.mark.parametrize(
    ("path", "scale", "says"),
    [(cameras(frames=100), 1.0, "100 frames"), (cameras(frames=81), 1e9, "smaller pose scale")],
)
def test_what_preparing_refuses_is_refused_before(world, path, scale, says):
    for check in (check_path, prepare_path):
        with pytest.raises(InvalidInputError, match=says):
            check(world, path, scale)


def test_the_plan_and_the_chunks_name_the_job_also_when_another_resumes(world):
    stopped = Progress(cancelled=lambda: len(World.open(world.folder).chunks) == 1)
    with pytest.raises(CancelledError):
        extend_world(world, cameras(frames=161), job="a-job", progress=stopped)
    assert World.open(world.folder).load_plan().job == "a-job"
    assert resume_world(World.open(world.folder)) == []
    extend_world(world, cameras(frames=81))
    assert [chunk.job for chunk in World.open(world.folder).chunks] == ["a-job", "a-job", None]


def test_a_world_has_every_frame_and_says_how_it_was_made(finished):
    world = World.open(finished.folder)
    assert world.frames == 161
    assert [chunk.prompt for chunk in world.chunks] == ["a wall", "a yard"]
    assert [chunk.seed for chunk in world.chunks] == [5, 6]
    assert world.walkthrough.exists()
    assert any("depth.npz" in note for note in world.notes)
    assert world.load_plan() is None
    for view in world.views():
        assert (view.depth > 0).all()
        assert view.image.std() > 10


def test_a_cancelled_run_keeps_whole_chunks_and_resumes_to_the_same_frames(small_scene, finished, tmp_path):
    world = seeded(small_scene, tmp_path / "world")
    cancelled = Progress(cancelled=lambda: len(World.open(world.folder).chunks) == 1)
    with pytest.raises(CancelledError):
        extend_world(
            world,
            Trajectory.load(small_scene / "path.npz"),
            captions={0: "a wall", 81: "a yard"},
            progress=cancelled,
        )
    again = World.open(world.folder)
    assert again.frames == 81
    seen = []
    assert resume_world(again, progress=Progress(lambda stage, fraction, frame: seen.append(fraction))) == []
    assert seen[0] == 0.475
    assert seen == sorted(seen)
    assert resume_world(again) is None
    for mine, whole in zip(again.chunks, finished.chunks, strict=True):
        np.testing.assert_array_equal(mine.load_frames(), whole.load_frames())
        np.testing.assert_array_equal(mine.load_depth(), whole.load_depth())
        assert (mine.prompt, mine.seed) == (whole.prompt, whole.seed)


def test_reverted_and_extended_again_gives_the_same_frames(small_scene, finished, tmp_path):
    world = seeded(small_scene, tmp_path / "world")
    path = Trajectory.load(small_scene / "path.npz")
    extend_world(world, path)
    world.revert(1)
    extend_world(world, path[80:])
    np.testing.assert_array_equal(world.chunks[1].load_frames(), finished.chunks[1].load_frames())


def test_a_path_that_starts_elsewhere_is_moved_and_that_is_said(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz")
    moved, notes = prepare_path(finished, path)
    np.testing.assert_allclose(moved.w2c[0], finished.last_w2c)
    assert "was moved there" in notes[0]
    again, notes = prepare_path(finished, moved)
    np.testing.assert_array_equal(again.w2c, moved.w2c)
    assert notes == []


@pytest.mark.parametrize(
    ("chunks", "total", "says"), [(99, 8081, "at most 81 frames"), (100, 8161, "Revert this world")]
)
def test_no_path_makes_a_world_too_long(chunks, total, says, small_scene, finished, monkeypatch):
    world = World.open(finished.folder)
    monkeypatch.setattr(world, "chunks", world.chunks[-1:] * chunks)
    with pytest.raises(InvalidInputError, match=f"{total} frames.*8001.*{says}"):
        prepare_path(world, Trajectory.load(small_scene / "path.npz"))


def test_another_lens_is_said(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz").rebased(finished.last_w2c)
    zoomed = Trajectory(path.w2c, path.intrinsics * [[[1.5], [1.5], [1]]], path.height, path.width)
    _, notes = prepare_path(finished, zoomed)
    assert "factor of 1.5" in notes[0]


def test_a_path_in_another_unit_than_the_world_is_said_once(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz")
    depth = finished.chunks[-1].load_depth()[-1]
    np.testing.assert_array_equal(finished.chunks[-1].load_last_depth(), depth)
    long, told = prepare_path(finished, path, pose_scale=100)
    (said,) = [note for note in told if "--pose-scale" in note]
    assert "median depth of" in said
    assert said in prepare_path(finished, long)[1]
    _, told = prepare_path(finished, path, pose_scale=1e-4)
    assert any("less than a pixel" in note for note in told)
    with pytest.raises(InvalidInputError, match="smaller pose scale"):
        prepare_path(finished, path, pose_scale=1e7)


def test_a_world_made_before_lenses_were_checked_still_opens(finished, tmp_path):
    world = World.open(shutil.copytree(finished.folder, tmp_path / "world"))
    file = world.chunks[0].folder / "trajectory.npz"
    path = Trajectory.load(file)
    Trajectory(path.w2c, path.intrinsics / [[208], [112], [1]], path.height, path.width).save(file)
    with pytest.raises(InvalidInputError, match="look normalised"):
        Trajectory.load(file)
    assert len(World.open(world.folder).trajectory()) == 161
