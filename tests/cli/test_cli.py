"""The command line as its users run it: exit codes, one clear line, nothing half-written."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lyra.cli.main import build_parser, main, what_is_left
from lyra.cli.terminal import progress_bar
from lyra.common.errors import CancelledError, DiskFullError, InvalidInputError
from lyra.common.files import whole_file, whole_folder
from lyra.common.progress import Progress
from lyra.engines import default_device
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory
from lyra.world.plan import Plan
from tests.worlds import cameras, make_chunk, make_world


def generate(scene, out, *more, image=None):
    return main(
        [
            "generate",
            str(image or scene / "image.png"),
            "--trajectory",
            str(scene / "path.npz"),
            "--out",
            str(out),
            *more,
        ]
    )


def test_generate_resume_revert_reconstruct_export(small_scene, tmp_path, capsys):
    out = tmp_path / "world"
    options = ["--size", "208x112", "--depth", str(small_scene / "depth.npz"), "--frames", "81", "--no-mesh"]
    assert generate(small_scene, out, *options) == 0
    printed = capsys.readouterr()
    assert str(out / "walkthrough.mp4") in printed.out
    assert str(out / "results" / "splats.ply") in printed.out
    assert "depth.npz" in printed.err
    assert main(["reconstruct", str(out)]) == 0
    assert (out / "results" / "mesh.glb").exists()
    assert main(["export", str(out), "--out", str(tmp_path / "world.zip")]) == 0
    path = str(small_scene / "path.npz")
    assert (
        main(["extend", str(out), "--trajectory", path, "--frames", "81", "--prompt", "a yard", "--no-mesh"])
        == 0
    )
    assert "was moved there" in capsys.readouterr().err
    facts = json.loads((out / "chunks" / "0002" / "chunk.json").read_text())
    assert (facts["prompt"], facts["seed"]) == ("a yard", 1)
    assert not (out / "results" / "mesh.glb").exists(), "an old mesh beside new splats"
    assert main(["revert", str(out), "--chunks", "0"]) == 0
    assert not (out / "walkthrough.mp4").exists()
    assert main(["resume", str(out)]) == 2
    assert "no unfinished path" in capsys.readouterr().err


def refused(capsys, code, *parts):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2, error
    assert error.startswith("lyra: ")
    for part in parts:
        assert part in error


def test_bad_input_gets_one_line_and_leaves_nothing(small_scene, tmp_path, capsys):
    out = tmp_path / "world"
    refused(capsys, generate(small_scene, out, "--frames", "100"), "100 frames", "1 + 80k")
    refused(capsys, generate(small_scene, out, "--frames", "241"), "241", "161 poses")
    refused(capsys, generate(small_scene, out, "--engine", "warp9"), "'warp9'", "preview")
    refused(capsys, generate(small_scene, out, "--engine", "lyra2"), "Engine 'lyra2' is not ready")
    refused(capsys, generate(small_scene, out, "--pose-scale", "-1"), "-1")
    text = tmp_path / "notes.txt"
    text.write_text("this is no image")
    refused(capsys, generate(small_scene, out, image=text), "notes.txt")
    Image.new("RGB", (40, 200)).save(tmp_path / "tiny.png")
    refused(capsys, generate(small_scene, out, image=tmp_path / "tiny.png"), "40", "64")
    refused(capsys, generate(small_scene, out, image=tmp_path / "absent.png"), "absent.png")
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"first": "a hall"}))
    refused(capsys, generate(small_scene, out, "--captions", str(captions)), "'first'")
    captions.write_text(json.dumps({"500": "a hall"}))
    refused(capsys, generate(small_scene, out, "--captions", str(captions)), "beyond")
    for depth in (np.zeros((112, 208)), -np.ones((112, 208)), np.ones((50, 60))):
        np.savez(tmp_path / "bad_depth.npz", depth=depth.astype(np.float32))
        refused(
            capsys, generate(small_scene, out, "--depth", str(tmp_path / "bad_depth.npz")), "bad_depth.npz"
        )
    with np.load(small_scene / "path.npz") as data:
        arrays = dict(data)
    arrays["w2c"][3, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", **arrays)
    refused(
        capsys,
        main(
            [
                "generate",
                str(small_scene / "image.png"),
                "--trajectory",
                str(tmp_path / "nan.npz"),
                "--out",
                str(out),
            ]
        ),
        "frame 3",
    )
    refused(capsys, main(["reconstruct", str(tmp_path)]), "no world folder")
    assert not out.exists()
    assert not list(tmp_path.glob(".partial-*"))


def test_choices_of_depth_reach_the_world(small_scene, tmp_path, capsys, monkeypatch):
    given = {}

    def begin_world(request, device, progress):
        given.update(vars(request), device=device)
        raise InvalidInputError("far enough")

    monkeypatch.setattr("lyra.pipeline.create.begin_world", begin_world)
    options = {"--depth-scene": "indoor", "--depth-values": "inverse", "--depth-model": "layout"}
    refused(capsys, generate(small_scene, tmp_path / "world", *sum(options.items(), ())), "far enough")
    assert (given["depth_scene"], given["depth_values"], given["depth"]) == ("indoor", "inverse", "layout")
    assert given["device"] is None


def test_an_existing_folder_is_kept(small_scene, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("keep me")
    refused(capsys, generate(small_scene, tmp_path, "--size", "208x112"), "not empty")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder_to_write_to(small_scene, tmp_path, capsys, monkeypatch):
    file = tmp_path / "thesis.txt"
    file.write_text("keep me")
    # Before the depth, which takes its time.
    monkeypatch.setattr("lyra.pipeline.create.depth_estimators.create_estimator", pytest.fail)
    refused(capsys, generate(small_scene, file), "thesis.txt", "is a file")
    world = file / "new" / "world"
    refused(capsys, generate(small_scene, world), f"{world} cannot", "another path", "nothing was written")
    assert file.read_text() == "keep me"
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    refused(capsys, generate(small_scene, "."), "folder you are in")
    assert not list(empty.iterdir())


def test_what_the_system_refuses_is_named_with_what_is_left(tmp_path, capsys):
    world = make_world(tmp_path / "world")
    packed = tmp_path / "nowhere" / "world.zip"
    code = main(["export", str(world.folder), "--out", str(packed)])
    refused(capsys, code, f"{packed.parent} cannot be used", f"{packed} was not written. Run it again")
    refused(capsys, main(["export", str(world.folder), "--out", str(tmp_path)]), f"{tmp_path} is a folder")
    # What stands elsewhere keeps its name.
    absent = tmp_path / "absent"
    with pytest.raises(FileNotFoundError) as error, whole_file(tmp_path / "new.txt"):
        absent.read_text()
    assert error.value.filename == str(absent)
    with pytest.raises(FileNotFoundError) as error, whole_folder(tmp_path / "new") as folder:
        (folder / "absent").read_text()
    assert error.value.filename == str(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.PNG", "world"]


def test_a_lens_of_another_picture_leaves_nothing(small_scene, tmp_path, capsys):
    path = Trajectory.load(small_scene / "path.npz")
    Trajectory(path.w2c, path.intrinsics / [[208], [112], [1]], 112, 208).save(tmp_path / "shares.npz")
    given = ["--trajectory", str(tmp_path / "shares.npz")]
    refused(
        capsys, generate(small_scene, tmp_path / "world", *given), "shares.npz", "look normalised", "208x112"
    )
    assert not (tmp_path / "world").exists()


def test_what_is_odd_about_a_path_is_said_once(small_scene, tmp_path, capsys, monkeypatch):
    """In centimetres, and backwards as in OpenGL's axes."""

    def stop(world, plan):
        raise KeyboardInterrupt

    monkeypatch.setattr("lyra.world.folder.World.save_plan", stop)
    path = Trajectory.load(small_scene / "path.npz")
    w2c = np.linalg.inv(path.c2w @ np.diag([1.0, -1, -1, 1]))
    w2c[:, 0, 3] = 0
    Trajectory(w2c, path.intrinsics, 112, 208).scaled(100).save(tmp_path / "odd.npz")
    options = ["--size", "208x112", "--depth", str(small_scene / "depth.npz")]
    assert (
        generate(small_scene, tmp_path / "world", *options, "--trajectory", str(tmp_path / "odd.npz")) == 130
    )
    error = capsys.readouterr().err
    assert error.count("note: The camera goes backwards along the path") == 1
    assert error.count("--pose-scale, centimetres by 0.01") == 1
    assert main(["extend", str(tmp_path / "world"), "--trajectory", str(tmp_path / "odd.npz")]) == 130
    assert "--pose-scale, centimetres by 0.01" in capsys.readouterr().err


def test_numbers_out_of_range_are_quoted(small_scene, tmp_path, capsys):
    refused(capsys, generate(small_scene, tmp_path / "world", "--frames", "-5"), "--frames -5", "81")
    for seed in ("-5", "99999999999", "x"):
        with pytest.raises(SystemExit) as error:
            generate(small_scene, tmp_path / "world", "--seed", seed)
        assert error.value.code == 2
        assert f"'{seed}'" in capsys.readouterr().err


@pytest.mark.skipif(default_device() == "cuda", reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused_before_anything_is_written(small_scene, tmp_path, capsys):
    refused(capsys, generate(small_scene, tmp_path / "world", "--device", "cuda"), "no CUDA GPU")
    assert not (tmp_path / "world").exists()


class StopAt:
    """Stands in for the progress bar: the user presses Ctrl-C when a stage begins."""

    def __init__(self, stage):
        self.stage, self.reached = stage, False

    @contextmanager
    def __call__(self):
        yield Progress(self.listen, lambda: self.reached)

    def listen(self, stage, fraction, frame):
        self.reached = self.reached or stage == self.stage


def test_stopped_at_the_depth_nothing_is_there(small_scene, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lyra.cli.worlds.progress_bar", StopAt("depth"))
    assert generate(small_scene, tmp_path / "world", "--size", "208x112") == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "world").exists()


def test_stopped_before_the_path_is_saved_the_way_on_is_named(small_scene, tmp_path, capsys, monkeypatch):
    out = tmp_path / "world"
    moved = tmp_path / "moved.npz"
    Trajectory.load(small_scene / "path.npz")[80:161].save(moved)

    def stop(world, plan):
        raise KeyboardInterrupt

    monkeypatch.setattr("lyra.world.folder.World.save_plan", stop)
    options = ["--size", "208x112", "--depth", str(small_scene / "depth.npz")]
    assert generate(small_scene, out, *options, "--trajectory", str(moved)) == 130
    error = capsys.readouterr().err
    # What is to be known is said even so, and once.
    assert error.count("note: Depth: ") == 1
    assert error.count("was moved there") == 1
    assert f"`lyra extend {out} --trajectory FILE`" in error
    assert main(["resume", str(out)]) == 2
    assert f"`lyra extend {out} --trajectory FILE`" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["frames", "splats", "mesh"])
def test_stopped_anywhere_later_resume_goes_on(stage, small_scene, tmp_path, capsys):
    out = tmp_path / "world"
    options = ["--size", "208x112", "--depth", str(small_scene / "depth.npz"), "--frames", "81"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lyra.cli.worlds.progress_bar", StopAt(stage))
        assert generate(small_scene, out, *options) == 130
    assert f"lyra resume {out}" in capsys.readouterr().err
    assert not (out / "results" / "results.json").exists()
    assert main(["resume", str(out)]) == 0
    assert (out / "results" / "results.json").exists()
    assert (out / "results" / "mesh.glb").exists()
    capsys.readouterr()
    assert main(["resume", str(out)]) == 2
    assert f"lyra reconstruct {out}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["extend", "W", "--trajectory", "p.npz"], "`lyra extend W --trajectory FILE` goes on"),
        (["resume", "W"], "`lyra extend W --trajectory FILE` goes on"),
        (["reconstruct", "W"], "`lyra reconstruct W` makes splats and mesh again"),
        (["export", "W", "--out", "w.zip"], "w.zip was not written. Run it again"),
        (["revert", "W", "--chunks", "1"], "run it again"),
        (["engines"], "run it again"),
    ],
)
def test_a_stopped_command_names_the_step_that_goes_on(command, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = make_world(Path("W"))
    left = what_is_left(build_parser().parse_args(command))
    assert says in left
    assert "resume" not in left
    if command[0] in ("extend", "resume"):
        world.save_plan(Plan(cameras(frames=CHUNK_FRAMES + 1), 0, {0: "a hall"}, 0))
        assert "`lyra resume W` goes on" in what_is_left(build_parser().parse_args(command))


def test_results_that_are_not_of_all_frames_are_said(tmp_path, capsys):
    world = make_world(tmp_path / "world")
    (world.results / "splats.ply").write_bytes(b"x")

    def told(*command):
        assert main([command[0], str(world.folder), *command[1:]]) == 0
        return capsys.readouterr().err

    export = ["export", "--out", str(tmp_path / "world.zip")]
    makes = f"`lyra reconstruct {world.folder}` makes them"
    assert "note:" not in told("revert", "--chunks", "0")
    world.add_chunk(cameras(), make_chunk(1), "", 0, 0)
    for command in (["revert", "--chunks", "1"], export):
        assert f"splats and mesh are not made yet; {makes}" in told(*command)
    world.figures.write_text('{"frames": 1}')
    assert f"splats and mesh are of 1 of 81 frames; {makes}" in told(*export)
    assert "note:" not in told(*export, "--items", "trajectory.npz")
    world.figures.write_text('{"frames": 81}')
    assert "note:" not in told(*export)


def test_a_path_for_which_the_disk_is_too_small_can_be_resumed(small_scene, tmp_path, capsys, monkeypatch):
    out = tmp_path / "world"

    def full(folder, needed):
        raise DiskFullError(f"{folder} has no space; free some")

    options = ["--size", "208x112", "--depth", str(small_scene / "depth.npz"), "--frames", "81"]
    with monkeypatch.context() as patch:
        patch.setattr("lyra.pipeline.extend.require_space", full)
        refused(capsys, generate(small_scene, out, *options), "free some")
    assert main(["resume", str(out), "--no-mesh"]) == 0
    assert (out / "walkthrough.mp4").exists()


def test_a_path_is_printed_whatever_the_letters_of_the_terminal(tmp_path, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="cp1252"))
    world = make_world(tmp_path / "城")
    assert main(["export", str(world.folder), "--out", str(tmp_path / "城.zip")]) == 0
    sys.stdout.flush()
    assert written.getvalue().strip().endswith(b"\\u57ce.zip")


def test_help_shows_examples():
    result = subprocess.run(
        [sys.executable, "-m", "lyra", "--help"], capture_output=True, text=True, check=True
    )
    assert "lyra generate castle.jpg" in result.stdout


def test_usage_errors_exit_with_2():
    with pytest.raises(SystemExit) as error:
        main(["generate", "x.png", "--trajectory", "p.npz", "--out", "o", "--size", "huge"])
    assert error.value.code == 2


def test_engines(capsys):
    assert main(["engines"]) == 0
    printed = capsys.readouterr().out
    assert "preview" in printed
    assert "lyra2-fast" in printed


def test_serve_passes_its_options_on():
    result = subprocess.run(
        [sys.executable, "-m", "lyra", "serve", "--help"], capture_output=True, text=True, check=True
    )
    assert "--state-file" in result.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "lyra", "serve", "--port", "many"], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "'many'" in wrong.stderr


def test_ctrl_c_waits_for_the_piece_under_way_and_a_second_one_does_not(capfd):
    with progress_bar() as progress:
        os.kill(os.getpid(), signal.SIGINT)
        assert "Ctrl-C again stops at once" in capfd.readouterr().err
        with pytest.raises(CancelledError):
            progress.update("frames", 0.5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            # The handler runs between two lines.
            time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_reader_that_ends_early_is_no_error():
    command = [sys.executable, "-m", "lyra", "models", "list"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as lister:
        lister.stdout.close()
        assert lister.stderr.read() == b""
    assert lister.returncode == 141
