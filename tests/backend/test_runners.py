"""What the worker does for each kind of job, without the processes around it."""

from backend import runners
from backend.task import Task
from lyra.progress import SILENT
from tests.test_world import make_world


def task(folder, request, world_folder, notes=None, **changes):
    """A job that ran for the first time, with its own folder."""
    folder.mkdir(exist_ok=True)
    tell = (lambda lines: None) if notes is None else notes.extend
    return Task(
        request,
        folder,
        world_folder,
        **{"device": "cpu", "resumed_from": None, **changes},
        progress=SILENT,
        notes=tell,
    )


def test_why_there_is_no_mesh_reaches_the_job(tmp_path, monkeypatch):
    world = make_world(tmp_path / "world")
    monkeypatch.setattr(
        "backend.runners.builder.reconstruct_world", lambda *_, **__: {"notes": ["There is no mesh."]}
    )
    told = []
    runners.reconstruct(task(tmp_path / "job", {"mesh": True}, world.folder, told))
    assert told == ["There is no mesh."]
