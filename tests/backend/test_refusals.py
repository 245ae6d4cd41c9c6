"""Files that the system refuses are told as such, and cost neither a worker nor a preview its job."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from backend.api.app import create_app
from backend.catalog import WorldCatalog
from backend.config import Config
from backend.jobs.book import JobBook
from backend.jobs.store import JobStore
from backend.service import Backend
from backend.worker.main import Reporter, run_task
from tests.worlds import cameras, make_world


class Messages:
    """What a worker sends."""

    def __init__(self):
        self.sent = []

    def send(self, **message) -> None:
        self.sent.append(message)

    def is_cancelled(self, job_id: str) -> bool:
        return False


def refuse(path, *_, **__):
    raise PermissionError(errno.EACCES, "Access is denied", str(path))


def run(folder, runner) -> list[dict]:
    channel = Messages()
    job = {"id": "1", "kind": "extend", "request": {}, "resumed": False}
    message = {"job": job, "folder": str(folder), "world_folder": str(folder)}
    run_task(channel, message, {"extend": runner}, "cpu")
    return channel.sent


def test_a_file_that_is_refused_fails_the_job_and_not_the_worker(tmp_path, capsys):
    (last,) = run(tmp_path, lambda task: refuse(tmp_path / "walkthrough.mp4"))
    assert last["type"] == "failed"
    assert "walkthrough.mp4 cannot be used: Access is denied" in last["error"]
    assert last["error"].endswith("then resume the job to go on.")
    assert "Traceback" in capsys.readouterr().err


def test_what_is_no_file_still_ends_the_worker(tmp_path):
    def broken(task):
        raise ConnectionResetError("by the peer")

    with pytest.raises(ConnectionResetError):
        run(tmp_path, broken)


def test_a_preview_that_is_being_sent_is_replaced_by_the_next(tmp_path, monkeypatch):
    channel = Messages()
    reporter = Reporter(channel, "1", tmp_path)
    frame = np.zeros((64, 64, 3), np.uint8)
    with monkeypatch.context() as held:
        held.setattr(Path, "replace", refuse)
        reporter("frames", 0.1, frame)
    reporter("frames", 0.2, frame)
    assert [message["preview"] for message in channel.sent] == [False, True]
    assert (tmp_path / "preview.jpg").exists()


@pytest.fixture
def client(tmp_path):
    """Of a service without workers that has the world some-world."""
    config = Config(tmp_path, tmp_path / "state.json", tmp_path / "log")
    (config.private_folder / "jobs").mkdir(parents=True)
    make_world(tmp_path / "some-world")
    book = JobBook(config, JobStore(config.private_folder / "jobs.sqlite3"))
    yield TestClient(create_app(Backend(config, book, WorldCatalog(config), None, None)))
    book.close()


def test_a_world_that_a_program_has_open_is_not_deleted_and_says_so(client, monkeypatch):
    with monkeypatch.context() as held:
        held.setattr(Path, "rename", refuse)
        answer = client.delete("/v1/worlds/some-world")
    assert answer.status_code == 409
    assert "some-world cannot be used: Access is denied" in answer.json()["detail"]
    assert client.get("/v1/worlds/some-world").status_code == 200
    assert client.delete("/v1/worlds/some-world").status_code == 204


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("world.json", '"notes": []', '"notes": [1]'),
        ("world.json", '"scale": 1.0', '"scale": 1' + 400 * "0"),
        ("world.json", '"scale": 1.0', '"scale": NaN'),
        ("world.json", '"scale": 1.0', '"scale": 0'),
        ("world.json", "Test World", "\\ud800"),
        ("world.json", "{", "[" * 100_000),
        ("chunks/0001/chunk.json", '"seed": 0', '"seed": Infinity'),
        ("chunks/0001/chunk.json", '""', '"\\ud800"'),
    ],
)
def test_a_damaged_world_does_not_take_the_others_from_the_list(client, tmp_path, file, old, new):
    shutil.copytree(tmp_path / "some-world", tmp_path / "worse-world")
    chunk = tmp_path / "worse-world" / "chunks" / "0001"
    chunk.mkdir()
    cameras().save(chunk / "trajectory.npz")
    (chunk / "chunk.json").write_text('{"prompt": "", "seed": 0, "seconds": 1.0}')
    path = tmp_path / "worse-world" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    states = [(world["state"], world["error"]) for world in client.get("/v1/worlds").json()]
    assert [state for state, _ in states] == ["ready", "damaged"]
    assert client.get("/v1/worlds/worse-world").json()["detail"] == states[1][1]


def test_a_file_whose_name_is_no_unicode_is_left_out(client, tmp_path):
    try:
        (tmp_path / "some-world" / "from a camera \udcff.txt").write_text("")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    files = client.get("/v1/worlds/some-world").json()["files"]
    assert "world.json" in [file["path"] for file in files]
    assert not any("camera" in file["path"] for file in files)
