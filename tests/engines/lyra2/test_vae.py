from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from lyra.common.errors import InvalidInputError
from lyra.engines.lyra2.vae import (
    DECODER_REACH,
    ENCODER_REACH,
    DecoderCache,
    EncoderCache,
    FeatureCache,
    StreamingVae,
    load_vae,
)
from tests.parity.base import Folder
from tests.parity.encoders import tiny_vae

GOLDENS = Path(__file__).parents[2] / "goldens"
HEIGHT, WIDTH = 32, 48


@pytest.fixture(scope="module")
def vae():
    return StreamingVae(tiny_vae(Folder(GOLDENS)))


@pytest.fixture(scope="module")
def video():
    return torch.randn(1, 3, 17, HEIGHT, WIDTH, generator=torch.manual_seed(0)).clamp(-1, 1)


@pytest.fixture(scope="module")
def latents():
    return torch.randn(1, 16, 5, HEIGHT // 8, WIDTH // 8, generator=torch.manual_seed(1))


def equal(a: FeatureCache, b: FeatureCache) -> bool:
    return len(a.features) == len(b.features) and all(
        torch.equal(x, y) if torch.is_tensor(x) else x == y
        for x, y in zip(a.features, b.features, strict=True)
    )


def copied(cache):
    return type(cache)(tuple(f.clone() if torch.is_tensor(f) else f for f in cache.features))


@pytest.mark.parametrize("split", [(1, 4, 12), (5, 12), (9, 4, 4), (1, 16)])
def test_encoding_in_parts_equals_one_go(vae, video, split):
    whole, end = vae.encode(video)
    assert whole.shape == (1, 16, 5, HEIGHT // 8, WIDTH // 8)
    parts, cache = [], None
    for piece in video.split(split, dim=2):
        part, cache = vae.encode(piece, cache)
        parts.append(part)
    assert torch.equal(torch.cat(parts, dim=2), whole)
    assert equal(cache, end)


@pytest.mark.parametrize("split", [(1, 4), (1, 1, 3), (2, 3), (4, 1)])
def test_decoding_in_parts_equals_one_go(vae, latents, split):
    whole, end = vae.decode(latents)
    assert whole.shape == (1, 3, 17, HEIGHT, WIDTH)
    parts, cache = [], None
    for piece in latents.split(split, dim=2):
        part, cache = vae.decode(piece, cache)
        parts.append(part)
    assert torch.equal(torch.cat(parts, dim=2), whole)
    assert equal(cache, end)


def test_a_cache_is_a_value(vae, video, latents):
    """Going on from a cache, on any branch and with other work in between, leaves it as it was."""
    _, encoder = vae.encode(video[:, :, :5])
    _, decoder = vae.decode(latents[:, :, :1])
    assert isinstance(encoder, EncoderCache)
    assert isinstance(decoder, DecoderCache)
    assert "Rep" in decoder.features
    before = copied(encoder), copied(decoder)
    branch, _ = vae.encode(video[:, :, 5:9], encoder)
    vae.encode(video[:, :, 9:17], encoder)
    vae.encode(video[:, :, :1])
    frames, _ = vae.decode(latents[:, :, 1:3], decoder)
    vae.decode(latents[:, :, 3:], decoder)
    assert equal(encoder, before[0])
    assert equal(decoder, before[1])
    assert torch.equal(vae.encode(video[:, :, 5:9], before[0])[0], branch)
    assert torch.equal(vae.decode(latents[:, :, 1:3], before[1])[0], frames)


def test_first_latent_is_the_first_frame_alone(vae, video, latents):
    single, _ = vae.encode(video[:, :, :1])
    assert torch.equal(single, vae.encode(video)[0][:, :, :1])
    frame, _ = vae.decode(latents[:, :, :1])
    assert frame.shape[2] == 1


def test_agrees_with_diffusers_but_for_its_clamp(vae, video, latents):
    mean, deviation = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (vae.vae.config.latents_mean, vae.vae.config.latents_std)
    )
    expected = (vae.vae.encode(video).latent_dist.mode() - mean) / deviation
    torch.testing.assert_close(vae.encode(video)[0], expected, rtol=0, atol=1e-5)
    frames, _ = vae.decode(3 * latents)
    assert frames.abs().max() > 1
    clamped = vae.vae.decode(3 * latents * deviation + mean).sample
    torch.testing.assert_close(frames.clamp(-1, 1), clamped, rtol=0, atol=1e-4)


def test_half_precision_has_its_own_constants(video, latents):
    vae = StreamingVae(tiny_vae(Folder(GOLDENS)).to(torch.bfloat16))
    encoded, _ = vae.encode(video)
    frames, _ = vae.decode(latents)
    assert encoded.dtype == frames.dtype == torch.bfloat16
    moments = vae.vae.encode(video[:, :, :1].bfloat16()).latent_dist.mode()
    mean, deviation = (
        torch.tensor(values, dtype=torch.bfloat16).view(1, -1, 1, 1, 1)
        for values in (vae.vae.config.latents_mean, vae.vae.config.latents_std)
    )
    assert torch.equal(encoded[:, :, :1], (moments - mean) * (1 / deviation))
    full = StreamingVae(tiny_vae(Folder(GOLDENS)))
    assert (encoded - full.encode(video)[0]).abs().mean() < 0.02
    assert (frames - full.decode(latents)[0]).abs().mean() < 0.02


@pytest.mark.parametrize("part", ["encode", "decode"])
def test_caches_forget(vae, part):
    """After the stated number of pieces a cache no longer depends on what came before, and not one piece sooner."""
    generator = torch.manual_seed(2)
    shape, step, reach = {
        "encode": ((1, 3, 4, 16, 16), vae.encode, ENCODER_REACH),
        "decode": ((1, 16, 1, 2, 2), vae.decode, DECODER_REACH),
    }[part]
    caches = [step(torch.randn(shape, generator=generator)[:, :, :1])[1] for _ in range(2)]
    common = [torch.randn(shape, generator=generator) for _ in range(reach)]
    for piece in common[:-1]:
        caches = [step(piece, cache)[1] for cache in caches]
    assert not equal(*caches)
    assert equal(*(step(common[-1], cache)[1] for cache in caches))


def test_results_leave_the_device_and_caches_move(vae, video, latents):
    away, cache = vae.encode(video, output_device="meta")
    assert away.device.type == "meta"
    assert away.shape == (1, 16, 5, HEIGHT // 8, WIDTH // 8)
    assert vae.decode(latents, output_device="meta")[0].shape == video.shape
    assert {f.device.type for f in cache.features if torch.is_tensor(f)} == {"cpu"}
    moved = cache.to("meta")
    assert isinstance(moved, EncoderCache)
    assert {f.device.type for f in moved.features if torch.is_tensor(f)} == {"meta"}
    assert moved.bytes == cache.bytes > 0


def test_no_frame_is_dropped(vae, video, latents):
    _, cache = vae.encode(video[:, :, :5])
    for frames, at in ((4, None), (0, None), (5, cache), (0, cache)):
        with pytest.raises(ValueError, match=f"video has {frames} frames"):
            vae.encode(video[:, :, :frames], at)
    with pytest.raises(ValueError, match="no latents"):
        vae.decode(latents[:, :, :0])


def test_under_group_offload(latents):
    """Its parts are called as modules, so that diffusers' hooks bring in their weights."""
    model = tiny_vae(Folder(GOLDENS))
    expected, _ = StreamingVae(model).decode(latents)
    model.enable_group_offload(torch.device("cpu"), torch.device("cpu"), offload_type="leaf_level")
    assert torch.equal(StreamingVae(model).decode(latents)[0], expected)


class TestLoading:
    @pytest.fixture
    def folder(self, tmp_path):
        tiny_vae(Folder(GOLDENS)).save_pretrained(tmp_path)
        return tmp_path

    def test_round_trip(self, folder, vae, latents):
        loaded = load_vae(folder, torch.float32, "cpu")
        assert torch.equal(loaded.decode(latents)[0], vae.decode(latents)[0])
        assert not any(p.requires_grad for p in loaded.vae.parameters())
        assert load_vae(folder, torch.bfloat16, "cpu").dtype == torch.bfloat16

    def test_another_kind_of_vae_is_refused(self, tmp_path):
        AutoencoderKLWan(base_dim=4, z_dim=8).save_pretrained(tmp_path)
        with pytest.raises(InvalidInputError, match="8 latent channels"):
            load_vae(tmp_path, torch.float32, "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu(vae, video, latents):
    cuda = StreamingVae(tiny_vae(Folder(GOLDENS)).to("cuda"))
    torch.testing.assert_close(
        cuda.encode(video, output_device="cpu")[0], vae.encode(video)[0], rtol=0, atol=5e-3
    )
    torch.testing.assert_close(
        cuda.decode(latents, output_device="cpu")[0], vae.decode(latents)[0], rtol=0, atol=5e-3
    )
