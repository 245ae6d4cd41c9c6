"""The worlds folder: what is listed, kept between listings, and removed."""

import os
import shutil
import time

import numpy as np
import pytest

from backend.api.worlds import WorldList
from backend.catalog import WorldCatalog
from backend.config import Config
from backend.errors import NotFoundError
from lyra.world.folder import World
from tests.worlds import cameras, held_by_another_process, make_chunk, make_world


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
    whole = (folder / "world.json").read_text()
    assert changed(lambda: (folder / "world.json").write_text("{}"))["state"] == "damaged"
    assert changed(lambda: (folder / "world.json").write_text(whole))["state"] == "ready"


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
