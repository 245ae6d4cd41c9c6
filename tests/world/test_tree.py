"""The tree of chunks: takes, what belongs to each, worlds of version 1, and what is cleaned up."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.media import video
from lyra.pipeline.export import available_items, export_world
from lyra.world import parking, recovery, takes
from lyra.world.files import remove_chunk
from lyra.world.folder import World
from lyra.world.options import EngineOptions
from lyra.world.plan import Plan
from tests.worlds import cameras, make_chunk, make_world


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A world of two chunks with results, a walkthrough and a packed file."""
    world = make_world(tmp_path_factory.mktemp("made") / "world")
    world.add_chunk(cameras(), make_chunk(1), "a hall", 11, 1.5)
    world.add_chunk(cameras(-0.8), make_chunk(2), "a yard", 12, 2.5, options=EngineOptions(steps=20))
    world.write_walkthrough()
    reconstructed(world, "first")
    world.packed.write_bytes(b"packed")
    return world.folder


@pytest.fixture
def world(made, tmp_path):
    shutil.copytree(made, tmp_path / "world")
    return World.open(tmp_path / "world")


def reconstructed(world, name):
    """Puts results of the head in place, as a reconstruction does."""
    world.clear_results()
    for file in ("splats.ply", "mesh.glb", "mesh.ply"):
        (world.results / file).write_text(f"{name} {file}")
    world.figures.write_text(json.dumps({"frames": world.frames, "splats": 9}))


def contents(folder):
    """What every file in a folder holds, but for the lock."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lyra.lock"
    }


def shown(world):
    """What is in the usual places of a world."""
    return {
        name: digest
        for name, digest in contents(world.folder).items()
        if name == "walkthrough.mp4" or name.startswith(("results/", "pending"))
    }


def as_version_1(folder):
    """Takes away what releases before trees did not write."""
    for file in folder.glob("chunks/*/chunk.json"):
        facts = json.loads(file.read_text())
        for name in ("parent", "engine", "options"):
            del facts[name]
        file.write_text(json.dumps(facts))
    assert json.loads((folder / "world.json").read_text())["format_version"] == 1


def branched(world):
    """A second chunk of another take beside chunk 2; the world then shows it."""
    world.switch(1)
    return world.add_chunk(cameras(-0.8), make_chunk(3), "a square", 13, 3.5)


def test_a_world_of_version_1_keeps_its_bytes(world, tmp_path):
    as_version_1(world.folder)
    world.save_plan(Plan(cameras(-1.6, 81), 2, {0: ""}, 4))
    before = contents(world.folder)
    opened = World.open(world.folder)
    assert [(take.id, take.parent, take.frames) for take in takes.list_takes(opened)] == [
        (0, None, 1),
        (1, 0, 81),
        (2, 1, 161),
    ]
    assert [
        take.id for take in takes.list_takes(opened) if take.head and take.results and take.unfinished
    ] == [2]
    assert opened.frames == 161 and len(opened.chunks) == 2
    assert all(chunk.load_state()["layer"].size for chunk in opened.chunks)
    assert takes.unneeded(opened) == takes.Unneeded((), (), 0)
    assert opened.load_plan().follows(opened.chunks)
    with opened.exclusive():
        opened.switch(2)
    assert takes.clean(opened).size == 0
    export_world(opened, ["trajectory.npz", "walkthrough.mp4"], tmp_path / "world.zip")
    assert contents(world.folder) == before


def test_a_plain_sequence_stays_one_that_older_releases_open(world):
    settings = json.loads((world.folder / "world.json").read_text())
    world.rescale(2.0)
    world.add_chunk(cameras(-1.6), make_chunk(3), "", 0, 0)
    assert json.loads((world.folder / "world.json").read_text()) == {**settings, "scale": 2.0}
    world.revert(1)
    changed = json.loads((world.folder / "world.json").read_text())
    assert changed["format_version"] == 2 and changed["head"] == {"chunk": 1, "newest": 3}


def test_a_head_that_moves_loses_nothing(world):
    before, everything = shown(world), contents(world.folder)
    assert world.revert(1) == []
    assert (world.frames, world.head, World.open(world.folder).frames) == (81, 1, 81)
    assert list(shown(world)) == ["walkthrough.mp4"]
    assert video.frame_count(world.walkthrough) == 81
    np.testing.assert_array_equal(world.last_w2c, cameras().w2c[-1])
    assert world.switch(2) == []
    assert shown(world) == before
    now = contents(world.folder)
    # Nothing is parked but what was joined for the shorter line.
    assert set(now) - set(everything) == {"takes/0001/walkthrough.mp4"}
    assert {name for name in everything if everything[name] != now[name]} == {"world.json"}


def test_a_branch_starts_where_its_parent_ends_and_has_results_of_its_own(world):
    first = shown(world)
    other = branched(world)
    assert (other.id, other.parent, other.index) == (3, 1, 2)
    world.write_walkthrough()
    reconstructed(world, "second")
    second = shown(world)
    assert [chunk.id for chunk in World.open(world.folder).chunks] == [1, 3]
    np.testing.assert_array_equal(world.chunks[1].load_frames(), make_chunk(3).frames)
    np.testing.assert_array_equal(world.views()[160].depth, make_chunk(3).depth[-1])
    for take, there in ((2, first), (3, second), (2, first)):
        world.switch(take)
        assert shown(world) == there
        assert World.open(world.folder).reconstructed
    listed = {take.id: take for take in takes.list_takes(world)}
    assert (listed[2].prompt, listed[2].seed, listed[2].engine) == ("a yard", 12, "preview")
    assert (listed[2].options, listed[3].options) == ({"steps": 20}, {})
    assert [(take.id, take.parent) for take in listed.values()] == [(0, None), (1, 0), (2, 1), (3, 1)]
    assert [take.id for take in listed.values() if take.on_line] == [0, 1, 2]
    assert [take.id for take in listed.values() if take.results] == [2, 3]


def test_what_is_added_becomes_the_head_without_a_second_write(world):
    branched(world)
    settings = (world.folder / "world.json").read_bytes()
    world.add_chunk(cameras(-1.6), make_chunk(4), "", 0, 0)
    assert (world.folder / "world.json").read_bytes() == settings
    opened = World.open(world.folder)
    assert (opened.head, [chunk.id for chunk in opened.chunks]) == (4, [1, 3, 4])


def test_results_of_a_line_that_went_on_stay_until_there_are_newer_ones(world):
    before = shown(world)
    world.add_chunk(cameras(-1.6), make_chunk(3), "", 0, 0)
    world.write_walkthrough()
    assert not world.reconstructed and world.load_figures()["frames"] == 161
    reconstructed(world, "longer")
    world.revert(2)
    assert shown(world).keys() == before.keys()
    assert {name for name, digest in shown(world).items() if digest != before[name]} <= {"walkthrough.mp4"}
    world.switch(3)
    assert (world.results / "mesh.ply").read_text() == "longer mesh.ply" and not world.packed.exists()


def test_results_made_again_replace_those_of_the_same_take(world):
    reconstructed(world, "again")
    assert (world.results / "splats.ply").read_text() == "again splats.ply"
    assert not parking.parked_takes(world.folder) and not world.packed.exists()


def test_an_unfinished_path_stays_with_its_take(world):
    world.save_plan(Plan(cameras(-1.6, 161), 2, {0: "on"}, 5, parent=2))
    notes = world.revert(1)
    assert len(notes) == 1 and f"lyra switch {world.folder} 2" in notes[0] and "unfinished path" in notes[0]
    assert world.load_plan() is None
    branched(world)
    world.save_plan(Plan(cameras(-1.6, 81), 2, {0: "elsewhere"}, 6, parent=3))
    assert [take.id for take in takes.list_takes(world) if take.unfinished] == [2, 3]
    notes = world.switch(2)
    assert len(notes) == 2 and f"Take 2 has an unfinished path; `lyra resume {world.folder}`" in notes[1]
    assert world.load_plan().seed == 5 and world.load_plan().follows(world.chunks)
    world.switch(3)
    assert world.load_plan().seed == 6 and world.load_plan().follows(world.chunks)


@pytest.mark.parametrize(
    ("first", "parent", "follows"),
    [
        (2, None, True),
        (2, 3, True),
        (1, 1, True),
        (2, 2, False),
        (3, None, False),
        (-1, None, False),
        (0, 0, False),
    ],
)
def test_a_path_follows_the_line_that_it_was_made_for_alone(world, first, parent, follows):
    branched(world)
    plan = Plan(cameras(frames=81), first, {0: ""}, 0, parent=parent)
    assert plan.follows(world.chunks) is follows


def test_what_no_head_needs_is_removed_and_ids_are_not_given_twice(world):
    branched(world)
    world.write_walkthrough()
    reconstructed(world, "second")
    world.add_chunk(cameras(-1.6), make_chunk(4), "", 0, 0)
    world.switch(2)
    before, kept = shown(world), contents(world.chunks[1].folder)
    found = takes.unneeded(world)
    assert (found.chunks, found.takes) == ((4, 3), (3,))
    removed = [path for path, _ in world.files() if path.startswith(("chunks/0003", "chunks/0004", "takes/"))]
    assert found.size == sum((world.folder / path).stat().st_size for path in removed)
    assert takes.clean(world) == found
    assert shown(world) == before and contents(world.chunks[1].folder) == kept
    assert not [path for path, _ in world.files() if path in removed]
    opened = World.open(world.folder)
    assert [take.id for take in takes.list_takes(opened)] == [0, 1, 2] and opened.head == 2
    assert opened.add_chunk(cameras(-1.6), make_chunk(4), "", 0, 0).id == 5


def test_cleaning_stopped_anywhere_shows_the_same_take(world, monkeypatch):
    branched(world)
    world.add_chunk(cameras(-1.6), make_chunk(4), "", 0, 0)
    world.switch(1)

    def stop(chunk):
        remove_chunk(chunk)
        raise KeyboardInterrupt

    monkeypatch.setattr(takes, "remove_chunk", stop)
    for left in (3, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            takes.clean(World.open(world.folder))
        opened = World.open(world.folder)
        assert opened.head == 1 and len(opened.tree.chunks) == left and not opened.tree.strays
    assert takes.clean(world).chunks == ()


def test_a_chunk_with_files_of_the_users_is_not_cleaned(world):
    branched(world)
    mine, litter = (world.chunks[1].folder / name for name in ("thesis.txt", ".DS_Store"))
    litter.write_text("from looking at it")
    mine.write_text("keep me")
    world.switch(2)
    before = contents(world.folder)
    with pytest.raises(
        InvalidInputError, match=r"0003 holds 'thesis\.txt', which this program did not write"
    ):
        takes.clean(world)
    assert contents(world.folder) == before
    mine.unlink()
    takes.clean(world)
    assert len(World.open(world.folder).tree.chunks) == 2


def test_files_of_the_users_beside_what_is_parked_stay(world):
    world.revert(1)
    mine = world.folder / "takes" / "0002" / "notes.txt"
    mine.write_text("keep me")
    world.switch(2)
    assert world.reconstructed and mine.read_text() == "keep me"
    world.revert(1)
    takes.clean(world)
    assert mine.read_text() == "keep me" and [path.name for path in mine.parent.iterdir()] == ["notes.txt"]


def test_what_was_packed_at_another_scale_is_removed_of_every_take(world):
    world.revert(1)
    assert parking.parked_file(world.folder, 2, "results/export.zip").exists()
    world.rescale(2.0)
    assert not parking.parked_file(world.folder, 2, "results/export.zip").exists()
    world.switch(2)
    assert world.reconstructed and not world.packed.exists()


def test_a_scale_that_is_set_keeps_the_head_that_another_process_moved(world):
    World.open(world.folder).switch(1)
    world.rescale(2.0)
    assert World.open(world.folder).head == 1


@pytest.mark.parametrize("stopped_after", range(8))
def test_files_half_parked_come_back(world, monkeypatch, stopped_after):
    """Killed before the head is exchanged, it is as it was; after that, it shows the other take."""
    world.save_plan(Plan(cameras(-1.6, 81), 2, {0: ""}, 4, parent=2))
    before, moves = shown(world), []

    def stop(action, *arguments, **options):
        if len(moves) == stopped_after:
            raise KeyboardInterrupt
        moves.append(action)
        return action(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parking, "retry_while_locked", stop)
        world.revert(1)
    opened = World.open(world.folder)
    if opened.load_figures() is not None:
        assert (opened.results / "splats.ply").exists()
    assert opened.head == 2
    assert recovery.has_leftovers(world.folder)
    recovery.remove_leftovers(world.folder)
    with opened.exclusive():
        assert not parking.is_half_moved(world.folder)
    opened.revert(1)
    opened.switch(2)
    assert shown(opened) == before


def test_what_is_parked_of_the_head_comes_back_with_the_next_work(world, monkeypatch):
    before = shown(world)
    world.revert(1)

    def stop(action, *arguments):
        if World.open(world.folder).head == 2:
            raise KeyboardInterrupt
        return action(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parking, "retry_while_locked", stop)
        world.switch(2)
    assert World.open(world.folder).head == 2 and not World.open(world.folder).reconstructed
    assert recovery.has_leftovers(world.folder)
    recovery.remove_leftovers(world.folder)
    assert not recovery.has_leftovers(world.folder)
    assert World.open(world.folder).reconstructed and shown(world) == before


def test_a_take_that_there_is_not_is_said(world):
    before = contents(world.folder)
    for take in (3, -1):
        with pytest.raises(
            InvalidInputError, match=rf"no take {take}; `lyra takes WORLD` lists them \(0 to 2\)"
        ):
            world.switch(take)
    assert contents(world.folder) == before


def test_chunks_whose_parent_is_gone_are_on_no_line_and_go_with_cleaning(world):
    branched(world)
    world.add_chunk(cameras(-1.6), make_chunk(4), "", 0, 0)
    shutil.rmtree(world.folder / "chunks" / "0003")
    opened = World.open(world.folder)
    # Where it was before these were made.
    assert (opened.head, opened.frames) == (1, 81)
    assert [path.name for path in opened.tree.strays] == ["0004"]
    assert opened.add_chunk(cameras(-0.8), make_chunk(4), "", 0, 0).id == 5
    assert takes.clean(opened).chunks == (4, 2)


@pytest.mark.parametrize("parent", [2, 3, -1, "1", True, 1.0, None])
def test_a_parent_that_cannot_be_is_damage(world, parent):
    file = world.chunks[1].folder / "chunk.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "parent": parent}))
    with pytest.raises(InvalidInputError, match=r"chunk\.json is damaged \(parent .*delete the folder 0002"):
        World.open(world.folder)


@pytest.mark.parametrize(
    "head", [3, "x", {"chunk": 1}, *({"chunk": wrong, "newest": 2} for wrong in (-1, "1", True, None))]
)
def test_a_head_that_cannot_be_is_damage(world, head):
    file = world.folder / "world.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 2, "head": head}))
    with pytest.raises(InvalidInputError, match=r"world\.json is damaged"):
        World.open(world.folder)


@pytest.mark.parametrize("name", ["takes", "takes/0002"])
def test_nothing_is_parked_behind_a_link(world, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "splats.ply").write_text("keep me")
    place = world.folder / name
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside, target_is_directory=True)
    with pytest.raises(InvalidInputError, match="is a link, which is not followed"):
        world.revert(1)
    assert [path.name for path in outside.iterdir()] == ["splats.ply"]
    assert World.open(world.folder).frames == 161


def test_a_parked_file_that_is_a_link_is_not_shown(world, tmp_path):
    (tmp_path / "secret").write_text("not for the world")
    world.revert(1)
    parked = world.folder / "takes" / "0002" / "splats.ply"
    parked.unlink()
    parked.symlink_to(tmp_path / "secret")
    world.switch(2)
    assert not (world.results / "splats.ply").exists()
    assert "splats.ply" not in available_items(world)


def test_what_is_exported_is_of_the_head(world, tmp_path):
    branched(world)
    export_world(world, ["trajectory.npz"], tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "other.zip") as archive, archive.open("trajectory.npz") as file:
        np.testing.assert_array_equal(np.load(file)["w2c"], world.trajectory().w2c)
    assert not world.reconstructed and "splats.ply" not in available_items(world)
