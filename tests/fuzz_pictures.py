"""Readers of pictures and depth maps, with a small whole file each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, features

from lyra.depth.file import read_depth
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.media.images import load_image
from tests.fuzz_files import SIDE, Reader, picture


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
