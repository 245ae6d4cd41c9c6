"""Takes on the command line: listed, switched, extended from, cleaned."""

import re
import shutil

import numpy as np
import pytest

from lyra.cli.main import main
from lyra.common.errors import CancelledError
from lyra.world.folder import World
from lyra.world.options import EngineOptions
from lyra.world.plan import Plan
from lyra.world.takes import unneeded
from tests.worlds import QuickEngine, cameras, make_chunk, make_world


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A world with two takes of its second chunk, each with results; 3 is shown."""
    world = make_world(tmp_path_factory.mktemp("made") / "world")
    world.add_chunk(cameras(), make_chunk(1), "a hall", 11, 1.5)
    for seed, options in ((2, EngineOptions(steps=20)), (3, EngineOptions())):
        world.switch(1)
        prompt = f"a yard\nnumber {seed} " + 80 * "x"
        world.add_chunk(cameras(-0.8), make_chunk(seed), prompt, seed, 2.5, options=options)
        world.write_walkthrough()
        world.clear_results()
        (world.results / "splats.ply").write_bytes(b"splats %d" % seed)
        world.figures.write_text('{"frames": 161, "splats": 9}')
    return world.folder


@pytest.fixture
def world(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lyra.pipeline.extend.create_engine", QuickEngine)
    shutil.copytree(made, tmp_path / "W")
    return World.open(tmp_path / "W")


@pytest.fixture
def run(capsys):
    """Runs a command that must end with `code`; gives what it prints and notes."""

    def run(*command, code=0):
        capsys.readouterr()
        assert main([*command]) == code
        said = capsys.readouterr()
        return said.out, said.err

    return run


def test_takes_are_a_table(world, run):
    lines = run("takes", "W")[0].splitlines()
    assert lines[0].split() == ["take", "parent", "frames", "seed", "engine", "state", "prompt"]
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["0", "-", "1", "3"],
        ["1", "0", "81", "11"],
        ["2", "1", "161", "2"],
    ]
    assert lines[4].split()[:5] == ["*", "3", "1", "161", "3"]
    assert "preview steps=20" in lines[3] and "preview steps" not in lines[4]
    assert "on its line" in lines[2] and "head, results" in lines[4] and "results" in lines[3]
    # A prompt is one line, and the columns stand below each other.
    assert "a yard number 2 xxx" in lines[3] and lines[3].endswith("…") and max(map(len, lines)) < 140
    assert {line.index("a yard") for line in lines[3:]} == {lines[0].index("prompt")}


def test_a_switch_shows_another_take_at_once(world, run):
    assert "W now has 161 frames, to take 2." in run("switch", "W", "2")[0]
    assert (world.results / "splats.ply").read_bytes() == b"splats 2"
    run("switch", "W", "3")
    assert (world.results / "splats.ply").read_bytes() == b"splats 3"
    out, err = run("switch", "W", "7", code=2)
    assert "no take 7" in err and not out
    assert "W now has 1 frames, to take 0." in run("switch", "W", "0")[0]
    with pytest.raises(SystemExit):
        main(["switch", "W", "two"])


def test_a_revert_says_what_is_kept_of_a_stopped_path(world, run):
    world.save_plan(Plan(cameras(-1.6, 81), 2, {0: ""}, 4, parent=3))
    out, err = run("revert", "W", "--chunks", "1")
    assert "W now has 81 frames, to take 1." in out
    assert "unfinished path of take 3 stays with it: `lyra switch W 3` and `lyra resume W` go on" in err
    assert re.search(r"\n   3  1 +161 .* results, unfinished ", run("takes", "W")[0])
    assert "Take 3 has an unfinished path; `lyra resume W` goes on" in run("switch", "W", "3")[1]


def test_a_path_goes_on_from_another_chunk(world, run, monkeypatch):
    monkeypatch.setattr("lyra.cli.worlds.make_results", lambda *_: None)
    cameras(5.0, 81).save("on.npz")
    out, err = run(
        "extend", "W", "--from", "2", "--trajectory", "on.npz", "--prompt", "a tower", "--seed", "8"
    )
    assert "W now has 161 frames, to take 2." in out
    assert "the whole path was moved there" in err
    opened = World.open("W")
    assert [chunk.id for chunk in opened.chunks] == [1, 2, 4]
    assert (opened.chunks[2].prompt, opened.chunks[2].seed, opened.chunks[2].parent) == ("a tower", 10, 2)
    np.testing.assert_allclose(opened.chunks[2].load_trajectory().w2c[0], cameras(-1.6).w2c[0], atol=1e-6)
    run("switch", "W", "3")
    assert World.open("W").reconstructed


def test_a_path_that_cannot_be_used_moves_nothing(world, run):
    path = cameras(0.0, 81)
    path.w2c[40, :3, 3] = 1e9
    path.save("far.npz")
    for options in (["--trajectory", "far.npz"], ["--trajectory", "none.npz"]):
        run("extend", "W", "--from", "2", *options, code=2)
        assert World.open("W").head == 3
    cameras(0.0, 81).save("on.npz")
    assert "no take 9" in run("extend", "W", "--from", "9", "--trajectory", "on.npz", code=2)[1]


def test_a_stopped_branch_is_resumed(world, run, monkeypatch):
    monkeypatch.setattr("lyra.cli.worlds.make_results", lambda *_: None)
    cameras(-1.6, 161).save("on.npz")

    def stopped(*_):
        raise CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("lyra.world.folder.World.write_walkthrough", stopped)
        assert (
            "`lyra resume W` goes on"
            in run("extend", "W", "--from", "1", "--trajectory", "on.npz", code=130)[1]
        )
    assert "unfinished" in run("takes", "W")[0]
    run("resume", "W")
    opened = World.open("W")
    assert [chunk.id for chunk in opened.chunks] == [1, 4, 5] and opened.load_plan() is None


@pytest.mark.parametrize(
    ("answer", "removed"), [("y", True), ("Yes", True), ("n", False), ("", False), (None, False)]
)
def test_cleaning_asks_first(world, run, monkeypatch, answer, removed):
    asked = []

    def answered(question):
        asked.append(question)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", answered)
    size = unneeded(world).size
    out, _ = run("clean", "W")
    assert len(asked) == 1 and f"1 chunk (2) and what is kept of 1 take (2), {size / 1e6:,.1f} MB" in out
    assert ("Removed 1 chunk" in out) is removed and ("Nothing was removed." in out) is not removed
    assert (world.folder / "chunks" / "0002").exists() is not removed
    assert (world.results / "splats.ply").read_bytes() == b"splats 3"


def test_cleaning_without_asking_and_without_doing(world, run, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    assert "does without 1 chunk (2)" in run("clean", "W", "--dry-run")[0]
    assert (world.folder / "chunks" / "0002").exists() and (world.folder / "takes" / "0002").exists()
    assert "Removed 1 chunk (2)" in run("clean", "W", "--yes")[0]
    assert not (world.folder / "chunks" / "0002").exists() and not (world.folder / "takes").exists()
    assert "W holds nothing that take 3 does without." in run("clean", "W")[0]
