"""The demo, small: every file it promises, and a .blend that finds its media and its world again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
LOOK = """
import json, sys, bpy
from pathlib import Path
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
clips = [str(Path(bpy.path.abspath(clip.filepath)).resolve()) for clip in bpy.data.movieclips]
empty = next(obj for obj in bpy.data.objects if obj.get("lyra_world_id"))
facts = {"clips": clips, "id": empty["lyra_world_id"], "children": sorted(child.name for child in empty.children)}
print("FACTS" + json.dumps(facts))
"""


@pytest.mark.blender
@pytest.mark.slow
def test_the_whole_way_on_the_example_scene(tmp_path):
    pytest.importorskip("bpy", reason="the demo opens Blender; install the extra 'demo'")
    out = tmp_path / "out"
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(out), "--size", "208x112"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    names = ["world.blend", "splats.ply", "mesh.glb", "walkthrough.mp4", "render.png", "world"]
    assert result.stdout.split() == [str(out / name) for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    render = np.asarray(Image.open(out / "render.png").convert("RGB"))
    assert render.std() > 20
    assert (render.max(2) < 8).mean() < 0.05
    seen = subprocess.run(
        [sys.executable, "-c", LOOK, str(out / "world.blend")], capture_output=True, text=True, check=True
    )
    facts = json.loads(next(line[5:] for line in seen.stdout.splitlines() if line.startswith("FACTS")))
    assert facts["clips"] == [str(out / "walkthrough.mp4")]
    assert facts["id"] == json.loads((out / "world" / "world.json").read_text())["id"]
    assert len(facts["children"]) >= 4


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("keep me")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "thesis.txt").read_text() == "keep me"
