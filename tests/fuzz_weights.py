"""Readers of weights and of what lies beside them, with a small whole file each."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.evaluation.depth_pairs import marked_images
from lyra.hub.licences import AcceptedLicences
from lyra.hub.manifest import FileEntry, Manifest
from lyra.hub.safetensor_files import read_header
from lyra.hub.sources import read_checksums
from lyra.hub.weights import shards
from lyra.world.chunks import Chunk
from tests.fuzz_files import SIDE, Reader


def write_text(name: str, content: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


def write_manifest(folder: Path) -> Path:
    entries = (FileEntry("vae/a.safetensors", 10, "ab" * 32), FileEntry("config.json", 5, None, "cd" * 20))
    Manifest("owner/name", "0123", entries).write(folder / "manifest.json")
    return folder / "manifest.json"


def write_safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    tensors = {"a.weight": np.ones((4, 3), np.float16), "b": np.arange(5), "c": np.array(1, np.float32)}
    save_file(tensors, str(folder / "in.safetensors"), {"format": "pt"})
    return folder / "in.safetensors"


def write_licences(folder: Path) -> Path:
    accepted = AcceptedLicences(folder)
    accepted.accept("cc-by-nc-4.0")
    return accepted.file


def weights() -> list[Reader]:
    index = {"metadata": {"total_size": 9}, "weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}
    pairs = {"images": [{"sha256": "ab" * 32, "about": "a street", "pairs": [[0.1, 0.2, 0.3, 0.4]]}]}
    sums = "".join(f"{digit * 64}  vae/{digit}.safetensors\n" for digit in "ab")
    config = {"_class_name": "x", **asdict(NetworkConfig())}
    return [
        Reader("manifest", write_manifest, Manifest.read),
        Reader("safetensors", write_safetensors, read_header),
        Reader("index of shards", write_text("in.json", index), shards),
        Reader("network's config", write_text("in.json", config), NetworkConfig.read),
        Reader(
            "accepted licences",
            write_licences,
            lambda path: AcceptedLicences(path.parent).accepted("cc-by-nc-4.0"),
        ),
        Reader("checksums", write_text("SHA256SUMS", sums), read_checksums),
        Reader("marked pairs", write_text("in.json", pairs), marked_images),
    ]


# ------------------------------------------------------------------------------------------------ what torch is for
def networks() -> list[Reader]:
    import torch
    from safetensors.torch import save_file
    from torch.distributed.checkpoint import FileSystemWriter, save

    from lyra.depth.network_file import NetworkShape, load_weights, save_weights
    from lyra.engines.lyra2.checkpoint import open_checkpoint
    from lyra.engines.lyra2.lora import read_lora
    from lyra.engines.lyra2.metadata import read_metadata
    from lyra.engines.lyra2.state import ChunkRecord
    from lyra.engines.lyra2.text import NEGATIVE_KEY, load_negative_embedding

    def lora(folder: Path) -> Path:
        tensors = {
            "diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.ones(2, 8),
            "diffusion_model.blocks.0.self_attn.q.lora_B.weight": torch.ones(8, 2),
            "diffusion_model.blocks.0.self_attn.q.alpha": torch.tensor(2.0),
        }
        save_file(tensors, str(folder / "lora.safetensors"))
        return folder / "lora.safetensors"

    def depth_network(folder: Path) -> Path:
        save_weights(folder / "depth.safetensors", {"a": np.ones((3, 2))}, NetworkShape(), {"made": "here"})
        return folder / "depth.safetensors"

    def state(folder: Path) -> Path:
        ids = np.arange(8, 81, 8)
        np.savez(
            folder / "state.npz",
            sampled=np.zeros((16, 20, 8, 8), np.float32),
            remembered=ids,
            depth=np.ones((len(ids), SIDE, SIDE), np.float32),
            stills=np.zeros((len(ids), 16, 8, 8), np.float32),
            depth_fit=np.array([1.25, 0.125]),
        )
        (folder / "chunk.json").write_text('{"prompt": "", "seed": 1, "seconds": 1.0}')
        return folder / "state.npz"

    def read_state(path: Path) -> None:
        arrays = Chunk(path.parent, 1, "", 0, 1.0, (SIDE, SIDE)).load_state()
        ChunkRecord.of(arrays, torch.bfloat16, path, range(1, 81), (SIDE, SIDE))

    def pickled(content: object) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            torch.save(content, folder / "in.pt")
            return folder / "in.pt"

        return make

    def distributed(folder: Path) -> Path:
        save({"net.a": torch.ones(3, 2), "net.b": torch.ones(5)}, storage_writer=FileSystemWriter(folder))
        return folder / ".metadata"

    negative = {NEGATIVE_KEY: torch.zeros(1, 512, 4)}
    return [
        Reader("state.npz of lyra2", state, read_state),
        Reader("LoRA", lora, read_lora),
        Reader("depth network", depth_network, load_weights),
        Reader("negative prompt", pickled(negative), lambda path: load_negative_embedding(path, 4)),
        Reader("checkpoint of one file", pickled({"a": torch.ones(3)}), open_checkpoint),
        Reader("checkpoint's metadata", distributed, lambda path: read_metadata(path.parent)),
    ]
