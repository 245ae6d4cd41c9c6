"""Takes over HTTP: listed, switched, cleaned, extended from; which job can be resumed after that."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from backend.jobs.store import Job
from backend.worker import runners
from lyra.common.errors import CancelledError, InvalidInputError
from lyra.common.progress import Progress
from lyra.world.folder import World
from lyra.world.options import EngineOptions
from lyra.world.takes import list_takes
from tests.backend.service import detail
from tests.backend.test_parts import book_of
from tests.backend.test_runners import EXTENSION, task
from tests.worlds import QuickEngine, cameras, make_chunk, make_world


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A world with two takes of its second chunk; 3 is shown."""
    world = make_world(tmp_path_factory.mktemp("made") / "world")
    world.add_chunk(cameras(), make_chunk(1), "a hall", 11, 1.5)
    world.add_chunk(cameras(-0.8), make_chunk(2), "a yard", 12, 2.5, options=EngineOptions(steps=20))
    world.write_walkthrough()
    (world.results / "splats.ply").write_bytes(b"splats of take 2")
    world.figures.write_text('{"frames": 161, "splats": 9}')
    world.switch(1)
    world.add_chunk(cameras(-0.8), make_chunk(3), "a square", 13, 3.5)
    world.write_walkthrough()
    return world.folder


@pytest.fixture
def served(slow, made):
    """Its address, in a running service."""
    folder = slow.worlds / "with-takes"
    shutil.copytree(made, folder)
    yield f"/v1/worlds/{folder.name}"
    shutil.rmtree(folder)


def test_takes_are_listed_and_switched(slow, served):
    takes = slow.client.get(f"{served}/takes").json()
    assert [(take["id"], take["parent"], take["frames"]) for take in takes] == [
        (0, None, 1),
        (1, 0, 81),
        (2, 1, 161),
        (3, 1, 161),
    ]
    assert [take["id"] for take in takes if take["head"]] == [3]
    assert [take["id"] for take in takes if take["results"]] == [2]
    assert (takes[2]["prompt"], takes[2]["seed"], takes[2]["options"]) == ("a yard", 12, {"steps": 20})
    before = slow.client.get(served).json()
    assert before["head"] == 3 and before["results"] is None
    world = slow.client.post(f"{served}/switch", json={"take": 2}).json()
    assert (world["head"], world["frames"], world["results"]["splats"]) == (2, 161, 9)
    chunk = {"id": 2, "index": 2, "parent": 1, "engine": "preview", "options": {"steps": 20}}
    assert chunk.items() <= world["chunks"][1].items()
    # By the names that every client knows.
    assert slow.client.get(f"{served}/files/results/splats.ply").content == b"splats of take 2"
    assert slow.client.get(f"{served}/files/walkthrough.mp4").status_code == 200
    listed = next(world for world in slow.client.get("/v1/worlds").json() if world["id"] == "with-takes")
    assert listed["head"] == 2
    assert slow.client.post(f"{served}/switch", json={"take": 3}).json()["chunks"] == before["chunks"]
    assert slow.client.get(f"{served}/files/results/splats.ply").status_code == 404


def test_reverting_loses_nothing(slow, served):
    world = slow.client.post(f"{served}/revert", json={"chunks": 0}).json()
    assert (world["head"], world["frames"], world["chunks"]) == (0, 1, [])
    assert len(slow.client.get(f"{served}/takes").json()) == 4


def test_what_the_head_does_without_is_told_and_removed(slow, served):
    slow.client.post(f"{served}/switch", json={"take": 2})
    folder = slow.worlds / "with-takes"
    told = slow.client.post(f"{served}/clean", json={"dry_run": True}).json()
    assert told["chunks"] == [3] and told["takes"] == [3] and told["size"] > 0
    assert (folder / "chunks" / "0003").exists()
    assert slow.client.post(f"{served}/clean", json={}).json() == told
    assert not (folder / "chunks" / "0003").exists() and not (folder / "takes").exists()
    assert [take["id"] for take in slow.client.get(f"{served}/takes").json()] == [0, 1, 2]
    assert slow.client.get(served).json()["results"]["splats"] == 9


def test_what_cannot_be_is_refused(slow, served, slow_world):
    assert "no take 9" in detail(slow.client.post(f"{served}/switch", json={"take": 9}))
    assert "take is -1" in detail(slow.client.post(f"{served}/switch", json={"take": -1}))
    assert "There is no world" in detail(slow.client.get("/v1/worlds/none-at-all/takes"), 404)
    assert "no take 9" in detail(slow.extend("with-takes", from_chunk=9))
    assert slow.client.get(served).json()["head"] == 3
    running = slow.extend("with-takes", prompt="work 30").json()
    for call, body in (("switch", {"take": 2}), ("clean", {})):
        assert running["id"] in detail(slow.client.post(f"{served}/{call}", json=body), 409)
    slow.client.post(f"/v1/jobs/{running['id']}/cancel")
    slow.wait(running["id"])


@pytest.fixture
def branching(made, tmp_path, monkeypatch):
    """A job of two chunks that goes on from chunk 2, which is not shown."""
    monkeypatch.setattr("lyra.pipeline.extend.create_engine", QuickEngine)
    shutil.copytree(made, tmp_path / "world")
    world = World.open(tmp_path / "world")
    job = task(tmp_path / "job", EXTENSION | {"from_chunk": 2, "options": {}}, world.folder)
    cameras(-1.6, frames=161).save(job.folder / "trajectory.npz")
    return world, job


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_job_extends_another_take_and_is_resumed_there(branching, done):
    world, job = branching
    lines = {0: [1, 2], 1: [1, 2, 4], 2: [1, 2, 4, 5]}
    stop = Progress(cancelled=lambda: [chunk.id for chunk in World.open(world.folder).chunks] == lines[done])
    with pytest.raises(CancelledError):
        runners.extend(replace(job, progress=stop))
    for _ in range(2):  # again, as after a kill right before the end
        runners.extend(replace(job, resumed=True))
    opened = World.open(world.folder)
    assert [chunk.id for chunk in opened.chunks] == [1, 2, 4, 5] and opened.load_plan() is None
    # One step of the path on from where chunk 2 ends.
    np.testing.assert_allclose(opened.chunks[2].load_trajectory().w2c[0], cameras(-1.6).w2c[0])
    assert [take.id for take in list_takes(opened)] == [0, 1, 2, 3, 4, 5]


def test_a_job_from_a_chunk_that_is_gone_says_so(branching):
    world, job = branching
    shutil.rmtree(world.folder / "chunks" / "0002")
    with pytest.raises(InvalidInputError, match="no take 2"):
        runners.extend(job)
    assert World.open(world.folder).head == 3


def test_only_the_job_whose_path_is_there_can_be_resumed(tmp_path):
    _, book = book_of(tmp_path)
    for name in ("one", "two"):
        book.submit(Job(name, "a-world", "extend", {}))
        book.begin(book.get(name))
        book.finish(book.get(name), "cancelled", "cancelled")
    book.supersede("a-world")
    assert book.get("one").superseded and book.get("two").superseded
    book.supersede("a-world", goes_on="one")
    assert not book.get("one").superseded and book.get("two").superseded
    assert book.resume("one").state == "queued"
