"""Worlds over HTTP: making, listing, files, deleting."""

import json
import shutil

import numpy as np
import pytest

from backend.api.worlds import WorldList
from backend.catalog import WorldCatalog
from backend.config import Config
from backend.leftovers import remove_leftovers
from tests.backend.service import detail, picture
from tests.worlds import held_by_another_process, make_world


def test_a_world_is_seeding_and_then_ready(slow):
    made = slow.post_world({"name": "A Quiet Yard!", "seed": 7}).json()
    world, job = made["world"], made["job"]
    assert world["id"].startswith("a-quiet-yard-")
    assert (world["state"], world["frames"], world["intrinsics"]) == ("seeding", 0, None)
    assert (world["width"], world["height"], world["seed"]) == (208, 112, 7)
    assert (job["kind"], job["world_id"]) == ("seed", world["id"])
    listed = {w["id"]: w["state"] for w in slow.client.get("/v1/worlds").json()}
    assert listed[world["id"]] in ("seeding", "ready")
    assert slow.wait(job["id"])["state"] == "done"
    ready = slow.client.get(f"/v1/worlds/{world['id']}").json()
    assert (ready["state"], ready["frames"], ready["chunks"]) == ("ready", 1, [])
    assert ready["id"] == world["id"]
    assert ready["folder"] == str(slow.worlds / world["id"])
    assert np.array(ready["intrinsics"]).shape == (3, 3)
    assert np.array_equal(ready["last_w2c"], np.eye(4))
    assert {"source.png", "seed.png", "seed.npz", "seed_points.ply", "world.json"} == {
        file["path"] for file in ready["files"]
    }


def test_a_world_is_named_after_its_picture_and_sized_by_its_orientation(slow):
    answer = slow.post_world({"size": None}, image=picture(100, 200)).json()
    assert answer["world"]["name"] == "a_picture"
    assert (answer["world"]["width"], answer["world"]["height"]) == (480, 832)
    slow.wait(answer["job"]["id"])


def test_files_come_whole_and_in_ranges(slow, slow_world):
    url = f"/v1/worlds/{slow_world['id']}/files/seed.png"
    whole = slow.client.get(url)
    assert whole.content == (slow.worlds / slow_world["id"] / "seed.png").read_bytes()
    assert whole.headers["accept-ranges"] == "bytes"
    size = len(whole.content)
    part = slow.client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{size}"
    tail = slow.client.get(url, headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.content) == (206, whole.content[-5:])
    beyond = slow.client.get(url, headers={"Range": f"bytes={size}-"})
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert str(size) in detail(beyond, 416)
    detail(slow.client.get(url, headers={"Range": f"bytes={'9' * 5000}-"}), 416)


@pytest.mark.parametrize(
    "path",
    ["../backend.json", "..%2F..%2Fbackend.json", "%2Fetc%2Fpasswd", "chunks", "nothing.png", "./seed.png",
     "chunks/../seed.png", "link.png", "folder/passwd", "seed.png%00"],
)  # fmt: skip
def test_only_the_worlds_own_files_are_served(slow, slow_world, path):
    folder = slow.worlds / slow_world["id"]
    links = {folder / "link.png": "/etc/passwd", folder / "folder": "/etc"}
    for link, target in links.items():
        link.symlink_to(target)
    try:
        answer = slow.client.get(f"{slow.url}/v1/worlds/{slow_world['id']}/files/{path}")
        # httpx itself resolves dots in a path; what arrives then is a file of the world or nothing.
        own = (folder / "seed.png").read_bytes()
        assert answer.status_code == 404 or answer.content == own
    finally:
        for link in links:
            link.unlink()


@pytest.mark.parametrize("name", ["..", ".backend", "UPPER-case", "abc", "a" * 65, "no-such-world", "%2e%2e"])
def test_a_world_that_is_none_is_not_found(slow, name):
    for call in ("", "/files/world.json"):
        assert slow.client.get(f"/v1/worlds/{name}{call}").status_code == 404
    assert slow.client.delete(f"/v1/worlds/{name}").status_code in (404, 405)


def test_the_scale_is_set_and_kept(slow):
    world = slow.new_world({"name": "Scaled"})
    url = f"/v1/worlds/{world['id']}"
    assert slow.client.put(url, json={"scale": 2.5}).json()["scale"] == 2.5
    again = slow.client.get(url).json()
    assert again["scale"] == 2.5
    same = [key for key in again if key not in ("scale", "files")]
    assert {key: again[key] for key in same} == {key: world[key] for key in same}
    for bad in (0, -1, 1e9, "two"):
        assert "scale" in detail(slow.client.put(url, json={"scale": bad}))
    assert slow.client.get(url).json()["scale"] == 2.5


def test_a_copied_world_appears_and_a_deleted_one_is_gone(slow, slow_world):
    copy = slow.worlds / "a-copy-of-it"
    shutil.copytree(slow.worlds / slow_world["id"], copy)
    assert "a-copy-of-it" in {world["id"] for world in slow.client.get("/v1/worlds").json()}
    job = slow.wait(slow.extend("a-copy-of-it", prompt="work 0.1").json()["id"])
    assert slow.client.delete("/v1/worlds/a-copy-of-it").status_code == 204
    assert not copy.exists()
    assert slow.client.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert "no world 'a-copy-of-it'" in detail(slow.client.get("/v1/worlds/a-copy-of-it"), 404)
    assert list((slow.worlds / ".backend" / "trash").iterdir()) == []


def test_a_world_that_was_never_made_can_be_deleted(slow, slow_world):
    running = slow.extend(slow_world["id"], prompt="work 30").json()
    made = slow.post_world({"name": "Never"}).json()
    job, url = made["job"]["id"], f"/v1/worlds/{made['world']['id']}"
    assert "in use" in detail(slow.client.delete(url), 409)
    stop = detail(slow.client.post("/v1/shutdown", json={}), 409)
    for active in (job, running["id"]):
        slow.client.post(f"/v1/jobs/{active}/cancel")
        slow.wait(active)
    folder = slow.worlds / ".backend" / "jobs" / job
    assert (folder / "image").is_dir()
    gone = detail(slow.client.get(url), 404)
    assert "delete the world" in gone
    assert slow.client.delete(url).status_code == 204
    assert not folder.exists()
    none = detail(slow.client.delete(url), 404)
    # People in Blender read these: no calls of the API.
    assert not any(call in text for text in (stop, gone, none) for call in ("/v1", "{", "GET", "POST"))


def test_a_world_that_another_process_works_on_is_left_alone(slow, slow_world):
    copy = slow.worlds / "worked-on"
    shutil.copytree(slow.worlds / slow_world["id"], copy)
    (copy / "results" / ".partial-00000001").write_bytes(b"half")
    with held_by_another_process(copy):
        assert "another process" in detail(slow.client.delete("/v1/worlds/worked-on"), 409)
        answer = slow.client.post("/v1/worlds/worked-on/revert", json={"chunks": 0})
        assert "another process" in detail(answer, 409)
        remove_leftovers(copy, copy / "no job")
        assert (copy / "results" / ".partial-00000001").exists()
        known = slow.client.get("/v1/worlds/worked-on").json()
        assert ".lyra.lock" not in {file["path"] for file in known["files"]}
        assert slow.client.get("/v1/worlds/worked-on/files/.lyra.lock").status_code == 404
    remove_leftovers(copy, copy / "no job")
    assert not (copy / "results" / ".partial-00000001").exists()
    assert slow.client.delete("/v1/worlds/worked-on").status_code == 204
    assert not copy.exists()


def test_a_world_of_a_newer_version_is_refused_listed_and_can_be_deleted(slow, slow_world):
    newer = slow.worlds / "from-the-future"
    shutil.copytree(slow.worlds / slow_world["id"], newer)
    facts = json.loads((newer / "world.json").read_text()) | {"format_version": 99}
    (newer / "world.json").write_text(json.dumps(facts))
    try:
        for answer in (slow.client.get("/v1/worlds/from-the-future"), slow.extend("from-the-future")):
            assert "newer Lyra Worlds" in detail(answer)
        listed = {world["id"]: world for world in slow.client.get("/v1/worlds").json()}
        assert "newer Lyra Worlds" in listed["from-the-future"]["error"]
        states = [listed[world_id]["state"] for world_id in ("from-the-future", slow_world["id"])]
        assert states == ["damaged", "ready"]
        assert listed[slow_world["id"]]["error"] is None
        (newer / "world.json").write_text("{")
        assert slow.client.delete("/v1/worlds/from-the-future").status_code == 204
        assert not newer.exists()
    finally:
        shutil.rmtree(newer, ignore_errors=True)


def test_a_world_that_is_deleted_while_others_are_listed_is_left_out(tmp_path, monkeypatch):
    catalog = WorldCatalog(Config(tmp_path, tmp_path / "state.json", tmp_path / "log"))
    make_world(tmp_path / "some-world")
    (tmp_path / "gone-world").mkdir()
    (tmp_path / "gone-world" / "world.json").write_text("{")
    ids = catalog.ids()
    shutil.rmtree(tmp_path / "gone-world")
    monkeypatch.setattr(catalog, "ids", lambda: ids)
    assert [world["id"] for world in WorldList(catalog).resources()] == ["some-world"]


def test_there_is_a_limit_of_worlds(slow, slow_world):
    copies = [slow.worlds / f"copy-{number}" for number in range(9)]
    for copy in copies:
        shutil.copytree(slow.worlds / slow_world["id"], copy)
    try:
        assert "delete some" in detail(slow.post_world(), 409)
    finally:
        for copy in copies:
            shutil.rmtree(copy)
