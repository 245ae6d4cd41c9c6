"""Shares of progress: in order, and the same on the command line and in the service."""

from backend.worker import runners
from backend.worker.task import TRAJECTORY_FILE, Task
from lyra.cli.main import main
from lyra.common.progress import SILENT
from lyra.pipeline import shares
from lyra.world.folder import World
from tests.worlds import QuickEngine, cameras, make_world


def test_steps_follow_each_other():
    for ends in (
        (shares.IMAGE_END, shares.DEPTH_END),
        (shares.WORLD_END, shares.FRAMES_END),
        (shares.SPLATS_END, shares.CHECK_END, shares.MESH_END),
        (shares.CHUNKS_END,),
        (shares.CHUNK_FRAMES_END,),
        (shares.DOWNLOAD_END,),
    ):
        assert list(ends) == sorted({0.0, *ends, 1.0})[1:-1]


def test_command_line_and_service_give_frames_and_results_the_same_shares(tmp_path, monkeypatch):
    seen = []

    def reconstruct_world(world, *, mesh, device, progress):
        seen.append((progress.start, progress.end, mesh))
        return {"notes": []}

    monkeypatch.setattr("lyra.pipeline.extend.create_engine", QuickEngine)
    monkeypatch.setattr("lyra.pipeline.reconstruct.reconstruct_world", reconstruct_world)
    monkeypatch.setattr(runners, "reconstruct_world", reconstruct_world)
    world = make_world(tmp_path / "world")
    path = tmp_path / TRAJECTORY_FILE
    cameras(frames=81).save(path)
    assert main(["extend", str(world.folder), "--trajectory", str(path)]) == 0
    request = {
        "reconstruct": True,
        "mesh": True,
        "pose_scale": 1.0,
        "captions": None,
        "prompt": "",
        "seed": None,
    }
    runners.extend(Task(request, tmp_path, world.folder, "cpu", "a-job", SILENT, lambda notes: None))
    assert World.open(world.folder).frames == 161
    assert seen == [(shares.FRAMES_END, 1.0, True)] * 2
