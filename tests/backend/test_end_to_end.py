"""The real worker and engine behind the API: the whole way, and the same frames after the service was killed."""

import io
import json
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from lyra.geometry.cameras import Trajectory
from lyra.world.folder import World
from tests.backend.service import Service, detail


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("real")).start()
    yield service
    if service.process.poll() is None:
        assert service.stop() == 0


@pytest.fixture(scope="module")
def path(small_scene):
    return Trajectory.load(small_scene / "path.npz")


def wire(path):
    """A trajectory as the API takes it."""
    return {
        "w2c": path.w2c.tolist(),
        "intrinsics": path.intrinsics.tolist(),
        "image_height": path.height,
        "image_width": path.width,
    }


def new_world(service, scene, path, name):
    settings = {"name": name, "seed": 5, "intrinsics": path.intrinsics[0].tolist()}
    image, depth = (scene / "image.png").read_bytes(), (scene / "depth.npz").read_bytes()
    return service.new_world(settings, image, depth=("depth.npz", depth))


@pytest.fixture(scope="module")
def finished(real, small_scene, path):
    """A world of two chunks with splats and mesh, and its extend job."""
    world = new_world(real, small_scene, path, "Uninterrupted")
    job = real.extend(world["id"], trajectory=wire(path), reconstruct=True, prompt="a wall").json()
    # Blender looks at the world while it grows: files appear and vanish under the service's eyes.
    while (job := real.job(job["id"]))["state"] in ("queued", "running"):
        growing = real.client.get(f"/v1/worlds/{world['id']}")
        assert growing.status_code == 200, growing.text
        assert not any(".partial" in file["path"] for file in growing.json()["files"])
    assert job["state"] == "done", job
    return real.client.get(f"/v1/worlds/{world['id']}").json(), job


def depth_map(height, width):
    """An 8-bit map in which the lower edge is nearest, as a file of a request."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(height, dtype=np.uint8)[:, None].repeat(width, 1)).save(buffer, "PNG")
    return "map.png", buffer.getvalue()


def test_choices_of_depth_reach_the_world(real):
    settings = {"depth": "layout", "depth_scene": "indoor", "depth_values": "inverse"}
    world = real.new_world(settings, depth=depth_map(112, 208))
    assert any("(indoor) was not used" in note for note in world["notes"])
    assert any("map.png was read as relative depth" in note for note in world["notes"])
    assert "--depth-values inverse" in detail(real.post_world(depth=depth_map(112, 208)))
    assert "map.png is 100x90 and" in detail(real.post_world(settings, depth=depth_map(90, 100)))


def test_a_path_gives_frames_splats_mesh_and_video(real, finished, path):
    world, job = finished
    assert world["frames"] == 161
    assert [(chunk["index"], chunk["prompt"]) for chunk in world["chunks"]] == [(1, "a wall"), (2, "a wall")]
    assert np.allclose(world["last_w2c"], path.w2c[-1])
    assert np.allclose(world["intrinsics"], path.intrinsics[0])
    assert world["results"]["splats"] > 0
    assert world["results"]["faces"] > 0
    paths = {file["path"] for file in world["files"]}
    assert {"walkthrough.mp4", "results/splats.ply", "results/mesh.glb", "results/mesh.ply"} <= paths
    assert "depth.npz" in world["depth_source"]
    stages = [event["stage"] for event in real.client.get(f"/v1/jobs/{job['id']}/events").json()]
    assert "frames" in stages
    assert real.client.get(f"/v1/jobs/{job['id']}/preview").content[:2] == b"\xff\xd8"


def test_results_are_packed_and_fetched(real, finished):
    world, _ = finished
    items = ["splats.ply", "walkthrough.mp4", "trajectory.npz"]
    job = real.client.post(f"/v1/worlds/{world['id']}/export", json={"items": items}).json()
    done = real.wait(job["id"])
    assert done["state"] == "done", done
    packed = real.client.get(f"/v1/worlds/{world['id']}/files/results/export.zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted([*items, "license.txt"])


def test_an_export_of_what_is_not_there_says_so(real, small_scene, path):
    world = new_world(real, small_scene, path, "Bare")
    job = real.client.post(f"/v1/worlds/{world['id']}/export", json={"items": ["mesh.glb"]}).json()
    failed = real.wait(job["id"])
    assert failed["state"] == "failed"
    assert "mesh.glb" in failed["error"]


def test_a_path_that_starts_elsewhere_is_moved_and_the_job_says_so(real, finished, path):
    world, _ = finished
    job = real.extend(world["id"], trajectory=wire(path[:81]), pose_scale=0.5).json()
    real.until(lambda: real.job(job["id"])["notes"] or real.job(job["id"])["state"] == "failed")
    assert any("the whole path was moved there" in note for note in real.job(job["id"])["notes"])
    real.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert real.wait(job["id"])["state"] in ("cancelled", "done")
    reverted = real.client.post(f"/v1/worlds/{world['id']}/revert", json={"chunks": 2}).json()
    assert reverted["frames"] == 161


def test_a_cancelled_job_keeps_its_whole_chunks_and_goes_on(real, small_scene, path):
    world = new_world(real, small_scene, path, "Cancelled")
    job = real.extend(world["id"], trajectory=wire(path)).json()
    folder = real.worlds / world["id"]
    real.until((folder / "chunks" / "0001").exists, 120)
    asked = time.monotonic()
    real.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert real.wait(job["id"])["state"] == "cancelled"
    assert time.monotonic() - asked < 2
    assert [chunk.name for chunk in (folder / "chunks").iterdir()] == ["0001"]
    assert real.client.post(f"/v1/jobs/{job['id']}/resume").status_code == 202
    resumed = real.wait(job["id"])
    assert (resumed["state"], resumed["error"]) == ("done", None)
    assert real.client.get(f"/v1/worlds/{world['id']}").json()["frames"] == 161


@pytest.mark.parametrize(
    ("depth", "says"),
    [
        (np.ones((50, 60), np.float32), "60x50"),
        (-np.ones((112, 208), np.float32), "-1"),
        (np.zeros((112, 208), np.float32), "0 everywhere"),
        (np.full((112, 208), np.nan, np.float32), "not a number"),
    ],
)
def test_bad_depth_is_refused_at_once(real, depth, says):
    buffer = io.BytesIO()
    np.savez(buffer, depth=depth)
    text = detail(real.post_world(depth=("my depth.npz", buffer.getvalue())))
    assert says in text
    assert "my_depth.npz" in text
    assert str(real.folder) not in text


def test_a_killed_service_resumes_to_the_very_same_frames(real, finished, small_scene, path):
    world = new_world(real, small_scene, path, "Interrupted")
    job = real.extend(world["id"], trajectory=wire(path), prompt="a wall").json()
    chunk = real.worlds / world["id"] / "chunks" / "0001"
    real.until(chunk.exists, 120)
    real.kill()
    assert not (chunk.parent / "0002").exists(), "the second chunk was finished before the kill"

    real.start()
    assert real.job(job["id"])["state"] == "interrupted"
    assert real.client.get(f"/v1/worlds/{world['id']}").json()["frames"] == 81
    assert list(chunk.parent.iterdir()) == [chunk]
    written = chunk.stat().st_mtime_ns
    assert real.client.post(f"/v1/jobs/{job['id']}/resume").status_code == 202
    assert real.wait(job["id"], seconds=200)["state"] == "done"
    assert chunk.stat().st_mtime_ns == written

    resumed, whole = (World.open(real.worlds / w["id"]) for w in (world, finished[0]))
    assert resumed.frames == whole.frames == 161
    for ours, theirs in zip(resumed.chunks, whole.chunks, strict=True):
        assert np.array_equal(ours.load_frames(), theirs.load_frames())
        assert np.array_equal(ours.load_depth(), theirs.load_depth())
        assert np.array_equal(ours.load_trajectory().w2c, theirs.load_trajectory().w2c)
        assert (ours.prompt, ours.seed) == (theirs.prompt, theirs.seed)
    assert json.loads((resumed.folder / "world.json").read_text())["name"] == "Interrupted"
