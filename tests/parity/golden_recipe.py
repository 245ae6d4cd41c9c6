"""Inputs for the Lyra 2 golden tensors, regenerated from a seed with numpy alone.

Every array is drawn from PCG64(crc32(f"{seed}:{name}")), so the large inputs need not be stored.
"""

import zlib

import numpy as np

FRAMEPACK = "f1k1f4s2f1s1f16k4f2k2f1k1_g20"
HISTORY_SLOTS, NEW_LATENTS = 25, 20
NET_CASES = {"even": (8, 12), "odd": (6, 10)}  # latent (H, W) of net_<case>.npz
TIMESTEPS = (1000.0, 437.5)


def rng(seed, name):
    return np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))


def normal(seed, name, *shape):
    return rng(seed, name).standard_normal(shape, dtype=np.float32)


def uniform(seed, name, lo, hi, *shape):
    return (lo + (hi - lo) * rng(seed, name).random(shape, dtype=np.float32)).astype(np.float32)


def parameter(seed, key, shape):
    """Weight `key` (the checkpoint's own name) of net_keys_tiny.json; VAE keys carry the prefix "vae."."""
    a = normal(seed, "param:" + key, *shape)
    if key.endswith("gamma") or (len(shape) == 1 and not key.endswith(".bias")):
        return 1 + np.float32(0.1) * a
    if key.endswith("modulation"):
        return a * np.float32(0.2)
    if key.endswith(".bias"):
        return a * np.float32(0.1)
    return a / np.float32(np.sqrt(np.prod(shape[1:])))


def net_inputs(seed, case, latent_hw):
    """Inputs of the tiny network: x, mask, cond, plucker, buffer, text, clip (batch 1, channels first, float32)."""
    h, w = latent_hw
    t = HISTORY_SLOTS + NEW_LATENTS
    p = f"net.{case}."
    return {
        "x": normal(seed, p + "x", 1, 16, t, h, w),
        "mask": np.ones((1, 4, t, h, w), np.float32),
        "cond": normal(seed, p + "cond", 1, 16, t, h, w),
        "plucker": normal(seed, p + "plucker", 1, 384, t, h, w) * np.float32(0.5),
        "buffer": uniform(seed, p + "buffer", -1, 1, 1, 1280, t, h, w),
        "text": normal(seed, p + "text", 1, 8, 64),
        "clip": normal(seed, p + "clip", 1, 257, 1280),
    }


def depth_map(seed, name, h, w):
    """A slanted plane with two boxes in front of it, 2 % noise and a hole of zeros, (h, w) float32."""
    yy, xx = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    d = 3 + 2 * (xx / w) + 1.0 * (yy / h) + 0.02 * rng(seed, name).standard_normal((h, w))
    top, box = slice(h // 4, h // 2), slice(w // 4, w // 2)
    d[top, box] = 1.8 + 0.01 * xx[top, box]
    d[h // 2 + 3 : h // 2 + 12, w // 2 : w // 2 + 20] = 2.4
    d[:3, :10] = 0
    return d.astype(np.float32)


def conditioning_inputs(seed, height=64, width=96, chunks=3, step=80):
    """The three-chunk conditioning case: cameras (N,4,4) w2c, intrinsics (N,3,3), raw video noise, encoder mix.

    The video is `raw` averaged over 5x5 pixels (zero padded, divisor 25) and multiplied by 3.
    `encode(v)` stands in for the VAE: take frames 0, 4, 8, ..., average 8x8 pixels, then mix 3 -> 16 channels.
    """
    n = 1 + chunks * step
    w2c = np.tile(np.eye(4, dtype=np.float32), (n, 1, 1))
    for i, a in enumerate(np.linspace(0, 1.2, n)):
        c, s = np.cos(a), np.sin(a)
        w2c[i, :3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
        w2c[i, :3, 3] = [0.3 * np.sin(2 * a), 0.05 * a, -0.4 * a]
    k = np.zeros((n, 3, 3), np.float32)
    k[:, 0, 0] = k[:, 1, 1] = 70.0
    k[:, 0, 2], k[:, 1, 2], k[:, 2, 2] = width / 2, height / 2, 1
    raw = uniform(seed, "cond.video", -1, 1, 1, 3, n, height, width)
    return w2c, k, raw, normal(seed, "encode.mix", 16, 3)


def vae_video(seed, height=64, width=96):
    """Raw noise (1,3,17,H,W) of vae.npz; the video is its 5x5 average (zero padded, divisor 25) times 2."""
    return normal(seed, "vae.video", 1, 3, 17, height, width)


def loop_inputs(seed, height=64, width=96, frames=161):
    """Inputs of the two-chunk loop: cameras and intrinsics as in `conditioning_inputs` but with angles up to 0.9,
    raw image (its 5x5 average times 3 is the first frame), text per chunk, negative text, CLIP base tokens.

    Stand-ins: CLIP tokens are base + 0.3 * mean(last history frame); the depth of frame f is
    `depth_map(seed, f"loop.depth{f}", H, W)`, for frame 0 too.
    Frames r, r-8, ..., r-72 (not below 0) form the depth window.
    """
    w2c = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
    for i, a in enumerate(np.linspace(0, 0.9, frames)):
        c, s = np.cos(a), np.sin(a)
        w2c[i, :3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
        w2c[i, :3, 3] = [0.3 * np.sin(2 * a), 0.05 * a, -0.4 * a]
    k = np.zeros((frames, 3, 3), np.float32)
    k[:, 0, 0] = k[:, 1, 1] = 70.0
    k[:, 0, 2], k[:, 1, 2], k[:, 2, 2] = width / 2, height / 2, 1
    return {
        "w2c": w2c,
        "intrinsics": k,
        "image": uniform(seed, "loop.image", -1, 1, 1, 3, height, width),
        "text": normal(seed, "loop.text", 1, 2, 8, 64),
        "negative": normal(seed, "loop.negative", 1, 8, 64),
        "clip": normal(seed, "loop.clip", 1, 257, 1280) * np.float32(0.5),
    }
