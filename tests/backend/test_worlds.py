"""Worlds over HTTP: making, listing, files, deleting, and everything that is refused."""

import json
import os
import shutil
import time

import numpy as np
import pytest

from backend.api.worlds import WorldList
from backend.catalog import WorldCatalog
from backend.config import Config
from backend.errors import NotFoundError
from backend.leftovers import remove_leftovers
from lyra.world.folder import World
from tests.backend.service import picture, straight_path
from tests.worlds import cameras, held_by_another_process, make_chunk, make_world


def detail(answer, status=400):
    """The refusal's text, which is one line."""
    assert answer.status_code == status, answer.text
    text = answer.json()["detail"]
    assert text and "\n" not in text
    return text


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


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"this is text, not a picture", "a_picture.png is no image"),
        (b"", "a_picture.png is no image"),
        (picture(63, 200), "63x200"),
        (picture()[:300], "damaged or cut short"),
    ],
)
def test_bad_pictures_are_refused(slow, image, says):
    text = detail(slow.post_world(image=image))
    assert says in text
    assert str(slow.folder) not in text


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(slow):
    header = picture().replace((208).to_bytes(4, "big") + (112).to_bytes(4, "big"),
                               (20000).to_bytes(4, "big") + (9000).to_bytes(4, "big"))  # fmt: skip
    text = detail(slow.post_world(image=header))
    assert "a_picture.png" in text


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"engine": "magic"}, 400, "'magic'"),
        ({"engine": "lyra2"}, 409, "Engine 'lyra2' is not ready"),
        ({"size": [100, 100]}, 400, "100x100"),
        ({"size": [10**400, 112]}, 400, "Use 1664x112"),
        ({"size": [100]}, 400, "size"),
        ({"depth": "psychic"}, 400, "'psychic'"),
        ({"depth_scene": "cave"}, 400, "'cave'"),
        ({"depth_values": "feet"}, 400, "'feet'"),
        ({"depth_values": "inverse"}, 400, "need a depth file"),
        ({"depth_blend": True}, 400, "needs a depth file"),
        ({"seed": -1}, 400, "-1"),
        ({"seed": "x"}, 400, "'x'"),
        ({"name": "n" * 65}, 400, "64"),
        ({"colour": "red"}, 400, "colour"),
        ({"intrinsics": [[0, 0, 1], [0, -5, 1], [0, 0, 1]]}, 400, "focal lengths"),
        ({"intrinsics": [[1, 2]]}, 400, "(1, 1, 2)"),
    ],
)
def test_bad_settings_are_refused(slow, settings, status, says):
    before = set((slow.worlds / ".backend" / "jobs").iterdir())
    assert says in detail(slow.post_world(settings), status)
    assert set((slow.worlds / ".backend" / "jobs").iterdir()) == before


def test_bad_forms_are_refused(slow):
    post = slow.client.post
    assert "image" in detail(post("/v1/worlds", data={"settings": "{}"}))
    assert "image" in detail(post("/v1/worlds", data={"image": "text"}))
    image = ("x.png", picture())
    assert "settings" in detail(post("/v1/worlds", files={"image": image}, data={"settings": "{no json"}))
    assert "settings" in detail(post("/v1/worlds", files={"image": image, "settings": ("s.json", b"{}")}))
    post_depth = slow.post_world(depth=("depth.txt", b"1 2 3"))
    assert "depth.txt is no depth file" in detail(post_depth)


def changed(key, value, frames=81):
    path = straight_path(frames)
    path[key] = value if not callable(value) else value(path[key])
    return {"trajectory": path}


def with_pose(row, column, value):
    def change(w2c):
        w2c[40][row][column] = value
        return w2c

    return changed("w2c", change)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"trajectory": straight_path(100)}, "100 frames; a world needs 1 + 80k"),
        ({"trajectory": straight_path(1)}, "1 frames"),
        (with_pose(0, 3, float("nan")), "frame 40 is not finite"),
        (with_pose(0, 0, 2.0), "frame 40 is no rotation"),
        (with_pose(0, 0, -1.0), "frame 40 is no rotation"),
        (with_pose(0, 0, "x"), "trajectory.w2c.40.0.0 is 'x'"),
        (changed("intrinsics", [[[0, 0, 1], [0, 9, 1], [0, 0, 1]]] * 81), "frame 0 are [0., 9.]"),
        (changed("intrinsics", [[[9, 0, 1], [0, -9, 1], [0, 0, 1]]] * 81), "frame 0 are [ 9., -9.]"),
        (changed("intrinsics", []), "81 poses"),
        (changed("image_height", 0), "208x0"),
        (changed("w2c", lambda w2c: [*w2c[:80], [[1, 0], [0, 1]]]), "no number"),
        ({"captions": {"x1": "a street"}}, "'x1'"),
        ({"captions": {"-3": "a street"}}, "'-3'"),
        ({"captions": {}}, "captions"),
        ({"captions": {"500": "a street"}}, "frame 500"),
        ({"captions": {"0": 5}}, "captions.0 is 5"),
        ({"captions": {"0": "a"}, "prompt": "b"}, "Both"),
        ({"pose_scale": 0}, "pose_scale is 0"),
        ({"pose_scale": float("inf")}, "pose_scale"),
        ({"seed": 1.5}, "1.5"),
        ({"promt": "typo"}, "promt"),
        ({"trajectory": None}, "trajectory"),
    ],
)
def test_bad_paths_are_refused_at_once(slow, slow_world, body, says):
    body = {"trajectory": straight_path(), **body}
    content = json.dumps(body)  # unlike httpx, this passes NaN on
    answer = slow.client.post(
        f"/v1/worlds/{slow_world['id']}/chunks", content=content, headers={"Content-Type": "application/json"}
    )
    assert says in detail(answer)


def test_bad_bodies_are_refused(slow, slow_world):
    url = f"/v1/worlds/{slow_world['id']}"
    json_type = {"Content-Type": "application/json"}
    assert "JSON" in detail(slow.client.post(f"{url}/chunks", content=b"{", headers=json_type))
    assert "chunks is -1" in detail(slow.client.post(f"{url}/revert", json={"chunks": -1}))
    assert slow.client.post(f"{url}/revert", json={"chunks": True}).status_code == 400
    assert "reverted to 5" in detail(slow.client.post(f"{url}/revert", json={"chunks": 5}))
    assert "'moon.png'" in detail(slow.client.post(f"{url}/export", json={"items": ["moon.png"]}))
    assert "items" in detail(slow.client.post(f"{url}/export", json={"items": []}))
    assert "after is '-1'" in detail(slow.client.get("/v1/jobs/x/events", params={"after": -1}))
    assert slow.client.get("/v1/nothing").status_code == 404
    assert slow.client.put("/v1/health").status_code == 405


@pytest.fixture
def catalog(tmp_path):
    """A catalogue of the worlds `one-world` and `two-worlds`."""
    folder = tmp_path / "worlds"
    folder.mkdir()
    make_world(folder / "one-world").add_chunk(cameras(), make_chunk(1), "a hall", 11, 1.5)
    make_world(folder / "two-worlds")
    return WorldCatalog(Config(folder, tmp_path / "state.json", tmp_path / "log"))


def listed(catalog):
    return {world["id"]: world for world in WorldList(catalog).resources()}


def age(folder, seconds=10):
    """As if nothing had been written there for a while."""
    for path in (folder, *folder.rglob("*")):
        then = time.time() - seconds
        os.utime(path, (then, then))


def test_a_world_is_read_again_when_anything_of_it_has_changed(catalog, monkeypatch):
    folder, read, known = catalog.path("one-world"), [], WorldList(catalog)
    original = known._read
    monkeypatch.setattr(known, "_read", lambda world_id: (read.append(world_id), original(world_id))[1])

    def changed(change, world="one-world"):
        age(folder.parent)
        known.resources()
        read.clear()
        known.resources()
        assert read == []
        change()
        found = {world["id"]: world for world in known.resources()}["one-world"]
        assert read == [world]
        return found

    assert changed(lambda: World.open(folder).rescale(2.0))["scale"] == 2.0
    assert changed(lambda: (folder / "results" / "results.json").write_text('{"frames": 81}'))["results"]
    # As an editor writes, in place.
    facts = folder / "chunks" / "0001" / "chunk.json"
    found = changed(lambda: facts.write_text(facts.read_text().replace("a hall", "a yard")))
    assert found["chunks"][0]["prompt"] == "a yard"
    found = changed(lambda: (folder / "results" / "splats.ply").write_bytes(b"x"))
    assert "results/splats.ply" in {file["path"] for file in found["files"]}
    assert changed(lambda: World.open(folder).revert(0))["frames"] == 1
    changed(lambda: World.open(catalog.path("two-worlds")).rescale(3.0), "two-worlds")


def test_what_has_just_changed_is_not_kept(catalog):
    """It may change once more within the same tick of the file system's clock."""
    known = WorldList(catalog)
    known.resources()
    assert known._kept == {}
    age(catalog.path("one-world"))
    known.resources()
    assert list(known._kept) == ["one-world"]


def test_damaged_worlds_are_listed_with_the_reason_among_the_others(catalog, tmp_path):
    folder = catalog.path("one-world")

    def damaged(name, damage, reason):
        copy = catalog.path(name)
        shutil.copytree(folder, copy)
        damage(copy)
        return name, reason

    def bomb(copy):
        np.savez_compressed(copy / "seed.npz", intrinsics=np.zeros(70_000_000, np.uint8))
        assert (copy / "seed.npz").stat().st_size < 500_000

    def link(copy):
        shutil.rmtree(copy / "chunks" / "0001")
        (copy / "chunks" / "0001").symlink_to(folder / "chunks" / "0001")

    def no_file(copy):
        (copy / "world.json").unlink()
        (copy / "world.json").mkdir()

    wrong = dict(
        [
            damaged("bomb-world", bomb, "has the shape (70000000,)"),
            damaged("link-world", link, "0001 is a link"),
            damaged("folder-world", no_file, "its world.json is a folder"),
            damaged("deep-world", lambda c: (c / "world.json").write_text("[" * 100_000), "world.json"),
            damaged(
                "lens-world", lambda c: np.savez(c / "seed.npz", intrinsics=np.eye(2)), "has the shape (2, 2)"
            ),
        ]
    )
    catalog.path("gone-world").symlink_to(tmp_path / "unplugged")
    catalog.path("loop-world").symlink_to(catalog.path("loop-world"))
    (catalog.path("x").parent / "a-file").write_text("no world")
    found = listed(catalog)
    assert {name for name, world in found.items() if world["state"] == "ready"} == {"one-world", "two-worlds"}
    for name, reason in {**wrong, "gone-world": "connect the disk", "loop-world": "loop-world"}.items():
        assert found[name]["state"] == "damaged" and reason in found[name]["error"], found[name]
        assert "\n" not in found[name]["error"]


def test_a_linked_world_is_one_and_deleting_it_takes_the_link(catalog, tmp_path):
    moved, link = tmp_path / "disk" / "castle", catalog.path("castle")
    moved.parent.mkdir()
    shutil.copytree(catalog.path("one-world"), moved)
    link.symlink_to(moved)
    assert listed(catalog)["castle"]["folder"] == str(moved)
    handle, size = catalog.open_file("castle", "seed.png")
    with handle:
        assert len(handle.read()) == size
    catalog.delete("castle")
    assert not os.path.lexists(link) and World.open(moved).frames == 81
    link.symlink_to(tmp_path / "unplugged")
    catalog.delete("castle")
    assert not os.path.lexists(link)


def test_the_lock_and_what_is_being_written_are_no_files_to_fetch(catalog):
    folder = catalog.path("one-world")
    for name in (".lyra.lock", ".partial-0123abcd.npz"):
        (folder / name).touch()
        for path in (name, name.upper()):
            with pytest.raises(NotFoundError):
                catalog.open_file("one-world", path)
    with pytest.raises(NotFoundError):
        catalog.open_file("one-world", "results")


def test_a_start_removes_what_killed_programs_left_and_writes_nothing_else(catalog):
    folder, other = catalog.path("one-world"), catalog.path("two-worlds")
    for name in ("pending.npz", "results/.partial-0123abcd.ply"):
        (folder / name).touch()
    before = other.stat().st_mtime_ns
    with held_by_another_process(folder):
        catalog.empty_trash()
        assert (folder / "pending.npz").exists()
    catalog.empty_trash()
    assert not (folder / "pending.npz").exists() and not list((folder / "results").iterdir())
    assert other.stat().st_mtime_ns == before and not (other / ".lyra.lock").exists()
