"""Reconstruction and export of a world of the small scene."""

import errno
import json
import shutil
import zipfile

import numpy as np
import pytest

from lyra.common.errors import DiskFullError, InvalidInputError
from lyra.common.progress import SILENT, Progress
from lyra.pipeline.around import TURNS, views_around
from lyra.pipeline.create import create_world
from lyra.pipeline.export import LICENSE_FILE, available_items, export_world
from lyra.pipeline.reconstruct import reconstruct_world
from lyra.world.folder import World
from tests.worlds import SCENE_SIZE, cameras, make_chunk, make_world, seeded


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
    depth = np.full(SCENE_SIZE, np.inf, np.float32)
    depth[50 : 50 + surface, 50 : 50 + surface] = 3
    np.savez(tmp_path / "depth.npz", depth=depth)
    world = create_world(
        tmp_path / "world", small_scene / "image.png", depth_file=tmp_path / "depth.npz", size=SCENE_SIZE
    )
    results = reconstruct_world(world)
    assert (results["faces"], results["splats"] > 0) == (0, True)
    assert "no mesh" in results["notes"][0]
    assert says in results["notes"][0]
    assert available_items(world) == ["splats.ply", "trajectory.npz"]
    assert world.reconstructed


def test_a_chunk_whose_state_is_lost_still_gives_splats(tmp_path):
    """What lies beside the path is drawn from the engine's state; the frames need none."""
    world = make_world(tmp_path / "world")
    world.add_chunk(cameras(), make_chunk(1), "", 0, 1.0)
    results = reconstruct_world(world, mesh=False, device="cpu")
    assert results["splats"] > 0 and any("beside the path" in note for note in results["notes"])


def test_views_to_the_sides_are_of_what_the_preview_knows(finished, monkeypatch):
    """In a world of another engine it knows the first frame alone."""
    assert len(views_around(finished, "cpu", SILENT)) == 2 * len(TURNS)
    monkeypatch.setattr(World, "engine", "lyra2")
    views = views_around(finished, "cpu", SILENT)
    assert len(views) == len(TURNS)
    assert all(np.allclose(view.camera.center, 0) for view in views)
