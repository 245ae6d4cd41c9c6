"""The engine class: what a chunk consists of, resuming to the last bit, cancelling, previews, notes."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.common.errors import CancelledError, InvalidInputError  # noqa: E402
from lyra.common.progress import SILENT, Progress  # noqa: E402
from lyra.engines.lyra2.engine import Lyra2Engine, to_uint8  # noqa: E402
from lyra.engines.lyra2.memory_modes import Placement  # noqa: E402
from lyra.engines.lyra2.settings import Lyra2Settings  # noqa: E402
from lyra.world.folder import World  # noqa: E402
from lyra.world.options import EngineOptions, ranges_of  # noqa: E402
from lyra.world.settings import WorldSettings, now  # noqa: E402
from tests.engines.lyra2.parts import HEIGHT, WIDTH, path, seed_view, tiny_parts  # noqa: E402

FAST = Lyra2Settings("dmd")
PROMPTS = ("a wall", "a hall")


def new_world(folder):
    settings = WorldSettings("tiny-1", "tiny", "lyra2-fast", HEIGHT, WIDTH, 5, "wall", "", now())
    source = folder.parent / "source.png"
    source.write_bytes(b"")
    points = np.zeros(1, [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")])
    return World.create(folder, settings, seed_view(), source, points)


def add(world, engine, state, number):
    """Chunk `number` (from 0) of the path, kept in the world."""
    cameras = path()[1 + 80 * number : 81 + 80 * number]
    chunk = engine.extend(state, cameras, PROMPTS[number], 5 + number, SILENT)
    world.add_chunk(cameras, chunk, PROMPTS[number], 5 + number, 0.0)
    return chunk


@pytest.fixture(scope="module")
def engine():
    return Lyra2Engine(tiny_parts(), FAST, "lyra2-fast")


@pytest.fixture(scope="module")
def whole(engine, tmp_path_factory):
    """A world of two chunks made in one go, and the chunks as the engine gave them."""
    world = new_world(tmp_path_factory.mktemp("worlds") / "whole")
    state = engine.begin(world.seed_view())
    return world, [add(world, engine, state, 0), add(world, engine, state, 1)]


def assert_equal(one, other):
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_array_equal(one.depth, other.depth)
    for name, array in one.state.items():
        np.testing.assert_array_equal(array, other.state[name])


def test_a_chunk_is_frames_depth_and_what_restoring_needs(whole):
    _, (first, second) = whole
    for number, chunk in enumerate((first, second)):
        assert chunk.frames.shape == (80, HEIGHT, WIDTH, 3) and chunk.frames.dtype == np.uint8
        assert chunk.depth.shape == (80, HEIGHT, WIDTH) and chunk.depth.dtype == np.float32
        assert (chunk.depth > 0).all() and not np.isnan(chunk.depth).any()
        assert chunk.state["remembered"].tolist() == list(range(80 * number + 8, 80 * number + 81, 8))
        assert chunk.state["sampled"].dtype == np.float32
    # Half way to the wall: 4 - 0.5 from it, and nothing in between was made up.
    lower = first.depth[:, HEIGHT // 2 :]
    expected = 4 + path().w2c[1:81, 2, 3]
    np.testing.assert_allclose(np.median(lower, (1, 2)), expected, rtol=0.01)
    assert not np.array_equal(first.frames, second.frames)


def test_restored_after_a_chunk_gives_the_same_bits(whole, tmp_path):
    world = new_world(tmp_path / "world")
    engine = Lyra2Engine(tiny_parts(), FAST)
    add(world, engine, engine.begin(world.seed_view()), 0)
    reopened = World.open(world.folder)
    another = Lyra2Engine(tiny_parts(), FAST)
    assert_equal(
        add(reopened, another, another.restore(reopened.seed_view(), reopened.chunks), 1), whole[1][1]
    )


def test_reverted_and_made_again_gives_the_same_bits(engine, whole, tmp_path):
    world, chunks = whole
    copy = World.open(shutil.copytree(world.folder, tmp_path / "copy"))
    copy.revert(1)
    assert_equal(add(copy, engine, engine.restore(copy.seed_view(), copy.chunks), 1), chunks[1])
    copy.revert(0)
    assert_equal(add(copy, engine, engine.restore(copy.seed_view(), copy.chunks), 0), chunks[0])


def test_a_chunk_without_its_state_is_refused(engine, whole, tmp_path):
    world = World.open(shutil.copytree(whole[0].folder, tmp_path / "copy"))
    (world.chunks[1].folder / "state.npz").unlink()
    with pytest.raises(InvalidInputError, match=r"0002 has no state\.npz.*revert the world to 1 chunks"):
        engine.restore(world.seed_view(), world.chunks)


def test_cancelled_between_steps_and_seen_before(engine, monkeypatch):
    monkeypatch.setattr("lyra.engines.lyra2.engine.PREVIEW_SECONDS", 0.0)
    shown = []
    progress = Progress(
        lambda stage, fraction, frame: shown.append((fraction, frame)), lambda: len(shown) >= 9
    )
    state = engine.begin(seed_view())
    with pytest.raises(CancelledError):
        engine.extend(state, path()[1:81], "a wall", 5, progress)
    fractions = [fraction for fraction, _ in shown]
    assert fractions == sorted(fractions)
    previews = [frame for _, frame in shown if frame is not None]
    assert previews and all(
        frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8 for frame in previews
    )


def test_texts_are_read_once_and_their_encoder_is_let_go():
    parts = tiny_parts()
    engine = Lyra2Engine(parts, FAST)
    engine.announce(["a wall", "a hall", "a wall"])
    assert parts.text_encoder.loads == 1 and not parts.text_encoder.loaded


def test_seeds_and_prompts_make_a_difference(engine, whole):
    state = engine.begin(seed_view())
    cameras = path()[1:81]
    for prompt, seed in (("a wall", 6), ("a hall", 5)):
        made = engine.make_chunk(state, cameras.w2c, cameras.intrinsics, prompt, seed)
        assert not np.array_equal(made.sampled[0].numpy(), whole[1][0].state["sampled"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["resident", "offload"])
def test_a_gpu_gives_the_same_chunk_as_a_cpu(whole, monkeypatch, mode):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    parts = tiny_parts(placement=Placement(mode))
    parts.vae.to("cuda")
    engine = Lyra2Engine(parts, FAST, device="cuda")
    chunk = engine.extend(engine.begin(seed_view()), path()[1:81], PROMPTS[0], 5, SILENT)
    expected = whole[1][0]
    # Accumulated in another order, splats by atomics.
    np.testing.assert_allclose(chunk.state["sampled"], expected.state["sampled"], atol=2e-3)
    assert np.abs(chunk.frames.astype(int) - expected.frames.astype(int)).max() <= 2


def test_frames_are_cut_off_for_people_and_rounded_for_depth():
    video = torch.tensor([-1.2, -1.0, 0.0, 0.999, 1.5]).expand(1, 3, 1, 1, 5)
    assert to_uint8(video)[0, 0, :, 0].tolist() == [0, 0, 127, 254, 255]
    assert to_uint8(video, rounded=True)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("engine_id", "options", "passes"),
    [
        ("lyra2", EngineOptions(), 35),
        ("lyra2", EngineOptions(steps=12, guidance=3.0), 12),
        ("lyra2-fast", EngineOptions(memory_mode="fp8"), 4),
    ],
)
def test_settings_of_options(engine_id, options, passes):
    settings = Lyra2Settings.of(engine_id, options)
    assert settings.make_sampler().passes == passes
    assert settings.memory_mode == options.memory_mode
    assert settings.guided == (engine_id == "lyra2")


def test_what_users_are_shown_is_what_the_engine_does():
    defaults = Lyra2Settings.of("lyra2", EngineOptions())
    for name, shown in ranges_of("lyra2").items():
        assert getattr(defaults, name) == shown.default
        for value in (shown.min, shown.max):
            EngineOptions(**{name: value}).checked_for("lyra2")
    assert Lyra2Settings.of("lyra2-fast", EngineOptions(styles=0.5)).styles == 0.5


def test_options_that_an_engine_lacks_are_refused():
    for engine_id in ("lyra2-fast", "preview"):
        with pytest.raises(InvalidInputError, match=rf"steps is 20.*{engine_id}"):
            EngineOptions(steps=20).checked_for(engine_id)
    for bad, says in ((EngineOptions(steps=0), "steps is 0"), (EngineOptions(guidance=float("nan")), "nan")):
        with pytest.raises(InvalidInputError, match=says):
            bad.checked()
    with pytest.raises(InvalidInputError, match=r"'tiny'.*resident, fp8, offload"):
        EngineOptions(memory_mode="tiny").checked()
