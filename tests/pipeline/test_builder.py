"""The whole way without Blender or service: seed, extend, resume, revert, reconstruct, export."""

import errno
import json
import shutil
import zipfile

import numpy as np
import pytest

from lyra.common.errors import CancelledError, DiskFullError, EngineNotReadyError, InvalidInputError
from lyra.common.progress import Progress
from lyra.depth.base import DepthEstimate
from lyra.geometry.cameras import Trajectory
from lyra.hub.licences import LICENCES
from lyra.pipeline.create import create_world
from lyra.pipeline.export import LICENSE_FILE, available_items, export_world
from lyra.pipeline.extend import extend_world, prepare_path, resume_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.world.captions import caption_for, check_captions, load_captions
from lyra.world.folder import World

SIZE = (112, 208)


@pytest.fixture(scope="module")
def finished(small_scene, tmp_path_factory):
    """A world of two chunks, made without interruption."""
    world = seeded(small_scene, tmp_path_factory.mktemp("worlds") / "whole")
    extend_world(world, Trajectory.load(small_scene / "path.npz"), captions={0: "a wall", 81: "a yard"})
    return world


def seeded(scene, folder, **options):
    path = Trajectory.load(scene / "path.npz")
    return create_world(
        folder, scene / "image.png", depth_file=scene / "depth.npz", size=SIZE, lens=path, seed=5, **options
    )


@pytest.mark.parametrize(
    ("licence", "expected"), [("cc-by-nc-4.0", "non-commercial use only"), ("apache-2.0", "no model licence")]
)
def test_a_world_says_what_the_weights_of_its_depth_allow(
    small_scene, tmp_path, monkeypatch, licence, expected
):
    class Estimator:
        id = "weights"

        def estimate(self, image, intrinsics=None):
            notes = tuple(filter(None, ("It was a bright day.", LICENCES[licence].notice)))
            return DepthEstimate(
                np.ones(image.shape[:2], np.float32), intrinsics, True, "weights", notes=notes
            )

    monkeypatch.setattr(
        "lyra.pipeline.create.depth_estimators.create_estimator", lambda *_, **__: Estimator()
    )
    path = Trajectory.load(small_scene / "path.npz")
    world = create_world(tmp_path / "world", small_scene / "image.png", size=SIZE, lens=path)
    assert expected in World.open(world.folder).settings.license
    assert ("no model licence" in world.settings.license) == (licence == "apache-2.0")


def test_a_world_has_every_frame_and_says_how_it_was_made(finished):
    world = World.open(finished.folder)
    assert world.frames == 161
    assert [chunk.prompt for chunk in world.chunks] == ["a wall", "a yard"]
    assert [chunk.seed for chunk in world.chunks] == [5, 6]
    assert world.walkthrough.exists()
    assert any("depth.npz" in note for note in world.notes)
    assert world.load_plan() is None
    for view in world.views():
        assert (view.depth > 0).all()
        assert view.image.std() > 10


def test_a_cancelled_run_keeps_whole_chunks_and_resumes_to_the_same_frames(small_scene, finished, tmp_path):
    world = seeded(small_scene, tmp_path / "world")
    cancelled = Progress(cancelled=lambda: len(World.open(world.folder).chunks) == 1)
    with pytest.raises(CancelledError):
        extend_world(
            world,
            Trajectory.load(small_scene / "path.npz"),
            captions={0: "a wall", 81: "a yard"},
            progress=cancelled,
        )
    again = World.open(world.folder)
    assert again.frames == 81
    seen = []
    assert resume_world(again, progress=Progress(lambda stage, fraction, frame: seen.append(fraction))) == []
    assert seen[0] == 0.475
    assert seen == sorted(seen)
    assert resume_world(again) is None
    for mine, whole in zip(again.chunks, finished.chunks, strict=True):
        np.testing.assert_array_equal(mine.load_frames(), whole.load_frames())
        np.testing.assert_array_equal(mine.load_depth(), whole.load_depth())
        assert (mine.prompt, mine.seed) == (whole.prompt, whole.seed)


def test_reverted_and_extended_again_gives_the_same_frames(small_scene, finished, tmp_path):
    world = seeded(small_scene, tmp_path / "world")
    path = Trajectory.load(small_scene / "path.npz")
    extend_world(world, path)
    world.revert(1)
    extend_world(world, path[80:])
    np.testing.assert_array_equal(world.chunks[1].load_frames(), finished.chunks[1].load_frames())


def test_reconstruct_and_export(finished, tmp_path):
    seen = []
    results = reconstruct_world(
        finished, progress=Progress(lambda stage, fraction, frame: seen.append((stage, fraction)))
    )
    assert results["splats"] > 1000
    assert results["faces"] > 100
    assert results["psnr"] > 24
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert json.loads((finished.results / "results.json").read_text()) == results
    items = available_items(finished)
    target = export_world(finished, items, tmp_path / "world.zip")
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == sorted([*items, LICENSE_FILE])
        assert archive.read(LICENSE_FILE).decode().strip() == finished.settings.license
        with archive.open("trajectory.npz") as file, np.load(file) as data:
            assert data["w2c"].shape == (161, 4, 4)
    with pytest.raises(InvalidInputError, match=r"world\.json"):
        export_world(finished, ["world.json"], tmp_path / "other.zip")


def test_results_that_find_no_room_take_nothing_away(finished, tmp_path, monkeypatch):
    world = World.open(shutil.copytree(finished.folder, tmp_path / "world"))
    world.clear_results()
    before = {"splats.ply": b"old", "mesh.glb": b"old", "results.json": b"{}"}
    for name, data in before.items():
        (world.results / name).write_bytes(data)

    def full(surface, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("lyra.formats.mesh_files.save_glb", full)
    with pytest.raises(DiskFullError, match="results"):
        reconstruct_world(world)
    assert {path.name: path.read_bytes() for path in world.results.iterdir()} == before


def test_a_missing_folder_of_results_is_made_again(small_scene, tmp_path):
    world = seeded(small_scene, tmp_path / "world")
    world.results.rmdir()
    assert export_world(world, ["trajectory.npz"], world.packed).exists()
    shutil.rmtree(world.results)
    assert reconstruct_world(world, mesh=False)["splats"] > 0


@pytest.mark.parametrize(("surface", "says"), [(2, "sky"), (6, "too little")])
def test_a_world_with_too_little_surface_gets_splats_alone_and_a_note(surface, says, small_scene, tmp_path):
    depth = np.full(SIZE, np.inf, np.float32)
    depth[50 : 50 + surface, 50 : 50 + surface] = 3
    np.savez(tmp_path / "depth.npz", depth=depth)
    world = create_world(
        tmp_path / "world", small_scene / "image.png", depth_file=tmp_path / "depth.npz", size=SIZE
    )
    results = reconstruct_world(world)
    assert (results["faces"], results["splats"] > 0) == (0, True)
    assert "no mesh" in results["notes"][0]
    assert says in results["notes"][0]
    assert available_items(world) == ["splats.ply", "trajectory.npz"]
    assert world.reconstructed


def test_a_path_that_starts_elsewhere_is_moved_and_that_is_said(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz")
    moved, notes = prepare_path(finished, path)
    np.testing.assert_allclose(moved.w2c[0], finished.last_w2c)
    assert "was moved there" in notes[0]
    again, notes = prepare_path(finished, moved)
    np.testing.assert_array_equal(again.w2c, moved.w2c)
    assert notes == []


@pytest.mark.parametrize(
    ("chunks", "total", "says"), [(99, 8081, "at most 81 frames"), (100, 8161, "Revert this world")]
)
def test_no_path_makes_a_world_too_long(chunks, total, says, small_scene, finished, monkeypatch):
    world = World.open(finished.folder)
    monkeypatch.setattr(world, "chunks", world.chunks[-1:] * chunks)
    with pytest.raises(InvalidInputError, match=f"{total} frames.*8001.*{says}"):
        prepare_path(world, Trajectory.load(small_scene / "path.npz"))


def test_another_lens_is_said(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz").rebased(finished.last_w2c)
    zoomed = Trajectory(path.w2c, path.intrinsics * [[[1.5], [1.5], [1]]], path.height, path.width)
    _, notes = prepare_path(finished, zoomed)
    assert "factor of 1.5" in notes[0]


def test_a_path_in_another_unit_than_the_world_is_said_once(small_scene, finished):
    path = Trajectory.load(small_scene / "path.npz")
    depth = finished.chunks[-1].load_depth()[-1]
    np.testing.assert_array_equal(finished.chunks[-1].load_last_depth(), depth)
    long, told = prepare_path(finished, path, pose_scale=100)
    (said,) = [note for note in told if "--pose-scale" in note]
    assert "median depth of" in said
    assert said in prepare_path(finished, long)[1]
    _, told = prepare_path(finished, path, pose_scale=1e-4)
    assert any("less than a pixel" in note for note in told)
    with pytest.raises(InvalidInputError, match="smaller pose scale"):
        prepare_path(finished, path, pose_scale=1e7)


def test_a_picture_s_lens_is_checked_against_it(small_scene, tmp_path):
    def made(**lens):
        return create_world(
            tmp_path / "world",
            small_scene / "image.png",
            depth_file=small_scene / "depth.npz",
            size=SIZE,
            **lens,
        )

    good = Trajectory.load(small_scene / "path.npz").intrinsics[0]
    for bad, words in (
        (good / [[208], [112], [1]], "look normalised"),
        (good * [[4], [4], [1]], "about 832x448"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            made(intrinsics=bad)
    with pytest.raises(InvalidInputError, match="of a 112x208 picture and the picture is 208x112"):
        made(intrinsics=good, intrinsics_hw=(208, 112))
    assert not (tmp_path / "world").exists()
    world = made(intrinsics=(good * [[1.33], [1], [1]] - [[0, 0, 0.33 * 104], [0, 0, 0], [0, 0, 0]])[None])
    assert any("not square" in note for note in world.notes)
    assert world.intrinsics[0, 0] == pytest.approx(1.33 * good[0, 0])


def test_a_world_made_before_lenses_were_checked_still_opens(finished, tmp_path):
    world = World.open(shutil.copytree(finished.folder, tmp_path / "world"))
    file = world.chunks[0].folder / "trajectory.npz"
    path = Trajectory.load(file)
    Trajectory(path.w2c, path.intrinsics / [[208], [112], [1]], path.height, path.width).save(file)
    with pytest.raises(InvalidInputError, match="look normalised"):
        Trajectory.load(file)
    assert len(World.open(world.folder).trajectory()) == 161


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        ({}, ["", "", ""]),
        ({0: "a"}, ["a", "a", "a"]),
        ({0: "a", 81: "b", 161: "c"}, ["a", "b", "c"]),
        ({0: "a", 82: "b"}, ["a", "a", "b"]),
        ({100: "late"}, ["late", "late", "late"]),
    ],
)
def test_captions_belong_to_chunks_by_their_starting_frame(captions, expected):
    assert [caption_for(captions, chunk) for chunk in range(3)] == expected


@pytest.mark.parametrize(
    "data", [[], {}, {"a": "x"}, {"-1": "x"}, {"1.5": "x"}, {"0": 3}, {"0": None}, "text", {"٣": 1}]
)
def test_bad_captions_are_refused(data):
    with pytest.raises(InvalidInputError, match=r"captions\.json"):
        check_captions(data, "captions.json")


def test_unknown_and_unready_engines(small_scene, tmp_path):
    with pytest.raises(InvalidInputError, match=r"'warp9'.*preview"):
        seeded(small_scene, tmp_path / "world", engine="warp9")
    with pytest.raises(EngineNotReadyError, match="Engine 'lyra2' is not ready"):
        seeded(small_scene, tmp_path / "world", engine="lyra2")
    assert not (tmp_path / "world").exists()


def test_captions_that_windows_has_marked_as_utf_8(tmp_path):
    file = tmp_path / "captions.json"
    file.write_text('{"0": "a hall, 広間"}', "utf-8-sig")
    assert load_captions(file) == {0: "a hall, 広間"}
    file.write_text('{"0": "a hall"}', "utf-16")
    with pytest.raises(InvalidInputError, match=r"no captions file \(JSON in UTF-8\)"):
        load_captions(file)
