"""Links, pipes and files of others in a world folder are neither followed nor removed."""

import os

import pytest

from lyra.common.errors import InUseError, InvalidInputError
from lyra.pipeline.export import available_items, export_world
from lyra.pipeline.extend import extend_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.world.folder import World
from tests.worlds import cameras, frame_at, held_by_another_process, make_world


@pytest.fixture
def outside(tmp_path):
    """A folder of the user's, with names as this program writes them."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for name in ("thesis.txt", "splats.ply", "results.json", "export.zip", ".partial-0123abcd", "chunk.json"):
        (folder / name).write_text("keep me")
    yield folder
    assert len(list(folder.iterdir())) == 6
    assert all(path.read_text() == "keep me" for path in folder.iterdir())


def test_results_that_are_a_link_are_left_alone(world, outside, tmp_path):
    world.results.rmdir()
    world.results.symlink_to(outside, target_is_directory=True)
    again = World.open(world.folder)
    assert again.load_figures() is None and not again.reconstructed
    assert not any("results" in path for path, _ in again.files())
    for work in (
        lambda: again.revert(1),
        lambda: reconstruct_world(again, mesh=False),
        lambda: extend_world(again, cameras(-1.6, 81)),
        lambda: again.rescale(2.0),
        lambda: export_world(again, ["splats.ply"], tmp_path / "out.zip"),
        lambda: export_world(again, ["trajectory.npz"], again.packed),
    ):
        with pytest.raises(InvalidInputError, match="results is a link, which is not followed"):
            work()
    assert World.open(world.folder).frames == 161 and not (tmp_path / "out.zip").exists()


def test_what_the_user_put_beside_results_stays(world):
    for name in ("notes.txt", "splats-mine.ply", "splats.ply", "results.json", "export.zip"):
        (world.results / name).write_text("{}")
    (world.results / "renders").mkdir()
    (world.results / ".partial-mine").touch()
    world.revert(1)
    left = {path.name for path in world.results.iterdir()}
    assert left == {"notes.txt", "splats-mine.ply", "renders", ".partial-mine"}


def test_a_linked_result_is_neither_exported_nor_followed(world, outside, tmp_path):
    world.write_walkthrough()
    (world.results / "splats.ply").symlink_to(outside / "splats.ply")
    assert available_items(world) == ["splats.ply", "walkthrough.mp4", "trajectory.npz"]
    with pytest.raises(InvalidInputError, match=r"splats\.ply is a link, which is not followed"):
        export_world(world, available_items(world), tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
    # The name is this program's, and what it leads to is not.
    world.revert(1)
    assert not (world.results / "splats.ply").is_symlink()


@pytest.mark.parametrize("name", ["chunks", "chunks/0001", "chunks/0001/chunk.json", "world.json"])
def test_a_world_with_a_link_in_it_is_refused_by_name(world, outside, name):
    place = world.folder / name
    place.rename(world.folder.parent / "moved")
    place.symlink_to(world.folder.parent / "moved")
    with pytest.raises(InvalidInputError, match=f"{place} is a link, which is not followed"):
        World.open(world.folder)


@pytest.mark.parametrize("name", ["trajectory.npz", "frames.mkv", "depth.npz", "state.npz"])
def test_a_link_in_a_chunk_is_not_read(world, name):
    chunk = World.open(world.folder).chunks[0]
    (chunk.folder / name).rename(world.folder.parent / name)
    (chunk.folder / name).symlink_to(world.folder.parent / name)
    load = {"trajectory.npz": chunk.load_trajectory, "frames.mkv": chunk.load_frames}
    load |= {"depth.npz": chunk.load_depth, "state.npz": chunk.load_state}
    with pytest.raises(InvalidInputError, match=f"{name} is a link"):
        load[name]()


def test_a_linked_part_of_the_walkthrough_is_made_anew(world):
    """What it leads to may be anything, and would be watched by whoever gets the walkthrough."""
    part = world.chunks[0].watchable
    moved = part.rename(world.folder.parent / "moved.mp4")
    before = moved.read_bytes()
    part.symlink_to(moved)
    world.write_walkthrough()
    assert not part.is_symlink() and moved.read_bytes() == before
    assert frame_at(world.walkthrough, 160)[1] == 161


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
@pytest.mark.parametrize(
    "name", ["world.json", "seed.npz", "seed.png", "chunks/0001/chunk.json", ".lyra.lock"]
)
def test_a_pipe_in_a_world_is_not_waited_for(world, name):
    (world.folder / name).unlink(missing_ok=True)
    os.mkfifo(world.folder / name)
    with pytest.raises(InvalidInputError, match=r"pipe or a device|is a link, or no file"):
        opened = World.open(world.folder)
        opened.seed_view()
        opened.revert(2)


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(world, tmp_path):
    (world.folder / ".lyra.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match=r"\.lyra\.lock is a link, or no file"):
        world.revert(1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_linked_world_is_the_world_it_leads_to(world, tmp_path):
    link = tmp_path / "castle"
    link.symlink_to(world.folder, target_is_directory=True)
    opened = World.open(link)
    with held_by_another_process(world.folder), pytest.raises(InUseError):
        opened.revert(1)
    opened.revert(1)
    assert World.open(world.folder).frames == 81
    with pytest.raises(InvalidInputError, match="is a link; choose a folder that does not exist"):
        make_world(link)
    world.folder.rename(tmp_path / "unplugged")
    with pytest.raises(
        InvalidInputError, match=r"castle is a link to .*, which is not there; connect the disk"
    ):
        World.open(link)
