"""Seconds per 80 frames of the Lyra 2.0 engines at full size with random weights, stage by stage, against the floor.

python -m benchmarks.lyra2_step [--dtype bf16|fp8] [--compile] [--attention BACKEND] [--size 832x480]

Goes through the engine class. Needs a GPU with 96 GB or more for bf16 (models are built on it, nothing is read) and
less than 8 minutes: of the 35 guided steps of `lyra2` only `--steps` are run and the rest is counted. `--tiny` runs
miniatures on a CPU. The estimation of depth is not in the table: its model is a choice, truth stands in for it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from lyra.depth.base import WindowDepth
from lyra.engines.lyra2.clip import clip_pixels
from lyra.engines.lyra2.components import Lyra2Components
from lyra.engines.lyra2.encoders import TEXT_TOKENS
from lyra.engines.lyra2.engine import Lyra2Engine
from lyra.engines.lyra2.noise import SeededNoise
from lyra.engines.lyra2.settings import Lyra2Settings
from lyra.engines.lyra2.state import Lyra2State
from lyra.engines.lyra2.transformer import Lyra2Transformer3DModel
from lyra.engines.lyra2.vae import StreamingVae
from lyra.evaluation.scenes import hall

PROMPT_TOKENS = 120
IMAGE_TOKENS = 257
PASSES = "network passes"
STAGES = ("text", "image (CLIP)", "VAE encode", "VAE decode", "conditioning", "network, once a chunk", PASSES)
TERA = 1e12

TINY_NETWORK = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "ffn_dim": 64,
    "num_layers": 2,
    "buffer_squeeze": 16,
}
TINY_VAE = {"base_dim": 8, "num_res_blocks": 1}
TINY_CLIP = {"num_hidden_layers": 2, "intermediate_size": 64}
TINY_TEXT = {"vocab_size": 256, "d_ff": 64, "num_layers": 1, "num_heads": 2}


@dataclass(frozen=True)
class Machine:
    """Where and how the models compute."""

    device: torch.device
    network: torch.dtype
    clip: torch.dtype

    @classmethod
    def of(cls, device: torch.device) -> Machine:
        if device.type == "cuda":
            return cls(device, torch.bfloat16, torch.float16)
        return cls(device, torch.float32, torch.float32)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def build(self, make: Callable[[], torch.nn.Module], dtype: torch.dtype) -> torch.nn.Module:
        """A model with random weights that come into being on the device, in their type."""
        torch.set_default_dtype(dtype)
        try:
            with self.device:
                return make().eval().requires_grad_(False)
        finally:
            torch.set_default_dtype(torch.float32)

    def rate(self, work: Callable[[], object], operations: float, repeats: int) -> float:
        """Operations per second, of which each call of `work` does so many."""
        for _ in range(2):
            work()
        self.wait()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        self.wait()
        return repeats * operations / (time.perf_counter() - start)

    def matmul_peak(self, size: int) -> float:
        """Of square matrices in the network's type."""
        a, b = torch.randn(2, size, size, device=self.device).to(self.network)
        return self.rate(lambda: a @ b, 2 * size**3, 20)

    @torch.no_grad()
    def attention_rate(self, network: Lyra2Transformer3DModel, tokens: int) -> float:
        """Of one block's attention of all tokens to all, by the network's own kernel."""
        heads, head_dim = network.config.num_attention_heads, network.config.attention_head_dim
        q, k, v = torch.randn(3, 1, tokens, heads, head_dim, device=self.device).to(self.network)
        kernel = network.blocks[0].attn1.processor
        return self.rate(lambda: kernel(q, k, v), 4 * tokens**2 * heads * head_dim, 3)


class Clock:
    """Seconds per stage; a stage inside another counts for itself alone."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._book()
        self._open.append(name)
        try:
            yield
        finally:
            self._book()
            self._open.pop()

    def watch(self, owner: Any, method: str, name: str) -> None:
        """Books every call of a method of this one object as the stage `name`."""
        original = getattr(owner, method)

        def timed(*args, **kwargs):
            with self.stage(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)

    def taken(self) -> dict[str, float]:
        """The seconds since the last call."""
        seconds, self.seconds = self.seconds, defaultdict(float)
        return seconds

    def _book(self) -> None:
        self.machine.wait()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


class RandomText:
    """UMT5-XXL's work for one prompt and the negative embedding, without a tokenizer."""

    def __init__(self, machine: Machine, changes: dict):
        config = UMT5Config(
            **{
                "vocab_size": 256384,
                "d_model": 4096,
                "d_kv": 64,
                "d_ff": 10240,
                "num_layers": 24,
                "num_heads": 64,
            }
            | {"feed_forward_proj": "gated-gelu"}
            | changes
        )
        self.device, self.channels = machine.device, config.d_model
        self.model = machine.build(lambda: UMT5EncoderModel(config), machine.network)

    @torch.no_grad()
    def encode(self, prompt: str) -> torch.Tensor:
        ids = torch.arange(PROMPT_TOKENS, device=self.device)[None]
        rows = self.model(input_ids=ids).last_hidden_state
        return torch.nn.functional.pad(rows, (0, 0, 0, TEXT_TOKENS - PROMPT_TOKENS)).cpu()

    def negative(self) -> torch.Tensor:
        return torch.zeros(1, TEXT_TOKENS, self.channels)


class RandomImage:
    """The vision tower of CLIP ViT-H/14 on the newest frame."""

    def __init__(self, machine: Machine, changes: dict):
        config = CLIPVisionConfig(
            **{
                "hidden_size": 1280,
                "intermediate_size": 5120,
                "num_hidden_layers": 32,
                "num_attention_heads": 16,
            }
            | {"patch_size": 14, "image_size": 224, "hidden_act": "gelu"}
            | changes
        )
        self.machine = machine
        self.model = machine.build(lambda: CLIPVisionModel(config), machine.clip)

    @torch.no_grad()
    def encode(self, frame: torch.Tensor) -> torch.Tensor:
        pixels = clip_pixels(frame.to(self.machine.device)).to(self.machine.clip)
        return self.model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]


class TrueDepth:
    """Depth of the painted scene instead of a depth model's."""

    id = "true"

    def __init__(self, scene):
        self.scene = scene

    def estimate_window(self, frames: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> WindowDepth:
        return WindowDepth(np.stack([self.scene.view(camera)[1] for camera in w2c]), scaled_by_cameras=True)


def build_components(machine: Machine, scene, tiny: bool) -> Lyra2Components:
    """All models at full size, or as miniatures."""
    if tiny:
        network, vae, clip, text = TINY_NETWORK, TINY_VAE, TINY_CLIP, TINY_TEXT
    else:
        network, vae, clip, text = {}, {}, {}, {}
    return Lyra2Components(
        machine.build(lambda: Lyra2Transformer3DModel(**network), machine.network),
        StreamingVae(machine.build(lambda: AutoencoderKLWan(**vae), machine.network)),
        RandomText(machine, text),
        RandomImage(machine, clip),
        TrueDepth(scene),
        SeededNoise(),
    )


def pass_operations(network: Lyra2Transformer3DModel, height: int, width: int) -> float:
    """Multiplications and additions of one branch's pass for frames of `height` x `width`: a multiply-add is two."""
    config, layout = network.config, network.layout
    dim = config.num_attention_heads * config.attention_head_dim
    counts = layout.token_counts(height // 16, width // 16)
    tokens, generated = sum(counts), counts[-1]
    # Weights that every token meets in a block: q, k, v, o; q and o of cross-attention; feed-forward; geometry.
    per_token = (
        6 * dim**2 + 2 * dim * config.ffn_dim + dim * (4 * config.ray_channels + config.buffer_squeeze)
    )
    attention = 2 * tokens * dim * (tokens + TEXT_TOKENS + IMAGE_TOKENS)
    ends = generated * dim * 4 * (config.in_channels + config.out_channels)
    return 2.0 * (config.num_layers * (tokens * per_token + attention) + ends)


def watch_stages(clock: Clock, parts: Lyra2Components) -> None:
    """Books what the engine calls; the conditioner belongs to an engine and is watched there."""
    clock.watch(parts.text_encoder, "encode", "text")
    clock.watch(parts.image_encoder, "encode", "image (CLIP)")
    clock.watch(parts.vae, "encode", "VAE encode")
    clock.watch(parts.vae, "decode", "VAE decode")
    clock.watch(parts.transformer, "prepare", "network, once a chunk")
    clock.watch(parts.transformer, "encode_context", "network, once a chunk")
    clock.watch(parts.transformer, "forward", PASSES)


def make(engine: Lyra2Engine, state: Lyra2State, cameras) -> None:
    """One chunk, taken in."""
    made = engine.make_chunk(state, cameras.w2c, cameras.intrinsics, "a hall", seed=1)
    engine.take_in(state, made)


def measure(options: argparse.Namespace) -> None:
    machine = Machine.of(torch.device(options.device))
    width, height = map(int, options.size.split("x"))
    scene = hall((height, width))
    parts = build_components(machine, scene, options.tiny)
    network = parts.transformer
    parameters = sum(p.numel() for p in network.parameters())
    if options.attention:
        network.set_attention_backend(options.attention)
    if options.dtype == "fp8":
        network.enable_layerwise_casting(torch.float8_e4m3fn, machine.network)
    if options.compile:
        network.compile_repeated_blocks()
    peak = machine.matmul_peak(256 if options.tiny else 8192)
    operations = pass_operations(network, height, width)
    tokens = sum(network.layout.token_counts(height // 16, width // 16))
    stored = "float8" if options.dtype == "fp8" else str(machine.network).removeprefix("torch.")
    print(f"{machine.device}, weights {stored}, attention {options.attention or 'as torch chooses'}", end="")
    print(f"{', compiled' if options.compile else ''}; {width}x{height}: {tokens} tokens")
    print(f"network {parameters / 1e9:.2f} G parameters; a pass {operations / TERA:.4g} TFLOP; ", end="")
    print(f"matmul peak {peak / TERA:.4g} TFLOP/s, ", end="")
    print(f"attention alone {machine.attention_rate(network, tokens) / TERA:.4g} TFLOP/s")

    clock = Clock(machine)
    watch_stages(clock, parts)
    guided = Lyra2Settings(steps=options.steps)
    engines = {
        "lyra2": Lyra2Engine(parts, guided, "lyra2", machine.device),
        "lyra2-fast": Lyra2Engine(parts, Lyra2Settings(sampler="dmd"), "lyra2-fast", machine.device),
    }
    for engine in engines.values():
        clock.watch(engine.conditioner, "build", "conditioning")

    view, path = scene.first, scene.trajectory
    there, back = path[1:], path[79::-1]
    image = torch.from_numpy(view.image).permute(2, 0, 1)[None] / 127.5 - 1
    state = engines["lyra2"].start(image.to(machine.network), view.depth, np.eye(4), view.intrinsics)
    # Compiles kernels, lets cuDNN choose, and gives the measured chunks frames to retrieve.
    warm_up = Lyra2Engine(parts, replace(guided, steps=1), "lyra2", machine.device)
    warm_up.make_chunk(state, there.w2c, there.intrinsics, "a hall", seed=0)
    make(engines["lyra2-fast"], state, there)
    clock.taken()

    for (name, engine), cameras in zip(engines.items(), (back, there), strict=True):
        if machine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(machine.device)
        with clock.stage("everything else"):
            make(engine, state, cameras)
        branches = 2 if engine.settings.guided else 1
        run, whole = engine.sampler.passes * branches, (35 * 2 if name == "lyra2" else 4)
        report(name, clock.taken(), run, whole, operations, peak)
        if machine.device.type == "cuda":
            print(f"{'peak memory':<26}{torch.cuda.max_memory_allocated(machine.device) / 1e9:>9.1f} GB")
        for note in engine.models.taken_notes():
            print(f"note: {note}")


def report(
    name: str, seconds: dict[str, float], run: int, whole: int, operations: float, peak: float
) -> None:
    """The table of one engine, its `whole` passes counted from those `run`."""
    per_pass = seconds[PASSES] / run
    seconds = dict(seconds) | {PASSES: per_pass * whole}
    total, floor = sum(seconds.values()), whole * operations / peak
    print(f"\n{name}: 80 frames")
    for stage in (*STAGES, "everything else"):
        print(f"{stage:<26}{seconds.get(stage, 0.0):>9.2f} s")
    print(f"{'total':<26}{total:>9.2f} s")
    print(f"{'floor':<26}{floor:>9.2f} s, {total / floor:.2f} times that taken")
    print(f"{'a pass':<26}{per_pass:>9.2f} s, {run} run, {whole} counted; ", end="")
    print(
        f"{operations / per_pass / TERA:.4g} TFLOP/s, {operations / per_pass / peak:.0%} of the matmul peak"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", choices=("bf16", "fp8"), default="bf16", help="how weights are stored")
    parser.add_argument("--compile", action="store_true", help="blocks through torch.compile")
    parser.add_argument("--attention", metavar="BACKEND", help="diffusers' name, for example _native_cudnn")
    parser.add_argument("--size", help="832x480, tiny 48x32")
    parser.add_argument("--device", help="cuda, tiny cpu")
    parser.add_argument("--steps", type=int, default=4, help="guided steps to run; 35 runs all")
    parser.add_argument("--tiny", action="store_true", help="miniatures, on a CPU in seconds")
    options = parser.parse_args(arguments)
    options.size = options.size or ("48x32" if options.tiny else "832x480")
    options.device = options.device or ("cpu" if options.tiny else "cuda")
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --tiny runs miniatures on the CPU")
    measure(options)


if __name__ == "__main__":
    main()
