"""Paths prepared once, and what a plan and its chunks say about the job that they are for."""

import pytest

from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import Progress
from lyra.pipeline import extend
from lyra.pipeline.extend import PreparedPath, check_path, extend_world, prepare_path, resume_world
from lyra.world.folder import World
from tests.worlds import QuickEngine, cameras, make_chunk, make_world


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
