"""A complete miniature of the weight repositories, tiny and random, in the layouts of the published ones.

`write_miniature(folder)` makes a folder that `lyra models download --mirror FOLDER` takes: the network as a torch
distributed checkpoint (written by torch itself, tensors split over files, with training state among them), LoRA files
of both key styles, the negative embedding, Wan's VAE, UMT5 with a tokenizer and CLIP's vision tower in diffusers'
folders, and Depth Anything V2. Only sizes differ from the published files; a `config.json` beside the checkpoint says
so. `install_miniature(root)` goes the whole way to a weights folder that is ready to use.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import torch
import torch.distributed.checkpoint as distributed_checkpoint
from safetensors.torch import save_file
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex
from torch.distributed.checkpoint.planner import TensorWriteData, WriteItemType

from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.hub.catalog import LYRA2, WAN
from lyra.hub.sources import CHECKSUMS

NETWORK = NetworkConfig(
    num_attention_heads=2,
    attention_head_dim=24,
    text_dim=32,
    image_dim=32,
    freq_dim=32,
    ffn_dim=64,
    num_layers=2,
    buffer_squeeze=16,
)
DISTILLATION_RANK = 4
# What training leaves in a checkpoint beside the weights.
COUNTERS = ("accum_video_sample_counter", "accum_image_sample_counter", "accum_iteration")


def write_miniature(folder: Path, seed: int = 0, vae_width: int = 4) -> Path:
    """Writes all repositories below `folder` and returns it. Takes some seconds; the same seed, the same weights.

    The VAE takes most of a chunk's time. One of twice the width has a file of megabytes, for tests of downloads.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write_lyra2(_repository(folder, LYRA2))
        _write_wan(_repository(folder, WAN), vae_width)
        for kind, depth in (("Outdoor", 80), ("Indoor", 20)):
            name = f"depth-anything/Depth-Anything-V2-Metric-{kind}-Small-hf"
            tiny_depth_anything(depth).save_pretrained(_repository(folder, name))
    for repository in folder.iterdir():
        write_checksums(repository)
    return folder


def install_miniature(root: Path, mirror: Path, licences: Path) -> Path:
    """A weights folder at `root`, ready for both engines: downloaded from `mirror` and converted. Returns `root`.

    `licences` is the settings folder in which the licences are accepted.
    """
    from lyra.engines.lyra2.conversion import convert
    from lyra.hub import AcceptedLicences, MirrorSource, Weights, download
    from lyra.hub.catalog import needs

    accepted = AcceptedLicences(licences)
    weights = Weights(root)
    wanted = [needs(name) for name in ("lyra2", "lyra2-fast", "depth-anything-v2")]
    for licence in {licence for need in wanted for licence in need.licences}:
        accepted.accept(licence)
    download([item for need in wanted for item in need.items], weights, MirrorSource(mirror), accepted)
    convert(weights)
    return root


def write_checksums(repository: Path) -> None:
    """The file SHA256SUMS that a mirror is checked against."""
    files = sorted(file for file in repository.rglob("*") if file.is_file() and file.name != CHECKSUMS)
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(repository).as_posix()}"
        for file in files
    ]
    (repository / CHECKSUMS).write_text("\n".join(lines) + "\n")


def _repository(folder: Path, repository_id: str) -> Path:
    path = folder / repository_id.replace("/", "--")
    path.mkdir(parents=True)
    return path


def _write_lyra2(folder: Path) -> None:
    weights = published_weights()
    folder = folder / "checkpoints"
    checkpoint = folder / "model" / "model"
    write_distributed(checkpoint, {f"net.{key}": value for key, value in weights.items()} | training_state())
    # Of the published 64 pieces the second half is empty: those ranks held what the first ones had written.
    (checkpoint / "__1_0.distcp").touch()
    (checkpoint / "config.json").write_text(json.dumps(dataclasses.asdict(NETWORK)))
    embedding = torch.randn(1, 512, NETWORK.text_dim, dtype=torch.bfloat16)
    (folder / "text_encoder").mkdir()
    torch.save({"t5_text_embeddings": embedding}, folder / "text_encoder" / "negative_prompt.pt")
    (folder / "lora").mkdir()
    for name, lora in (
        ("dmd_distillation", lora_in_module_style(weights)),
        ("realism_boost", lora_in_musubi_style(weights)),
        ("detail_enhancer", lora_in_musubi_style(weights)),
    ):
        save_file(lora, folder / "lora" / f"{name}.safetensors")


def published_weights(config: NetworkConfig = NETWORK) -> dict[str, torch.Tensor]:
    """Random float32 weights of the network under their published keys, without "net.", from the global generator."""
    from lyra.engines.lyra2.conversion import network_shapes
    from lyra.engines.lyra2.names import to_published_key

    return {to_published_key(key): _random(key, shape) for key, shape in network_shapes(config).items()}


def _random(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Weights under which numbers stay near 1: matrices by their inputs, norms around 1, the rest small."""
    if len(shape) == 1 and key.endswith(".weight"):
        return 1 + 0.1 * torch.randn(shape)
    return torch.randn(shape) * (shape[-1] ** -0.5 if len(shape) == 2 else 0.1)


def training_state() -> dict[str, torch.Tensor | io.BytesIO]:
    """Entries of the published checkpoint that are no weights."""
    state = {f"net.{name}": torch.tensor(7) for name in COUNTERS}
    state["net.accum_train_in_hours"] = torch.tensor(1.5)
    for block in range(NETWORK.num_layers):
        for place in ("self_attn.attn_op", "cross_attn.attn_op", "cross_attn.attn_op_image"):
            state[f"net.blocks.{block}.{place}._extra_state"] = io.BytesIO(b"state")
    return state


class _SplittingPlanner(distributed_checkpoint.DefaultSavePlanner):
    """Splits matrices into two pieces each, as sharded training does; every third along its second axis."""

    def create_local_plan(self):
        plan = super().create_local_plan()
        items = [piece for item in plan.items for piece in self._split(item)]
        self.plan = dataclasses.replace(plan, items=items)
        return self.plan

    def _split(self, item) -> list:
        if item.tensor_data is None or len(item.tensor_data.size) != 2 or min(item.tensor_data.size) < 4:
            return [item]
        shape = tuple(item.tensor_data.size)
        axis = 1 if len(item.index.fqn) % 3 == 0 else 0
        # Not in the middle: pieces of unequal size.
        cut = shape[axis] // 2 + 1
        pieces = []
        for start, stop in ((0, cut), (cut, shape[axis])):
            offsets = tuple(start if a == axis else 0 for a in (0, 1))
            sizes = tuple(stop - start if a == axis else shape[a] for a in (0, 1))
            chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
            pieces.append(
                dataclasses.replace(
                    item,
                    index=MetadataIndex(item.index.fqn, offsets),
                    type=WriteItemType.SHARD,
                    tensor_data=TensorWriteData(chunk, item.tensor_data.properties, item.tensor_data.size),
                )
            )
        return pieces

    def resolve_data(self, write_item):
        if write_item.type != WriteItemType.SHARD:
            return super().resolve_data(write_item)
        chunk = write_item.tensor_data.chunk
        box = tuple(slice(o, o + s) for o, s in zip(chunk.offsets, chunk.sizes, strict=True))
        return self.state_dict[write_item.index.fqn][box].clone()


def write_distributed(folder: Path, state: dict[str, torch.Tensor | io.BytesIO], files: int = 3) -> None:
    """`state` as a distributed checkpoint over several files, by torch's own writer."""
    writer = distributed_checkpoint.FileSystemWriter(folder, thread_count=files, sync_files=False)
    distributed_checkpoint.save(state, storage_writer=writer, planner=_SplittingPlanner(), no_dist=True)


def lora_in_module_style(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys as PEFT writes them, "lora_A" and "lora_B" under the module's path, without alpha."""
    lora = {}
    for module in _lora_modules("self_attn.{}", "cross_attn.{}", "ffn.{}"):
        outputs, inputs = weights[f"{module}.weight"].shape
        lora[f"diffusion_model.{module}.lora_A.weight"] = (
            torch.randn(DISTILLATION_RANK, inputs) * inputs**-0.5
        )
        lora[f"diffusion_model.{module}.lora_B.weight"] = torch.randn(outputs, DISTILLATION_RANK) * 0.05
    return lora


def lora_in_musubi_style(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys as musubi-tuner writes them, with alpha: "lora_unet_blocks_0_self_attn_q.lora_down.weight"."""
    lora = {}
    for module in _lora_modules("self_attn.{}"):
        outputs, inputs = weights[f"{module}.weight"].shape
        name = "lora_unet_" + module.replace(".", "_")
        lora[f"{name}.lora_down.weight"] = torch.randn(DISTILLATION_RANK, inputs) * inputs**-0.5
        lora[f"{name}.lora_up.weight"] = torch.randn(outputs, DISTILLATION_RANK) * 0.05
        lora[f"{name}.alpha"] = torch.tensor(DISTILLATION_RANK / 2)
    return lora


def _lora_modules(*places: str) -> list[str]:
    parts = {"self_attn.{}": "qkvo", "cross_attn.{}": "qkvo", "ffn.{}": "02"}
    return [
        f"blocks.{block}.{place.format(part)}"
        for block in range(NETWORK.num_layers)
        for place in places
        for part in parts[place]
    ]


def _write_wan(folder: Path, vae_width: int) -> None:
    from diffusers import AutoencoderKLWan
    from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

    vae = AutoencoderKLWan(base_dim=vae_width, z_dim=16, num_res_blocks=1)
    vae.save_pretrained(folder / "vae")
    vocabulary = write_tokenizer(folder / "tokenizer")
    text = UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary, d_model=NETWORK.text_dim, d_kv=16, d_ff=48, num_layers=2, num_heads=2
        )
    )
    # Small shards, so that there are several and an index, as in the published folder.
    text.save_pretrained(folder / "text_encoder", max_shard_size="20KB")
    image = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=NETWORK.image_dim,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=14,
            hidden_act="gelu",
        )
    )
    image.save_pretrained(folder / "image_encoder")


def write_tokenizer(folder: Path) -> int:
    """A tokenizer of single characters that ends every text with "</s>", as UMT5's does. Returns its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(n)) for n, piece in enumerate(pieces)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(words))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "T5Tokenizer", "model_max_length": 512, **words})
    )
    return len(pieces)


def tiny_depth_anything(max_depth: int):
    """Depth Anything V2 with a metric head, as small as its layout allows."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=16,
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            head_hidden_size=8,
            depth_estimation_type="metric",
            max_depth=max_depth,
        )
    )
