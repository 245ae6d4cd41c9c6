"""What the worker does for each kind of job, without the processes around it."""

import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from backend.api.schemas import NewWorldSettings
from backend.worker import runners
from backend.worker.task import Task
from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.geometry.cameras import Trajectory
from lyra.hub import ITEMS, Weights
from lyra.pipeline.extend import extend_world, prepare_path
from lyra.world.folder import World
from lyra.world.plan import Plan
from tests.worlds import QuickEngine, cameras, make_chunk, make_world


def task(folder, request, world_folder, notes=None, **changes):
    """A job that ran for the first time, with its own folder."""
    folder.mkdir(exist_ok=True)
    tell = (lambda lines: None) if notes is None else notes.extend
    return Task(
        request,
        folder,
        world_folder,
        **{"device": "cpu", "job_id": "a-job", **changes},
        progress=SILENT,
        notes=tell,
    )


def test_what_a_world_was_made_from_is_given_back(small_scene, tmp_path):
    folder, world_folder = tmp_path / "job", tmp_path / "a-world"
    for kind, name in (("image", "image.png"), ("depth", "depth.npz")):
        (folder / kind).mkdir(parents=True)
        shutil.copy(small_scene / name, folder / kind / name)
    request = {
        **NewWorldSettings(name="A world", size=[208, 112]).model_dump(),
        "image": "image/image.png",
        "depth_file": "depth/depth.npz",
    }
    for _ in range(2):  # again, as after a kill right before the end
        runners.seed(task(folder, request, world_folder))
        assert World.open(world_folder).frames == 1
        assert list(folder.iterdir()) == []


def test_what_is_odd_about_a_path_reaches_the_job(tmp_path):
    world = make_world(tmp_path / "world")
    (tmp_path / "job").mkdir()
    lens = np.tile(world.intrinsics, (81, 1, 1))
    w2c = np.tile(np.eye(4), (81, 1, 1))
    w2c[:, 2, 3] = -np.linspace(0, 500, 81)
    Trajectory(w2c, lens, world.height, world.width).save(tmp_path / "job" / "trajectory.npz")
    told = []

    def said(notes):
        told.extend(notes)
        raise CancelledError

    request = {"reconstruct": False, "pose_scale": 1.0, "captions": None, "prompt": "", "seed": None}
    job = replace(task(tmp_path / "job", request, world.folder), notes=said)
    with pytest.raises(CancelledError):
        runners.extend(job)
    assert any("500 units within 80 frames" in note and "--pose-scale" in note for note in told)


def test_why_there_is_no_mesh_reaches_the_job(tmp_path, monkeypatch):
    world = make_world(tmp_path / "world")
    monkeypatch.setattr(
        "backend.worker.runners.reconstruct_world", lambda *_, **__: {"notes": ["There is no mesh."]}
    )
    told = []
    runners.reconstruct(task(tmp_path / "job", {"mesh": True}, world.folder, told))
    assert told == ["There is no mesh."]


def test_a_scale_that_is_set_while_results_are_packed_is_theirs(tmp_path, monkeypatch):
    world = make_world(tmp_path / "world")
    world.add_chunk(cameras(), make_chunk(1), "", 0, 1.0)
    packing = runners.export_world

    def rescaled_meanwhile(*arguments):
        packing(*arguments)
        World.open(world.folder).rescale(4.0)
        packing(*arguments)  # the file of the old scale comes after the new scale was set

    monkeypatch.setattr(runners, "export_world", rescaled_meanwhile)
    request = {"items": ["trajectory.npz"]}
    runners.export(task(tmp_path / "job", request, world.folder))
    with zipfile.ZipFile(world.packed) as archive:
        archive.extract("trajectory.npz", tmp_path)
    moved = world.trajectory().w2c[:, :3, 3]
    assert np.abs(moved).max() > 0
    packed = Trajectory.load(tmp_path / "trajectory.npz")
    np.testing.assert_allclose(packed.w2c[:, :3, 3], 4 * moved, rtol=1e-5)


EXTENSION = {"reconstruct": False, "pose_scale": 1.0, "captions": None, "prompt": "", "seed": None}


@pytest.fixture
def extending(tmp_path, monkeypatch):
    """A job of two chunks for a world of one frame."""
    monkeypatch.setattr("lyra.pipeline.extend.create_engine", QuickEngine)
    world = make_world(tmp_path / "world")
    job = task(tmp_path / "job", EXTENSION, world.folder)
    cameras(frames=161).save(job.folder / "trajectory.npz")
    return world, job


def stopped_after(job, chunks):
    """Runs the job until the world has so many chunks."""
    cancelled = Progress(cancelled=lambda: len(World.open(job.world_folder).chunks) == chunks)
    with pytest.raises(CancelledError):
        runners.extend(replace(job, progress=cancelled))
    return replace(job, resumed=True)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_job_goes_on_from_the_world_folder_alone(extending, done):
    world, job = extending
    job = stopped_after(job, done)
    for _ in range(2):  # again, as after a kill right before the end
        runners.extend(job)
        now = World.open(world.folder)
        assert now.load_plan() is None
        assert [chunk.job for chunk in now.chunks] == [job.job_id] * 2


def test_a_job_leaves_the_chunks_of_others_and_goes_on_behind_them(extending):
    world, job = extending
    extend_world(world, cameras(frames=81))
    runners.extend(replace(job, resumed=True))
    assert [chunk.job for chunk in World.open(world.folder).chunks] == [None, job.job_id, job.job_id]


def test_the_plan_of_another_is_not_taken_for_the_jobs_own(extending):
    world, job = extending
    path = prepare_path(world, cameras(frames=81)).trajectory
    for other in (None, "another-job"):
        world.save_plan(Plan(path, 0, {0: "of another"}, 9, job=other))
        runners.extend(replace(job, resumed=other is not None))
        assert [chunk.prompt for chunk in World.open(world.folder).chunks] == ["", ""]
        world.revert(0)


def test_a_plan_of_an_older_version_is_gone_on_with(extending):
    world, job = extending
    job = stopped_after(job, 1)
    plan = json.loads((world.folder / "pending.json").read_text())
    assert plan.pop("job") == job.job_id
    (world.folder / "pending.json").write_text(json.dumps(plan))
    runners.extend(job)
    assert World.open(world.folder).frames == 161


def test_a_world_that_was_changed_from_outside_is_not_gone_on_with(extending):
    world, job = extending
    runners.extend(job)
    World.open(world.folder).revert(1)
    with pytest.raises(InvalidInputError, match=r"has 1 of the 2 chunks of this job.*Generate again"):
        runners.extend(replace(job, resumed=True))


def test_the_networks_of_depth_are_fetched(tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="needs the extra lyra-worlds[test]")
    from tests.depth.onnx_networks import write_depth_anything, write_moge

    mirror = Weights(tmp_path / "mirror")
    write_moge(mirror.repository(ITEMS["moge-2-small-onnx"].repository))
    write_depth_anything(mirror.repository(ITEMS["depth-anything-v2-small-onnx"].repository))
    monkeypatch.setenv("LYRA_MIRROR", str(mirror.root))
    monkeypatch.setenv("LYRA_WEIGHTS", str(tmp_path / "weights"))
    runners.download(task(tmp_path / "job", {"engine": "depth"}, tmp_path / "none"))
    assert not Weights().missing("depth")
