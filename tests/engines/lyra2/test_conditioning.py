"""Slots, cameras and types of a chunk's conditioning; its numbers are held to the goldens by tests.parity."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra lyra-worlds[lyra2]")

from lyra.engines.lyra2.conditioning import Conditioner  # noqa: E402
from lyra.engines.lyra2.framepack import PUBLISHED_LAYOUT, FramePackLayout  # noqa: E402
from lyra.engines.lyra2.history import History, encoded_alone, padded_retrieval  # noqa: E402
from lyra.engines.lyra2.retrieval import Retrieval  # noqa: E402
from lyra.engines.lyra2.vae import DECODER_REACH, ENCODER_REACH  # noqa: E402
from lyra.memory import GeometryCache, MemorySettings  # noqa: E402
from tests.engines.lyra2.parts import HEIGHT, WIDTH, path, seed_view, tiny_parts, wall_depth  # noqa: E402

LAYOUT = FramePackLayout.parse(PUBLISHED_LAYOUT)


class NumberVae:
    """A latent is the number of its last frame, which is written into the frames' pixels."""

    def encode(self, video, cache=None):
        kept = video[:, :1, (0 if cache is None else 3) :: 4, ::8, ::8]
        return kept.expand(-1, 16, -1, -1, -1).float(), "live"

    def decode(self, latents, cache=None):
        return latents, "live"


def numbered(frames, dtype=torch.float32):
    """Video (1, 3, F, 32, 48) whose pixels are the frames' numbers."""
    numbers = torch.tensor(list(frames), dtype=dtype).view(1, 1, -1, 1, 1)
    return numbers.expand(1, 3, -1, HEIGHT, WIDTH)


def past(chunks):
    vae = NumberVae()
    history = History.begin(vae, numbered([0])[:, :, 0], LAYOUT)
    for n in range(chunks):
        frames = numbered(range(80 * n + 1, 80 * n + 81))
        history = history.continued(frames, vae.encode(frames, "live")[0])
    return history.remembering(encoded_alone(vae, {i: numbered([i])[:, :, 0] for i in range(0, 161, 8)}))


@pytest.mark.parametrize(
    ("chunks", "retrieved", "expected"),
    [
        (0, [0], [0] * 25),
        (1, [16, 8], [0, 0, 0, 0, 16, 8, *range(8, 81, 4)]),
        (2, [8, 16, 24, 32, 40], [0, 8, 16, 24, 32, 40, *range(88, 161, 4)]),
    ],
)
def test_every_slot_holds_its_frame_and_the_camera_of_it(chunks, retrieved, expected):
    history = past(chunks)
    padded = padded_retrieval(retrieved, len(LAYOUT.spatial_slots))
    latents = history.slot_latents(LAYOUT, padded)
    assert latents.shape == (1, 16, 25, HEIGHT // 8, WIDTH // 8)
    assert latents[0, 0, :, 0, 0].int().tolist() == expected
    assert history.slot_frames(LAYOUT, padded) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_chunk_is_conditioned_in_the_type_of_the_network(dtype):
    parts = tiny_parts(dtype)
    image = torch.tensor(seed_view().image).permute(2, 0, 1)[None].to(dtype) / 127.5 - 1
    history = History.begin(parts.vae, image, LAYOUT)
    memory = GeometryCache(HEIGHT, WIDTH, MemorySettings.published())
    memory.add(0, wall_depth(np.eye(4)), np.eye(4), seed_view().intrinsics)
    retrieved = Retrieval(5).frames(memory, path(81), 1)
    made = Conditioner(LAYOUT, dtype=dtype).build(history, memory, path(81), retrieved, parts.vae)
    h, w = HEIGHT // 8, WIDTH // 8
    assert retrieved == [0]
    assert made.history.shape == (1, 16, 25, h, w)
    assert made.condition.shape == (1, 20, 45, h, w)
    assert made.rays.shape == (1, 384, 45, h, w)
    assert made.correspondence.shape == (1, 1280, 45, h, w)
    for tensor in (made.history, made.condition, made.rays, made.correspondence):
        assert tensor.dtype is dtype and tensor.isfinite().all()
    assert (made.condition[:, :4] == 1).all()
    assert torch.equal(made.condition[:, 4:, :25], made.history)
    # The newest frame stands in the origin of the rays.
    assert (made.rays[:, :192, :25] == 0).all() and (made.rays[:, :192, 44] != 0).any()
    # Walking on, depth goes from the farthest to the nearest, for sky is taken as a wall beside the other.
    depth = made.correspondence[0, 192:256, 25:].float().mean((0, 2, 3))
    assert (depth.diff() < 0).all() and depth[0] > 0.8 and depth[-1] < -0.8


def test_several_views_decide_what_is_retrieved():
    memory = GeometryCache(HEIGHT, WIDTH, MemorySettings.published())
    asked = []
    memory.retrieve = lambda w2c, k, slots, strategy: asked.append((w2c, slots)) or []
    cameras = path(81)
    for views, frames in ((1, [80]), (3, [27, 53, 80])):
        Retrieval(5, views).frames(memory, cameras, 1)
        w2c, slots = asked.pop()
        assert slots == 5
        np.testing.assert_array_equal(w2c, cameras.w2c[frames])


def test_a_long_past_is_replayed_from_its_last_chunks():
    vae = tiny_parts().vae
    generator = torch.Generator().manual_seed(0)
    chunks = [torch.randn(1, 16, 20, 2, 2, generator=generator) for _ in range(7)]
    begin = History.begin(vae, torch.rand(1, 3, 16, 16, generator=generator), LAYOUT)
    one_by_one = begin
    for sampled in chunks:
        one_by_one, _, _ = one_by_one.advanced(vae, sampled)
    assert ENCODER_REACH + DECODER_REACH + 19 < 6 * 20
    replayed = begin.replayed(vae, chunks)
    assert replayed.frames == one_by_one.frames == 561
    assert torch.equal(replayed.recent, one_by_one.recent)
    assert torch.equal(replayed.newest, one_by_one.newest)
    for name in ("encoder_cache", "decoder_cache"):
        pairs = zip(getattr(replayed, name).features, getattr(one_by_one, name).features, strict=True)
        assert all(one is other or torch.equal(one, other) for one, other in pairs)
    assert begin.replayed(vae, []) is begin
