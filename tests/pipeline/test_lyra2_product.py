"""The Lyra 2.0 engines as users run them, on a miniature of the weight repositories: command line and backend.

Fetching, licences and conversion by `lyra models` are tested in tests/hub; here the ready weights make worlds.
"""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lyra.cli.main import main
from lyra.geometry.cameras import Trajectory, intrinsics_from_fov
from lyra.world.folder import World
from tests.backend.service import Service, picture

pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")
from tests.miniature import install_miniature, write_miniature

HEIGHT, WIDTH = 64, 96
FRAMES = 161


def forward_path() -> Trajectory:
    w2c = np.tile(np.eye(4), (FRAMES, 1, 1))
    w2c[:, 2, 3] = -np.linspace(0, 0.5, FRAMES)
    k = intrinsics_from_fov(1.0, HEIGHT, WIDTH)
    return Trajectory(w2c, np.tile(k, (FRAMES, 1, 1)), HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with a picture, a path and captions, in an environment with ready weights and accepted licences."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "image.png").write_bytes(picture(208, 128))
    forward_path().save(folder / "path.npz")
    captions = {"0": "A street at noon", "81": "A street in the rain"}
    (folder / "captions.json").write_text(json.dumps(captions))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LYRA_WEIGHTS", str(folder / "weights"))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        mirror = write_miniature(folder / "mirror")
        install_miniature(folder / "weights", mirror, folder / "config" / "lyra-worlds")
        yield folder


def generate(studio, out: str) -> list[str]:
    inputs = [str(studio / "image.png"), "--trajectory", str(studio / "path.npz")]
    texts = ["--captions", str(studio / "captions.json"), "--seed", "3"]
    engine = ["--engine", "lyra2", "--steps", "2", "--guidance", "3", "--device", "cpu"]
    return ["generate", *inputs, *texts, *engine, "--size", "96x64", "--no-mesh", "--out", str(studio / out)]


@pytest.fixture(scope="module")
def uninterrupted(studio) -> World:
    assert main(generate(studio, "whole")) == 0
    return World.open(studio / "whole")


def frames_of(world: World) -> list[np.ndarray]:
    return [chunk.load_frames() for chunk in world.chunks]


def test_a_world_has_the_captions_the_notice_and_frames_that_differ(uninterrupted):
    world = uninterrupted
    assert world.frames == FRAMES
    assert [chunk.prompt for chunk in world.chunks] == ["A street at noon", "A street in the rain"]
    assert [chunk.seed for chunk in world.chunks] == [3, 4]
    assert "research and development only" in world.settings.license
    first, second = frames_of(world)
    assert first.shape == (80, HEIGHT, WIDTH, 3)
    assert first.std() > 1 and not np.array_equal(first, second)
    depth = world.chunks[0].load_depth()
    assert depth.shape == (80, HEIGHT, WIDTH) and (depth > 0).all()
    assert world.walkthrough.is_file() and world.reconstructed


def test_killed_after_a_chunk_and_resumed_it_gives_the_same_frames(studio, uninterrupted):
    command = [sys.executable, "-m", "lyra", *generate(studio, "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first_chunk = studio / "killed" / "chunks" / "0001" / "chunk.json"
    deadline = time.monotonic() + 900
    while not first_chunk.exists() and process.poll() is None:
        assert time.monotonic() < deadline, "no chunk was made"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    world = World.open(studio / "killed")
    assert len(world.chunks) == 1
    assert main(["resume", str(world.folder), "--no-mesh", "--device", "cpu"]) == 0
    resumed = World.open(studio / "killed")
    for again, first in zip(frames_of(resumed), frames_of(uninterrupted), strict=True):
        assert np.array_equal(again, first)
    for again, first in zip(resumed.chunks, uninterrupted.chunks, strict=True):
        assert np.array_equal(again.load_depth(), first.load_depth())


def test_a_reverted_chunk_is_made_again_with_another_text(studio, uninterrupted, capsys):
    target = studio / "reverted"
    shutil.copytree(uninterrupted.folder, target)
    assert main(["revert", str(target), "--chunks", "1"]) == 0
    rest = forward_path()[80:]
    rest.save(studio / "rest.npz")
    path = ["--trajectory", str(studio / "rest.npz"), "--prompt", "A street in the snow", "--steps", "2"]
    assert main(["extend", str(target), *path, "--seed", "3", "--no-mesh", "--device", "cpu"]) == 0
    world = World.open(target)
    assert [chunk.prompt for chunk in world.chunks] == ["A street at noon", "A street in the snow"]
    first, second = frames_of(world)
    old_first, old_second = frames_of(uninterrupted)
    assert np.array_equal(first, old_first) and not np.array_equal(second, old_second)
    assert main(["reconstruct", str(target), "--device", "cpu"]) == 0
    assert (world.results / "splats.ply").is_file() and (world.results / "mesh.glb").is_file()


@pytest.mark.parametrize(
    ("change", "says"),
    [(["--steps", "0"], "steps is 0"), (["--memory-mode", "tight"], "tight"), (["--guidance", "nan"], "nan")],
)
def test_settings_that_no_engine_has_are_refused_before_anything_is_written(studio, capsys, change, says):
    assert main([*generate(studio, "never"), *change]) == 2
    assert says in capsys.readouterr().err
    assert not (studio / "never").exists()


def test_captions_beyond_the_path_are_refused(studio, capsys):
    late = studio / "late.json"
    late.write_text('{"500": "never seen"}')
    assert main([*generate(studio, "never"), "--captions", str(late)]) == 2
    assert "beyond the path's end" in capsys.readouterr().err


def test_the_backend_resumes_after_a_kill_and_reverts(studio, tmp_path):
    service = Service(tmp_path).start()
    states = {engine["id"]: engine["state"]["status"] for engine in service.client.get("/v1/engines").json()}
    assert states == {"preview": "ready", "lyra2": "ready", "lyra2-fast": "ready"}
    world = service.new_world({"engine": "lyra2-fast", "size": [WIDTH, HEIGHT], "name": "Miniature"})
    path = forward_path()
    body = {
        "trajectory": {
            "w2c": path.w2c.tolist(),
            "intrinsics": np.tile(np.array(world["intrinsics"]), (FRAMES, 1, 1)).tolist(),
            "image_height": HEIGHT,
            "image_width": WIDTH,
        },
        "prompt": "A street",
        "reconstruct": True,
        "mesh": False,
    }
    refused = service.extend(world["id"], body, options={"steps": 7})
    assert refused.status_code == 400 and "steps is 7" in refused.json()["detail"]
    job = service.extend(world["id"], body).json()
    first_chunk = service.worlds / world["id"] / "chunks" / "0001" / "chunk.json"
    service.until(first_chunk.exists, seconds=900)
    service.kill()
    service.start()
    assert service.job(job["id"])["state"] in ("interrupted", "done")
    service.client.post(f"/v1/jobs/{job['id']}/resume")
    done = service.wait(job["id"], seconds=900)
    assert done["state"] == "done" and done["preview"]
    made = service.client.get(f"/v1/worlds/{world['id']}").json()
    assert made["frames"] == FRAMES and made["results"]["splats"] > 0
    assert "research and development only" in made["license"]
    reverted = service.client.post(f"/v1/worlds/{world['id']}/revert", json={"chunks": 1}).json()
    assert reverted["frames"] == 81 and reverted["results"] is None
    again = service.client.post(f"/v1/worlds/{world['id']}/reconstruct", json={"mesh": False}).json()
    assert service.wait(again["id"], seconds=900)["state"] == "done"
    service.stop()
