"""The world folder: whole chunks or none, revert and plans."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from lyra.common import files
from lyra.common.errors import DiskFullError, InUseError, InvalidInputError
from lyra.common.progress import Progress
from lyra.media import video
from lyra.pipeline.extend import extend_world, resume_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.world.folder import World
from lyra.world.plan import Plan
from lyra.world.settings import ID_PATTERN, clean_name, new_id
from tests.worlds import HEIGHT, WIDTH, cameras, frame_at, held_by_another_process, make_chunk, make_world


def test_what_is_written_is_read_back_bit_by_bit(world):
    again = World.open(world.folder)
    assert again.settings == world.settings
    assert again.frames == 161
    assert [(c.index, c.prompt, c.seed, c.seconds) for c in again.chunks] == [
        (1, "a hall", 11, 1.5),
        (2, "a yard", 12, 2.5),
    ]
    expected = make_chunk(2)
    np.testing.assert_array_equal(again.chunks[1].load_frames(), expected.frames)
    np.testing.assert_array_equal(again.chunks[1].load_depth(), expected.depth)
    np.testing.assert_array_equal(again.chunks[1].load_state()["layer"], expected.state["layer"])
    np.testing.assert_array_equal(again.last_w2c, cameras(-0.8).w2c[-1])
    assert (again.folder / "source.png").exists()


def test_views_give_every_frame_with_its_camera(world):
    views = world.views()
    assert len(views) == 161
    np.testing.assert_array_equal(views[0].image, world.seed_view().image)
    np.testing.assert_array_equal(views[81].image, make_chunk(2).frames[0])
    np.testing.assert_array_equal(views[80].depth, make_chunk(1).depth[-1])
    np.testing.assert_array_equal(views[160].w2c, world.last_w2c)
    np.testing.assert_array_equal([view.w2c for view in views], world.trajectory().w2c)
    with pytest.raises(IndexError):
        views[161]


def test_a_view_that_is_kept_does_not_keep_its_whole_chunk(world):
    view = world.views()[100]
    assert view.image.base is None
    assert view.depth.base is None


def test_walkthrough_has_all_frames(world):
    world.write_walkthrough()
    with av.open(str(world.walkthrough)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 161


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names there")
def test_a_relative_folder_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("castle:v2")
    folder.mkdir()
    frames = make_chunk(1).frames[:3]
    video.write_lossless(folder / "frames.mkv", frames)
    np.testing.assert_array_equal(video.read_lossless(folder / "frames.mkv"), frames)
    video.write_watchable(folder / "walkthrough.mp4", frames, HEIGHT, WIDTH)
    assert (folder / "walkthrough.mp4").stat().st_size > 0


def test_the_walkthrough_is_joined_from_what_the_chunks_hold(tmp_path, monkeypatch):
    """Nothing is encoded twice; each frame is where it belongs, of worlds of older versions too."""
    encoded = []
    encode = video.write_watchable
    monkeypatch.setattr(
        video, "write_watchable", lambda path, *rest: (encoded.append(path), encode(path, *rest))
    )
    world = make_world(tmp_path / "world")
    shade = np.repeat(np.arange(1, 161, dtype=np.uint8), HEIGHT * WIDTH * 3).reshape(2, 80, HEIGHT, WIDTH, 3)
    for number, frames in enumerate(shade):
        world.add_chunk(cameras(), replace(make_chunk(number), frames=frames), "", 0, 0)
    world.write_walkthrough()
    assert len(encoded) == 2
    np.testing.assert_allclose(
        frame_at(world.walkthrough, 0)[0].mean(), world.seed_view().image.mean(), atol=4
    )
    for number in (1, 17, 80, 81, 100, 160):
        image, count = frame_at(world.walkthrough, number)
        assert count == 161
        np.testing.assert_allclose(image, number, atol=4, err_msg=str(number))
    # One was made before chunks held their part of the video, the other one is cut off.
    world.chunks[0].watchable.unlink()
    part = world.chunks[1].watchable
    part.write_bytes(part.read_bytes()[:-400])
    told = []
    world.write_walkthrough(Progress(lambda stage, fraction, _frame: told.append((stage, fraction))))
    assert len(encoded) == 4 and frame_at(world.walkthrough, 160)[1] == 161
    assert len(told) > 160 and told == sorted(told) and {stage for stage, _ in told} == {"video"}
    world.revert(1)
    assert len(encoded) == 4 and frame_at(world.walkthrough, 80)[1] == 81

    # Encoded by another release of the encoder, or so that players would not know it: all anew.
    world.add_chunk(cameras(), replace(make_chunk(1), frames=shade[1]), "", 0, 0)
    encode(world.chunks[0].watchable, (np.zeros((48, 64, 3), np.uint8) for _ in range(81)), 48, 64)
    world.write_walkthrough()
    assert len(encoded) == 7
    np.testing.assert_allclose(frame_at(world.walkthrough, 80)[0], 80, atol=4)


def test_a_revert_that_was_stopped_is_finished_by_another(world, monkeypatch):
    """And what is stopped leaves nothing that shows more than the world has."""
    world.write_walkthrough()
    (world.results / "splats.ply").write_bytes(b"x")

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lyra.world.folder.walkthrough.write", stopped)
        with pytest.raises(KeyboardInterrupt):
            world.revert(1)
    again = World.open(world.folder)
    assert again.frames == 81
    assert not again.walkthrough.exists() and not list(again.results.iterdir())
    world.revert(1)
    assert frame_at(world.walkthrough, 80)[1] == 81
    assert not list((world.folder / "chunks").glob(".partial-*"))
    before = world.walkthrough.stat().st_mtime_ns
    world.revert(1)
    assert world.walkthrough.stat().st_mtime_ns == before


def test_revert_shows_earlier_chunks_and_nothing_made_of_later_ones(world):
    world.write_walkthrough()
    (world.results / "splats.ply").write_bytes(b"x")
    world.revert(1)
    assert [c.index for c in World.open(world.folder).chunks] == [1]
    assert world.frames == 81
    assert not list(world.results.iterdir())
    world.revert(0)
    assert not world.walkthrough.exists()
    np.testing.assert_array_equal(world.last_w2c, np.eye(4))
    with pytest.raises(InvalidInputError, match="cannot be reverted to 1"):
        world.revert(1)


def test_a_missing_folder_of_results_is_made_again_and_what_is_no_file_stays(world):
    world.results.rmdir()
    world.revert(1)
    assert list(world.results.iterdir()) == []
    (world.results / "mine").mkdir()
    (world.results / "splats.ply").write_bytes(b"x")
    world.clear_results()
    assert [path.name for path in world.results.iterdir()] == ["mine"]


def test_a_chunk_that_fails_leaves_nothing(world, monkeypatch):
    def fail(path, frames):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lyra.world.folder.video.write_lossless", fail)
    before = world.files()
    with pytest.raises(DiskFullError, match="free some space"):
        world.add_chunk(cameras(-1.6), make_chunk(3), "", 0, 0)
    assert World.open(world.folder).files() == before
    assert world.frames == 161


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    world = make_world(tmp_path / "world")
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFullError, match=r"0\.00 GB free"):
        world.add_chunk(cameras(), make_chunk(1), "", 0, 0)
    assert not list((world.folder / "chunks").iterdir())


def test_leftovers_of_a_killed_run_are_ignored_and_removed(world):
    half = world.folder / "chunks" / ".partial-1234"
    half.mkdir()
    (half / "frames.mkv").write_bytes(b"half")
    again = World.open(world.folder)
    assert again.frames == 161
    assert not any(".partial" in path for path, _ in again.files())
    again.add_chunk(cameras(-1.6), make_chunk(3), "", 0, 0)
    assert not half.exists()


def test_only_one_process_works_on_a_world(world):
    half = world.folder / "chunks" / ".partial-1234"
    half.mkdir()
    with held_by_another_process(world.folder):
        for work in (
            lambda: world.revert(1),
            lambda: extend_world(world, cameras(-1.6, 81)),
            lambda: resume_world(world),
            lambda: reconstruct_world(world, mesh=False),
        ):
            with pytest.raises(InUseError, match=f"the world {world.folder} is under way .*another process"):
                work()
        assert half.exists()
        assert world.load_plan() is None
        assert World.open(world.folder).frames == 161
        assert not any(".lyra.lock" in path for path, _ in world.files())
    # The other process was killed; what it held is free.
    world.revert(1)
    assert (world.folder / ".lyra.lock").exists()
    assert not any(".lyra.lock" in path for path, _ in world.files())


def test_what_another_process_did_meanwhile_is_seen(world):
    World.open(world.folder).revert(1)
    assert world.frames == 161
    with world.exclusive(), world.exclusive():
        assert world.frames == 81
    world.revert(0)
    assert World.open(world.folder).frames == 1


def test_a_gap_ends_the_world(world):
    first, second = (chunk.folder for chunk in world.chunks)
    first.rename(first.with_name("0007"))
    for chunk in (first.with_name("0007"), second):
        facts = json.loads((chunk / "chunk.json").read_text())
        # Of version 1, whose chunks follow the one numbered before them.
        del facts["parent"]
        (chunk / "chunk.json").write_text(json.dumps(facts))
    assert World.open(world.folder).frames == 1


def test_plan_round_trip(world):
    path = cameras(-1.6, 81)
    world.save_plan(Plan(path, 2, {0: "first", 161: "third"}, 42))
    plan = World.open(world.folder).load_plan()
    np.testing.assert_array_equal(plan.trajectory.w2c, path.w2c)
    assert (plan.first_chunk, plan.captions, plan.seed) == (2, {0: "first", 161: "third"}, 42)
    world.clear_plan()
    assert world.load_plan() is None


def test_cameras_of_one_path_never_stand_beside_the_facts_of_another(world, monkeypatch):
    world.save_plan(Plan(cameras(-1.6, 161), 1, {0: "first"}, 1))
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(
            "lyra.world.plan.json.dumps", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        world.save_plan(Plan(cameras(-1.6, 81), 2, {0: "second"}, 2))
    assert world.load_plan() is None
    world.save_plan(Plan(cameras(-1.6, 81), 2, {0: "second"}, 2))
    assert world.load_plan().seed == 2


@pytest.mark.parametrize("first_chunk", [0, 3])
def test_a_path_is_not_resumed_once_chunks_were_taken_away_or_added_by_hand(world, first_chunk):
    world.save_plan(Plan(cameras(-1.6, 81), first_chunk, {0: ""}, 0))
    with pytest.raises(InvalidInputError, match=r"has 2 chunks; its unfinished path is for .*by hand"):
        resume_world(world, device="cpu")
    assert world.load_plan() is not None


def test_names_are_one_line_that_shows_as_it_reads():
    assert clean_name("  Old\n town \u202etxt.exe\0") == "Old town txt.exe"
    assert clean_name("می\u200cروم") == "می\u200cروم"
    assert clean_name("\n\u2066") == "World"
    assert len(clean_name("long " * 100)) <= 64


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "thesis.txt").write_text("keep me")
    with pytest.raises(InvalidInputError, match="not empty"):
        make_world(tmp_path / "world")
    assert (tmp_path / "world" / "thesis.txt").read_text() == "keep me"


def test_ids_are_safe_names():
    for name in ("Château d'If!", "", "../../etc", "a" * 200, "日本"):
        assert ID_PATTERN.fullmatch(new_id(name))


def test_cameras_without_facts_go_with_the_next_work(world):
    cameras(-1.6, 81).save(world.folder / "pending.npz")
    for place in (world.folder, world.results, world.chunks[0].folder, world.folder.parent):
        (place / ".partial-0123abcd-lock").touch()
        (place / ".partial-0123abcd.npz").touch()
    (world.results / ".partial-89abcdef").mkdir()
    half = world.folder.parent / ".partial-89abcdef"
    half.mkdir()
    (half / "seed.png").touch()
    mine = world.folder.parent / ".partial-76543210"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    with world.exclusive():
        pass
    assert not (world.folder / "pending.npz").exists()
    assert list(world.folder.parent.rglob(".partial-*")) == [mine]
