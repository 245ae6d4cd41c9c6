"""Every reader of files that others wrote, each with a small whole file; damaged ones are read in this process.

`python -m tests.fuzz_readers GROUP COUNT FOLDER` reads COUNT damaged files a reader of a group, within a limit of
memory, and prints as JSON what came out other than a refusal of one line.
"""

import gc
import io
import json
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, features

from lyra.common.errors import LyraError
from lyra.depth.file import read_depth
from lyra.engines.lyra2.network_check import NetworkConfig
from lyra.engines.preview.kept import checked_state
from lyra.engines.preview.layers import Layer, pack
from lyra.evaluation.depth_pairs import marked_images
from lyra.formats.mesh_files import save_glb, save_ply
from lyra.formats.splat_ply import read_ply, write_ply
from lyra.geometry.cameras import CHUNK_FRAMES, Trajectory, intrinsics_from_fov
from lyra.geometry.meshes import Mesh
from lyra.geometry.views import View
from lyra.hub.licences import AcceptedLicences
from lyra.hub.manifest import FileEntry, Manifest
from lyra.hub.safetensor_files import read_header
from lyra.hub.sources import read_checksums
from lyra.hub.weights import shards
from lyra.media import video
from lyra.media.images import load_image
from lyra.pipeline import metres
from lyra.world.captions import load_captions
from lyra.world.chunks import Chunk, ChunkFrames
from lyra.world.folder import World
from lyra.world.options import EngineOptions
from lyra.world.plan import Plan
from lyra.world.settings import WorldSettings
from tests.fuzz_mutations import mutated
from tests.splats.test_rasterize import random_cloud

SIDE = 64
MEMORY = 1_500_000_000
PATIENCE = 20
LONGEST = 300


@dataclass(frozen=True)
class Reader:
    """`make` writes a whole file into a folder and returns its path; `read` reads it, or refuses."""

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def main(group: str, count: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    found = {}
    for reader in GROUPS[group]():
        place = folder / reader.name.replace(" ", "-").replace(".", "-")
        place.mkdir()
        path = reader.make(place)
        # All that it imports is there before memory is limited.
        reader.read(path)
        found[reader.name] = failures(reader, path, count)
    print(json.dumps(found))


def failures(reader: Reader, path: Path, count: int) -> list[str]:
    whole = path.read_bytes()
    limit_memory()
    found = []
    for number in range(count):
        damaged = mutated(whole, number)
        path.write_bytes(damaged)
        # Where this process dies, the last line says of what.
        print(f"{reader.name}, mutation {number}", file=sys.stderr, flush=True)
        complaint = complaint_of(reader, path)
        if complaint:
            found.append(f"mutation {number}: {complaint}")
    path.write_bytes(whole)
    return found


def complaint_of(reader: Reader, path: Path) -> str:
    """What is wrong with how a damaged file is read, or ""."""
    signal.alarm(PATIENCE)
    try:
        reader.read(path)
    except LyraError as error:
        text = str(error)
        return "" if len(text) <= LONGEST and "\n" not in text else f"{len(text)} characters: {text[:400]!r}"
    except Exception as error:  # whatever else comes out is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-3:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(last))
        return f"{type(error).__name__}: {str(error)[:150]!r} at {places}"
    finally:
        signal.alarm(0)
    return ""


def limit_memory() -> None:
    """As much as this process has now, and MEMORY more."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def refuse_to_wait(*_) -> None:
    raise TimeoutError(f"not read within {PATIENCE} seconds")


# ---------------------------------------------------------------------------------------------------------- pictures
def picture(mode: str = "RGB") -> Image.Image:
    ramp = np.linspace(0, 255, SIDE * SIDE * 4).reshape(SIDE, SIDE, 4).astype(np.uint8)
    return Image.fromarray(ramp, "RGBA").convert(mode)


def saved(suffix: str, mode: str = "RGB", **options) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"in{suffix}"
        picture(mode).save(path, **options)
        return path

    return make


def wide_png(folder: Path) -> Path:
    path = folder / "in.png"
    Image.fromarray((np.arange(SIDE * SIDE, dtype=np.uint16) * 9 + 700).reshape(SIDE, SIDE)).save(path)
    return path


def float_tiff(folder: Path) -> Path:
    path = folder / "in.tiff"
    tifffile.imwrite(path, np.linspace(0.1, 3, SIDE * SIDE * 3, dtype=np.float32).reshape(SIDE, SIDE, 3))
    return path


def float_exr(folder: Path) -> Path:
    import OpenImageIO

    path = folder / "in.exr"
    spec = OpenImageIO.ImageSpec(SIDE, SIDE, 3, "half")
    spec.attribute("compression", "zip")
    output = OpenImageIO.ImageOutput.create(str(path))
    output.open(str(path), spec)
    output.write_image(np.linspace(0.1, 3, SIDE * SIDE * 3, dtype=np.float32).reshape(SIDE, SIDE, 3))
    output.close()
    return path


def planar_tiff(folder: Path) -> Path:
    path = folder / "in.tiff"
    values = np.arange(3 * SIDE * SIDE, dtype=np.uint16).reshape(3, SIDE, SIDE)
    tifffile.imwrite(path, values, planarconfig="separate", photometric="rgb", compression="zlib")
    return path


def radiance(folder: Path) -> Path:
    path = folder / "in.hdr"
    pixels = np.full((SIDE, SIDE, 4), (120, 90, 60, 128), np.uint8).tobytes()
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 64\n" + pixels)
    return path


def copied(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        source = Path(__file__).parent / "depth" / "data" / name
        path = folder / f"in{source.suffix}"
        path.write_bytes(source.read_bytes())
        return path

    return make


def pictures() -> list[Reader]:
    rows = [
        ("picture.png", saved(".png")),
        ("picture.png of 16 bits", wide_png),
        ("picture.png with a palette", saved(".png", "P")),
        ("picture.jpg", saved(".jpg")),
        ("picture.webp", saved(".webp", "RGBA")),
        ("picture.tiff", saved(".tiff", compression="tiff_lzw")),
        ("picture.tiff of floats", float_tiff),
        ("picture.tiff in planes", planar_tiff),
        ("picture.bmp", saved(".bmp")),
        ("picture.gif", saved(".gif", "P")),
        ("picture.tga", saved(".tga", "RGBA")),
        ("picture.ppm", saved(".ppm")),
        ("picture.hdr", radiance),
        ("picture.exr", float_exr),
    ]
    rows += [("picture.avif", saved(".avif"))] if features.check("avif") else []
    return [Reader(name, make, load_image) for name, make in rows]


# ------------------------------------------------------------------------------------------------------------- depth
def depths() -> list[Reader]:
    depth = np.linspace(1, 9, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)

    def npz(folder: Path) -> Path:
        np.savez(folder / "in.npz", depth=depth, intrinsics=intrinsics_from_fov(1, SIDE, SIDE))
        return folder / "in.npz"

    def npy(folder: Path) -> Path:
        np.save(folder / "in.npy", depth)
        return folder / "in.npy"

    def pfm(folder: Path) -> Path:
        (folder / "in.pfm").write_bytes(b"Pf\n64 64\n-1.0\n" + depth[::-1].tobytes())
        return folder / "in.pfm"

    rows = [
        ("npz", npz),
        ("npy", npy),
        ("pfm", pfm),
        ("png", wide_png),
        ("exr", copied("blender45_rle_16.exr")),
    ]
    return [Reader(f"depth.{name}", make, read_depth) for name, make in rows]


# ------------------------------------------------------------------------------------------------------------- world
def path_of(frames: int) -> Trajectory:
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, 0, 3] = -0.01 * np.arange(frames)
    return Trajectory.checked(w2c, np.tile(intrinsics_from_fov(1, SIDE, SIDE), (frames, 1, 1)), SIDE, SIDE)


def layer(count: int) -> Layer:
    colours, disparity = np.zeros((count, 3), np.uint8), np.ones(count, np.float32)
    lens = intrinsics_from_fov(1, SIDE, SIDE)
    return Layer(SIDE, SIDE, np.arange(count, dtype=np.int32), colours, disparity, np.eye(4), lens)


def preview_state() -> dict[str, np.ndarray]:
    return pack([layer(5), layer(9)]) | {
        "witness_frame": np.array([8, 16]),
        "witness_depth": np.ones((2, SIDE, SIDE), np.float16),
        "witness_w2c": np.tile(np.eye(4), (2, 1, 1)),
        "witness_intrinsics": np.tile(intrinsics_from_fov(1, SIDE, SIDE), (2, 1, 1)),
    }


def small_world(folder: Path) -> World:
    """A world of one chunk with a plan and figures."""
    picture().save(folder / "source.png")
    settings = WorldSettings(
        "world-1", "World", "preview", SIDE, SIDE, 0, "a file", "", "2026-01-01T00:00:00+00:00"
    )
    depth = np.linspace(1, 9, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    view = View.at_origin(np.asarray(picture()), depth, intrinsics_from_fov(1, SIDE, SIDE))
    points = np.zeros(
        5, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    )
    world = World.create(folder / "world", settings, view, folder / "source.png", points)
    frames = np.zeros((CHUNK_FRAMES, SIDE, SIDE, 3), np.uint8)
    chunk = ChunkFrames(frames, np.ones((CHUNK_FRAMES, SIDE, SIDE), np.float32), preview_state())
    world.add_chunk(path_of(81)[1:], chunk, "a street", 7, 1.5)
    Plan(path_of(81), 0, {0: "a street"}, 7, EngineOptions()).save(world.folder)
    world.results.mkdir(exist_ok=True)
    world.figures.write_text(json.dumps({"frames": 81, "splats": 5, "psnr": 30.5, "notes": []}))
    return world


def in_world(relative: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return small_world(folder).folder / relative

    return make


def world_of(path: Path) -> World:
    return World.open(next(parent for parent in path.parents if parent.name == "world"))


def chunk_of(path: Path) -> Chunk:
    return Chunk.open(path.parent, (SIDE, SIDE))


def write_path(folder: Path) -> Path:
    path_of(81).save(folder / "path.npz")
    return folder / "path.npz"


def write_captions(folder: Path) -> Path:
    path = folder / "captions.json"
    path.write_text('{"0": "a street at noon", "81": "a square", "161": "a river"}')
    return path


def worlds() -> list[Reader]:
    return [
        Reader("path.npz", write_path, Trajectory.load),
        Reader("captions", write_captions, load_captions),
        Reader("world.json", in_world("world.json"), lambda path: world_of(path).summary()),
        Reader("seed.npz", in_world("seed.npz"), lambda path: world_of(path).seed_view()),
        Reader("seed.png", in_world("seed.png"), lambda path: world_of(path).seed_view()),
        Reader("chunk.json", in_world("chunks/0001/chunk.json"), lambda path: world_of(path).summary()),
        Reader(
            "trajectory.npz of a chunk",
            in_world("chunks/0001/trajectory.npz"),
            lambda path: chunk_of(path).load_trajectory(),
        ),
        Reader(
            "depth.npz of a chunk",
            in_world("chunks/0001/depth.npz"),
            lambda path: chunk_of(path).load_depth(),
        ),
        Reader(
            "state.npz of preview",
            in_world("chunks/0001/state.npz"),
            lambda path: checked_state(chunk_of(path).load_state(), path, (SIDE, SIDE)),
        ),
        Reader("frames.mkv", in_world("chunks/0001/frames.mkv"), lambda path: chunk_of(path).load_frames()),
        Reader("pending.json", in_world("pending.json"), lambda path: world_of(path).load_plan()),
        Reader("pending.npz", in_world("pending.npz"), lambda path: world_of(path).load_plan()),
        Reader("results.json", in_world("results/results.json"), lambda path: world_of(path).summary()),
        Reader("frames.mp4", write_video, lambda path: video.encoded_as(path, 4)),
    ]


def write_video(folder: Path) -> Path:
    video.write_watchable(folder / "in.mp4", [np.asarray(picture())] * 4, SIDE, SIDE)
    return folder / "in.mp4"


# ----------------------------------------------------------------------------------------------------------- results
def mesh() -> Mesh:
    vertices = np.array([[0, 0, 2], [1, 0, 2], [0, 1, 2], [1, 1, 3]], np.float32)
    return Mesh(vertices, np.array([[0, 1, 2], [1, 3, 2]], np.int32), np.full((4, 3), 90, np.uint8))


def results() -> list[Reader]:
    def splats(folder: Path) -> Path:
        write_ply(random_cloud(6, 1, 4), folder / "splats.ply")
        return folder / "splats.ply"

    def text_splats(folder: Path) -> Path:
        from plyfile import PlyData

        ply = PlyData.read(splats(folder), mmap=False)
        ply.text = True
        ply.write(folder / "splats.ply")
        return folder / "splats.ply"

    def glb(folder: Path) -> Path:
        save_glb(mesh(), folder / "mesh.glb")
        return folder / "mesh.glb"

    def ply(folder: Path) -> Path:
        save_ply(mesh(), folder / "mesh.ply")
        return folder / "mesh.ply"

    def in_metres(path: Path) -> None:
        metres.copy_in_metres(path, io.BytesIO(), 2.0)

    return [
        Reader("splats.ply", splats, read_ply),
        Reader("splats.ply as text", text_splats, read_ply),
        Reader(
            "splats.ply in metres",
            splats,
            lambda path: metres.copy_in_metres(path, io.BytesIO(), 2.0, f_rest=True),
        ),
        Reader("mesh.ply in metres", ply, in_metres),
        Reader("mesh.glb in metres", glb, in_metres),
    ]


# ----------------------------------------------------------------------------------------------------------- weights
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


GROUPS: dict[str, Callable[[], list[Reader]]] = {
    "pictures": pictures,
    "files": lambda: [*depths(), *worlds(), *results(), *weights()],
    "networks": networks,
}

if __name__ == "__main__":
    signal.signal(signal.SIGALRM, refuse_to_wait)
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
