"""Training the depth network: rate, checkpoint, and that it learns."""

import argparse
import csv
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from lyra.depth.network import DepthNetwork  # noqa: E402
from lyra.errors import EngineNotReadyError, InvalidInputError  # noqa: E402
from lyra.training.depth import Budget, Settings, Trainer, train  # noqa: E402
from lyra.training.depth_command import add_parser, run  # noqa: E402
from lyra.training.depth_data import Shard  # noqa: E402

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
    return Shard(images, depth.astype(np.float16), np.full(4, 0.9, np.float32))


def test_the_rate_warms_up_falls_slowly_and_cools_down(tmp_path):
    trainer = Trainer(tmp_path, Settings())
    rates = []
    for trainer.step, used in [(0, 0.0), (300, 0.1), (4000, 0.2), (16000, 0.5), (16000, 0.99)]:
        rates.append(trainer.rate(used) / trainer.settings.rate)
    assert rates == pytest.approx([1 / 300, 1, 1, 0.5, 0.5 * 0.01 / 0.15])
    # A run that goes on takes up the rate that its step calls for, whatever the first part cooled down to.
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


@pytest.mark.slow
def test_one_command_makes_weights_curve_and_sheet(tmp_path):
    pytest.importorskip("lyra.training.synthetic").generate  # noqa: B018
    row = train(tmp_path / "run", Budget(steps=4), settings=SETTINGS)
    assert row["step"] == 4 and 0 <= row["ordinal"] <= 1 and row["fov_error"] >= 0
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"depth.safetensors", "curve.csv", "curve.png", "sheet.png", "state.json", "pool"} <= made
    train(tmp_path / "run", Budget(steps=2), resume=True, settings=SETTINGS)
    with (tmp_path / "run" / "curve.csv").open() as file:
        assert [line["step"] for line in csv.DictReader(file)] == ["3", "4", "6"]


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InvalidInputError, match=r"holds no checkpoint"):
        train(tmp_path / "new", Budget(steps=1), resume=True)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="go on with --resume"):
        train(tmp_path, Budget(steps=1))


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
    if not torch.cuda.is_available():
        with pytest.raises(EngineNotReadyError, match="sees no CUDA device"):
            run(parser.parse_args(["depth", "--out", str(tmp_path), "--steps", "3", "--device", "cuda"]))
