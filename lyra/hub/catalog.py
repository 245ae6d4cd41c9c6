"""Catalogue of all usable weight files: source, size, licence, purpose.

Sizes here are what the repositories held when this was written, rounded; they are for telling a user beforehand.
What is downloaded and checked are the exact sizes and digests that the repository itself states.

Memory is for frames of 832x480: what the weights take as they are used, and what the model needs beside them while it
works. Where the figures come from stands beside each.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from lyra.common.errors import InvalidInputError

GB = 10**9
MB = 10**6

FRAME_HW = (480, 832)
_PIXELS = FRAME_HW[0] * FRAME_HW[1]

# What the VAE holds beside its weights while it decodes four frames.
DECODING_BYTES_PER_PIXEL = 8_000
# The caches of its session: two frames before every causal convolution.
CACHE_BYTES_PER_PIXEL = 8_000
# Depth Anything V2 in float32, one picture of 832x480 read at 896x518: growth of a process's memory, measured with
# networks of the published dimensions (transformers 5, torch 2.13, CPU).
_V2_WORKING = {"Small": 390 * MB, "Large": 1_010 * MB}
# Depth Anything 3, ten frames at once, as the engines ask for them. Its authors publish the peak on a GPU for windows
# of 30 to 120 frames of 504x154 and 504x378 (da3_streaming/README.md of ByteDance-Seed/Depth-Anything-3): a
# least-squares fit gives the weights' 6.8 GB, 44 kB for every pixel of a frame and 114 kB for every patch of 14x14 of
# the window, to 0.5 GB.
_V3_WORKING = 43_500 * _PIXELS + 114_000 * 10 * (FRAME_HW[0] // 14) * (FRAME_HW[1] // 14)
# ONNX Runtime on a picture of 832x480: growth of a process's memory. Depth Anything V2 Small measured with a network of
# the published dimensions (onnxruntime 1.32, CPU), MoGe-2 estimated from its decoder's maps at 16 times its patches.
_V2_ONNX_WORKING, _MOGE_ONNX_WORKING = 370 * MB, 900 * MB
# Converting reads the checkpoint a piece at a time (measured, benchmarks/RESULTS.md).
_CONVERTING = 2_600 * MB

LYRA2 = "nvidia/Lyra-2.0"
WAN = "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers"
DEPTH_ANYTHING_3 = "depth-anything/DA3NESTED-GIANT-LARGE-1.1"
DEPTH_ANYTHING_V2_ONNX = "onnx-community/depth-anything-v2-small"
MOGE_2_ONNX = "Ruicheng/moge-2-vits-normal-onnx"


@dataclass(frozen=True)
class Item:
    """A set of files of one repository that are used together.

    `path` is the folder or the file, relative to the repository, that its user opens. `files` are patterns
    (fnmatch) of what belongs to it; `required` are patterns of which each must be met for it to be whole. `size` in
    bytes is approximate. In memory a byte of the files takes `loaded` bytes, and `working` bytes come on top while the
    model works on frames of 832x480.
    """

    id: str
    label: str
    repository: str
    path: str
    size: int
    licence: str
    files: tuple[str, ...]
    required: tuple[str, ...]
    loaded: float = 1.0
    working: int = 0

    @property
    def memory(self) -> int:
        """The most bytes that it takes where it is used, on the GPU or, without one, in RAM; about."""
        return round(self.loaded * self.size) + self.working

    def holds(self, file: str) -> bool:
        """Whether `file`, a path relative to the repository, belongs to this item."""
        return any(fnmatchcase(file, pattern) for pattern in self.files)

    def lacks(self, files: list[str]) -> tuple[str, ...]:
        """The required patterns that none of `files` meets."""
        return tuple(p for p in self.required if not any(fnmatchcase(file, p) for file in files))


def _file(item_id: str, label: str, repository: str, path: str, size: int, licence: str) -> Item:
    return Item(item_id, label, repository, path, size, licence, (path,), (path,))


def _folder(
    item_id: str, label: str, path: str, size: int, *required: str, loaded: float = 1.0, working: int = 0
) -> Item:
    """A subfolder of the Wan repository in diffusers' layout."""
    files = tuple(f"{path}/{pattern}" for pattern in ("*.json", "*.safetensors", "*.model", "*.txt"))
    needed = tuple(f"{path}/{name}" for name in required)
    return Item(item_id, label, WAN, path, size, "apache-2.0", files, needed, loaded, working)


def _depth_anything_v2(kind: str, size: str, bytes_: int, licence: str) -> Item:
    repository = f"depth-anything/Depth-Anything-V2-Metric-{kind}-{size}-hf"
    files = ("config.json", "model.safetensors")
    name = f"depth-anything-v2-{kind.lower()}-{size.lower()}"
    label = f"Depth Anything V2 {size}, metric, {kind.lower()}"
    patterns = (*files, "preprocessor_config.json")
    return Item(name, label, repository, ".", bytes_, licence, patterns, files, working=_V2_WORKING[size])


ITEMS: dict[str, Item] = {
    item.id: item
    for item in (
        Item(
            "lyra2-checkpoint",
            "Lyra 2.0 network, float32 checkpoint as published (only read to convert it)",
            LYRA2,
            "checkpoints/model/model",
            68_120 * MB,
            "nvidia-lyra-2.0",
            ("checkpoints/model/model/*",),
            ("checkpoints/model/model/.metadata", "checkpoints/model/model/*.distcp"),
            loaded=0,
            working=_CONVERTING,
        ),
        _file(
            "lyra2-negative-prompt",
            "Embedding of the negative prompt",
            LYRA2,
            "checkpoints/text_encoder/negative_prompt.pt",
            8 * MB,
            "nvidia-lyra-2.0",
        ),
        _file(
            "lyra2-distillation",
            "LoRA of the 4-step distillation",
            LYRA2,
            "checkpoints/lora/dmd_distillation.safetensors",
            700 * MB,
            "nvidia-lyra-2.0",
        ),
        _file(
            "lyra2-realism",
            "LoRA 'realism boost'",
            LYRA2,
            "checkpoints/lora/realism_boost.safetensors",
            400 * MB,
            "nvidia-lyra-2.0",
        ),
        _file(
            "lyra2-detail",
            "LoRA 'detail enhancer'",
            LYRA2,
            "checkpoints/lora/detail_enhancer.safetensors",
            400 * MB,
            "nvidia-lyra-2.0",
        ),
        _folder(
            "wan-text-encoder",
            "UMT5-XXL text encoder",
            "text_encoder",
            22_730 * MB,
            "config.json",
            "*.safetensors",
            # Stored in float32, used in bfloat16, as is the VAE.
            loaded=0.5,
        ),
        _folder(
            "wan-tokenizer",
            "UMT5 tokenizer",
            "tokenizer",
            22 * MB,
            "tokenizer.json",
            "tokenizer_config.json",
        ),
        _folder(
            "wan-image-encoder",
            "CLIP ViT-H/14 image encoder",
            "image_encoder",
            1_270 * MB,
            "config.json",
            "*.safetensors",
        ),
        _folder(
            "wan-vae",
            "Causal video autoencoder of Wan 2.1",
            "vae",
            508 * MB,
            "config.json",
            "*.safetensors",
            loaded=0.5,
            working=(DECODING_BYTES_PER_PIXEL + CACHE_BYTES_PER_PIXEL) * _PIXELS,
        ),
        _depth_anything_v2("Outdoor", "Small", 99 * MB, "apache-2.0"),
        _depth_anything_v2("Indoor", "Small", 99 * MB, "apache-2.0"),
        _depth_anything_v2("Outdoor", "Large", 1_341 * MB, "cc-by-nc-4.0"),
        _depth_anything_v2("Indoor", "Large", 1_341 * MB, "cc-by-nc-4.0"),
        Item(
            "depth-anything-3",
            "Depth Anything 3, nested giant",
            DEPTH_ANYTHING_3,
            ".",
            6_760 * MB,
            "cc-by-nc-4.0",
            ("config.json", "model.safetensors"),
            ("config.json", "model.safetensors"),
            working=_V3_WORKING,
        ),
        Item(
            "depth-anything-v2-small-onnx",
            "Depth Anything V2 Small, relative, ONNX in half precision",
            DEPTH_ANYTHING_V2_ONNX,
            "onnx/model_fp16.onnx",
            50 * MB,
            "apache-2.0",
            ("onnx/model_fp16.onnx",),
            ("onnx/model_fp16.onnx",),
            # Without a GPU it is computed in float32, from copies of the file's tensors.
            loaded=4,
            working=_V2_ONNX_WORKING,
        ),
        Item(
            "moge-2-small-onnx",
            "MoGe-2 ViT-S with normals, metric, ONNX",
            MOGE_2_ONNX,
            "model.onnx",
            141 * MB,
            "mit",
            ("model.onnx",),
            ("model.onnx",),
            loaded=2,
            working=_MOGE_ONNX_WORKING,
        ),
    )
}


# The network as this project runs it, made from the checkpoint by `lyra models convert`: id and bytes per weight
# of the blocks' matrices, which are nearly all of it.
CONVERSIONS = {"lyra2-bf16": 2, "lyra2-fp8": 1}
CHECKPOINT = "lyra2-checkpoint"


@dataclass(frozen=True)
class Needs:
    """What an engine or a depth model needs on disk and in Python.

    `items` are ids of the catalogue. `packages` are modules that must be importable, `extra` the extra that brings
    them, empty for the base install. `conversions` are the converted forms of the Lyra 2.0 network of which it needs
    one.
    """

    id: str
    label: str
    items: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str
    conversions: tuple[str, ...] = ()

    @property
    def licences(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(ITEMS[item].licence for item in self.items))

    @property
    def working(self) -> int:
        """Bytes that come on top of the weights of all items while one of them works."""
        return max(ITEMS[item].working for item in self.items)


_ENCODERS = ("wan-text-encoder", "wan-tokenizer", "wan-image-encoder", "wan-vae")
_TORCH = ("torch", "transformers", "safetensors")
_DIFFUSERS = (*_TORCH, "diffusers", "accelerate", "ftfy")

ENGINES: dict[str, Needs] = {
    needs.id: needs
    for needs in (
        Needs(
            "lyra2",
            "Lyra 2.0",
            ("lyra2-checkpoint", "lyra2-negative-prompt", *_ENCODERS),
            _DIFFUSERS,
            "lyra2",
            ("lyra2-bf16", "lyra2-fp8"),
        ),
        Needs(
            "lyra2-fast",
            "Lyra 2.0 Fast",
            ("lyra2-checkpoint", "lyra2-negative-prompt", "lyra2-distillation", *_ENCODERS),
            _DIFFUSERS,
            "lyra2",
            # The distillation is merged in float32 and rounded once, from bf16.
            ("lyra2-bf16",),
        ),
    )
}

# Order of preference for the depth of generated frames.
DEPTH_MODELS: dict[str, Needs] = {
    needs.id: needs
    for needs in (
        Needs(
            "depth-anything-3",
            "Depth Anything 3",
            ("depth-anything-3",),
            (*_TORCH, "depth_anything_3"),
            "da3",
        ),
        Needs(
            "depth-anything-v2-large",
            "Depth Anything V2 Large",
            ("depth-anything-v2-outdoor-large", "depth-anything-v2-indoor-large"),
            _TORCH,
            "depth",
        ),
        Needs(
            "depth-anything-v2",
            "Depth Anything V2 Small",
            ("depth-anything-v2-outdoor-small", "depth-anything-v2-indoor-small"),
            _TORCH,
            "depth",
        ),
    )
}

# For the depth of a picture with ONNX Runtime, which the base install has; joined where both are there.
IMAGE_DEPTH: dict[str, Needs] = {
    needs.id: needs
    for needs in (
        Needs(
            "depth",
            "MoGe-2 Small and Depth Anything V2 Small, joined",
            ("moge-2-small-onnx", "depth-anything-v2-small-onnx"),
            ("onnxruntime",),
            "",
        ),
        Needs("moge-2", "MoGe-2 Small", ("moge-2-small-onnx",), ("onnxruntime",), ""),
        Needs(
            "depth-anything-v2-onnx",
            "Depth Anything V2 Small, relative",
            ("depth-anything-v2-small-onnx",),
            ("onnxruntime",),
            "",
        ),
    )
}

# Add-ons that an engine uses when they are there; fetched by name.
OPTIONAL: dict[str, Needs] = {
    "lyra2-styles": Needs(
        "lyra2-styles", "Style LoRAs of Lyra 2.0", ("lyra2-realism", "lyra2-detail"), _DIFFUSERS, "lyra2"
    )
}

EVERYTHING: dict[str, Needs] = ENGINES | DEPTH_MODELS | IMAGE_DEPTH | OPTIONAL


def item(item_id: str) -> Item:
    """Raises InvalidInputError for an unknown item."""
    if item_id not in ITEMS:
        raise InvalidInputError(f"There are no weights {item_id!r}; choose one of {', '.join(ITEMS)}.")
    return ITEMS[item_id]


def needs(name: str) -> Needs:
    """What an engine, a depth model or an add-on needs. Raises InvalidInputError for an unknown name."""
    if name not in EVERYTHING:
        raise InvalidInputError(f"There are no weights for {name!r}; choose one of {', '.join(EVERYTHING)}.")
    return EVERYTHING[name]


def used_by(item_id: str) -> tuple[str, ...]:
    """Ids of the engines, depth models and add-ons that need an item."""
    return tuple(n.id for n in EVERYTHING.values() if item_id in n.items)
