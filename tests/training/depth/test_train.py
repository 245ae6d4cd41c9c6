"""Training of the depth network: learning rate, checkpoint, convergence."""

import argparse
import copy
import csv
import dataclasses
import multiprocessing
import threading

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from lyra.cli.train import add_parser, run  # noqa: E402
from lyra.common.errors import EngineNotReadyError, InvalidInputError  # noqa: E402
from lyra.common.progress import Progress  # noqa: E402
from lyra.depth.network import DepthNetwork  # noqa: E402
from lyra.training.depth.all_reduce import AllReduce  # noqa: E402
from lyra.training.depth.data import Shard  # noqa: E402
from lyra.training.depth.network import DepthNet  # noqa: E402
from lyra.training.depth.report import CURVES, append_row, draw_curve  # noqa: E402
from lyra.training.depth.train import Budget, train  # noqa: E402
from lyra.training.depth.trainer import MAX_SKIPPED, Settings, Trainer  # noqa: E402

SETTINGS = Settings(pixels=4 * 32 * 48, sizes=((32, 48),), report_every=3, held_out=2, warmup=2, shards=2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def slopes() -> Shard:
    """Pictures in which a dark ground comes nearer below a light sky."""
    rng = np.random.default_rng(0)
    rows = np.arange(32)[None, :, None] - rng.integers(8, 16, (4, 1, 1))
    depth = np.broadcast_to(np.where(rows < 0, np.inf, 40 / np.maximum(rows + 1, 1)), (4, 32, 48))
    light = np.where(np.isinf(depth), 220, 60) + rng.integers(-20, 20, depth.shape)
    images = np.repeat(light[..., None], 3, -1).astype(np.uint8)
    up = np.tile(np.float32([0, -1, 0]), (4, 1))
    return Shard(images, depth.astype(np.float16), np.full(4, 0.9, np.float32), up)


def test_the_rate_warms_up_falls_slowly_and_cools_down(tmp_path):
    trainer = Trainer(tmp_path, Settings())
    rates = []
    for trainer.step, used in [(0, 0.0), (300, 0.1), (4000, 0.2), (16000, 0.5), (16000, 0.99)]:
        rates.append(trainer.rate(used) / trainer.settings.rate)
    assert rates == pytest.approx([1 / 300, 1, 1, 0.5, 0.5 * 0.01 / 0.15])
    # A resumed run continues at its step's rate, regardless of the first part's cooldown.
    assert trainer.rate(0.0) / trainer.settings.rate == pytest.approx(0.5)


def test_budget_is_used_by_whichever_comes_first():
    assert Budget(steps=10).used(5, 1e6) == 0.5
    assert Budget(minutes=2).used(10**6, 30) == 0.25
    assert Budget(10, 2).used(9, 60) == 0.9


def test_it_learns_and_a_resumed_run_is_the_same_run(tmp_path, slopes):
    trainer = Trainer(tmp_path, dataclasses.replace(SETTINGS, mean_over=5))
    rng = np.random.default_rng(0)
    losses = [trainer.learn(slopes, rng, 0.0)["loss"] for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]
    trainer.save()
    again = Trainer(tmp_path, SETTINGS, seed=1)
    again.load()
    assert (again.step, again.seen) == (12, 48)
    after = []
    for one in (trainer, again):
        torch.manual_seed(5)
        after.append(one.learn(slopes, np.random.default_rng(3), 0.0))
    assert after[0] == pytest.approx(after[1], rel=1e-3)
    shipped = DepthNetwork.load(tmp_path / "depth.safetensors")
    assert shipped.facts["steps"] == "12" and shipped.predict(slopes.images[0]).sky.shape == (32, 48)


def test_steps_without_a_finite_gradient_change_nothing_and_end_the_run(tmp_path, slopes):
    trainer = Trainer(tmp_path, SETTINGS)
    rng = np.random.default_rng(0)
    trainer.learn(slopes, rng, 0.0)
    broken = dataclasses.replace(slopes, focal=np.full(4, np.nan, np.float32))
    before = {name: value.clone() for name, value in trainer.mean.state_dict().items()}
    trainer.learn(broken, rng, 0.0)
    assert all(value.equal(before[name]) for name, value in trainer.mean.state_dict().items())
    assert np.isfinite(trainer.learn(slopes, rng, 0.0)["loss"]) and trainer.step == 3
    with pytest.raises(FloatingPointError, match="not finite since step 3"):
        for _ in range(MAX_SKIPPED):
            trainer.learn(broken, rng, 0.0)


def test_a_row_without_a_finite_loss_does_not_end_the_curve(tmp_path):
    for step, loss in ((1, 2.0), (2, np.nan), (3, 1.0)):
        append_row(tmp_path / "curve.csv", {"step": step} | dict.fromkeys(CURVES, loss))
    draw_curve(tmp_path / "curve.csv", tmp_path / "curve.png")
    picture = np.asarray(Image.open(tmp_path / "curve.png"))
    assert ((picture == (30, 80, 200)).all(-1).sum()) > 100  # the line is there


def test_a_run_that_learns_something_more_goes_on_in_the_same_curve(tmp_path):
    path = tmp_path / "curve.csv"
    append_row(path, {"step": 1, "loss": 0.5})
    append_row(path, {"step": 2, "chord": 0.25, "loss": 0.4})
    assert path.read_text().split() == ["step,loss,chord", "1,0.5,", "2,0.4,0.25"]


@pytest.mark.slow
def test_two_processes_learn_as_one(tmp_path):
    """The second ends with the first, and what both have seen is counted."""
    settings = dataclasses.replace(SETTINGS, processes=2)
    row = train(tmp_path / "run", Budget(steps=3), settings=settings, seed=3)
    assert row["step"] == 3 and row["seen"] == 3 * 2 * 4
    assert not [process for process in multiprocessing.active_children() if process.is_alive()]


def test_processes_that_learn_together_take_the_step_of_the_mean(tmp_path, slopes):
    """Two trainers, each in a thread, end with the same weights: those of one that saw both gradients."""
    settings = dataclasses.replace(SETTINGS, processes=2)
    all_reduce = AllReduce(2, sum(p.numel() for p in DepthNet().parameters()) + 2)
    # As every process has its own copy, with the same memory behind it.
    trainers = [Trainer(tmp_path, settings, rank=rank, all_reduce=copy.copy(all_reduce)) for rank in range(2)]
    halves = [
        dataclasses.replace(
            slopes, **{n: getattr(slopes, n)[k::2] for n in ("images", "depth", "focal", "up")}
        )
        for k in range(2)
    ]
    workers = [
        threading.Thread(target=t.learn, args=(half, np.random.default_rng(k), 0.3 * (1 - k), k == 0))
        for k, (t, half) in enumerate(zip(trainers, halves, strict=True))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    first, second = (dict(trainer.model.named_parameters()) for trainer in trainers)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert all(trainer.over and trainer.share == pytest.approx(0.3) for trainer in trainers)


@pytest.mark.slow
def test_one_command_makes_weights_curve_and_sheet(tmp_path):
    pytest.importorskip("lyra.synthetic").generate  # noqa: B018
    row = train(tmp_path / "run", Budget(steps=4), settings=SETTINGS)
    assert row["step"] == 4 and 0 <= row["ordinal"] <= 1 and row["fov_error"] >= 0
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"depth.safetensors", "curve.csv", "curve.png", "sheet.png", "state.json", "pool"} <= made
    train(tmp_path / "run", Budget(steps=2), resume=True, settings=SETTINGS)
    asked = Progress(cancelled=lambda: True)
    stopped = train(tmp_path / "run", Budget(minutes=9), resume=True, settings=SETTINGS, progress=asked)
    assert stopped["step"] == 7  # the step at hand, then the end
    with (tmp_path / "run" / "curve.csv").open() as file:
        assert [line["step"] for line in csv.DictReader(file)] == ["3", "4", "6", "7"]


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InvalidInputError, match=r"holds no checkpoint"):
        train(tmp_path / "new", Budget(steps=1), resume=True)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="go on with --resume"):
        train(tmp_path, Budget(steps=1))


def test_the_command_hands_on_how_the_run_is_made(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        "lyra.training.depth.train.train", lambda out, budget, **rest: made.append((budget, rest))
    )
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    line = "depth --minutes 27 --cooldown 0.6 --batch 3 --processes 2 --resume --out"
    assert run(parser.parse_args([*line.split(), str(tmp_path)])) == 0
    ((budget, rest),) = made
    settings = rest["settings"]
    assert budget == Budget(minutes=27) and rest["resume"] and settings.cooldown == 0.6
    assert settings.pixels == 3 * 96 * 160 and settings.processes == 2


def test_the_command_asks_how_long_and_on_what(tmp_path):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["depth", "--out", str(tmp_path)])
    assert options.run is run
    with pytest.raises(InvalidInputError, match="--steps is None and --minutes is None"):
        run(options)
    with pytest.raises(InvalidInputError, match="--steps is -3"):
        run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "-3", "--minutes", "1"]))
    with pytest.raises(InvalidInputError, match="--batch is 1"):
        run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "3", "--batch", "1"]))
    with pytest.raises(InvalidInputError, match="--processes is 0; at least 1"):
        run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "3", "--processes", "0"]))
    with pytest.raises(InvalidInputError, match=r"--cooldown is 1\.5; it is a share"):
        run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "3", "--cooldown", "1.5"]))
    if not torch.cuda.is_available():
        with pytest.raises(EngineNotReadyError, match="sees no CUDA device"):
            run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "3", "--device", "cuda"]))
