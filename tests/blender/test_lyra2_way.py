"""The engine lyra2 in Blender against a real service, with weights in miniature."""

import json
import os
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from tests.blender.addon import ROOT
from tests.blender.engine import ENGINE_PYTHON, run_in_blender, zips

pytest.importorskip("bpy", reason="needs Blender as a Python module")
HEIGHT, WIDTH = 64, 96


@pytest.fixture
def service(tmp_path):
    """Address and token of a service on the CPU, of a user who has no weights and has accepted nothing."""
    if subprocess.call([ENGINE_PYTHON, "-c", "import torch, diffusers"], stderr=subprocess.DEVNULL):
        pytest.skip("the engine's Python lacks the extra lyra-worlds[lyra2]")
    write = "import pathlib, sys, tests.miniature as m; m.write_miniature(pathlib.Path(sys.argv[1]))"
    subprocess.run([ENGINE_PYTHON, "-c", write, str(tmp_path / "mirror")], check=True, cwd=ROOT)
    environment = os.environ | {
        "LYRA_WEIGHTS": str(tmp_path / "weights"),
        "LYRA_MIRROR": str(tmp_path / "mirror"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    state = tmp_path / "backend.json"
    command = [ENGINE_PYTHON, "-m", "backend", "--device", "cpu", "--state-file", str(state)]
    command += ["--worlds", str(tmp_path / "worlds"), "--log", str(tmp_path / "backend.log")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not state.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    found = json.loads(state.read_text())
    yield f"127.0.0.1:{found['port']}", found["token"]
    process.terminate()
    process.wait(20)


@pytest.mark.blender
@pytest.mark.slow
def test_from_the_licence_to_a_world_that_carries_it(service, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    np.savez(tmp_path / "depth.npz", depth=np.full((HEIGHT, WIDTH), 4, np.float32))
    _, thin = zips()
    files = (str(tmp_path / "image.png"), str(tmp_path / "depth.npz"))
    run_in_blender("lyra2_in_blender.py", tmp_path, str(thin), *service, *files, timeout=900)
