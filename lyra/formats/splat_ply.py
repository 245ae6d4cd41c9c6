"""Gaussian clouds in PLY files with the property layout of the 3DGS paper's code (docs/conventions.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.recfunctions import unstructured_to_structured
from plyfile import PlyData, PlyElement, PlyParseError

from lyra.common.errors import InvalidInputError
from lyra.common.files import whole_file
from lyra.geometry.gaussians import GaussianCloud

_POSITION = ("x", "y", "z")
# Always zero; readers of the original layout expect them.
_NORMAL = ("nx", "ny", "nz")
_DC = ("f_dc_0", "f_dc_1", "f_dc_2")
_SCALE = ("scale_0", "scale_1", "scale_2")
_ROTATION = ("rot_0", "rot_1", "rot_2", "rot_3")
_COEFFICIENTS = (1, 4, 9, 16)


def write_ply(cloud: GaussianCloud, path: str | Path) -> None:
    """Writes a binary little-endian PLY; the file is whole or not there. Raises DiskFullError."""
    rest = cloud.sh.shape[1] - 1
    # Channel-major: all coefficients of red, then green, then blue.
    columns = {
        _POSITION: cloud.means,
        _NORMAL: np.zeros((len(cloud), 3), np.float32),
        _DC: cloud.sh[:, 0],
        _rest_names(rest): cloud.sh[:, 1:].transpose(0, 2, 1).reshape(len(cloud), 3 * rest),
        ("opacity",): cloud.opacity_logits[:, None],
        _SCALE: cloud.log_scales,
        _ROTATION: cloud.rotations,
    }
    names = [name for group in columns for name in group]
    packed = np.concatenate(list(columns.values()), 1)
    vertices = unstructured_to_structured(packed, np.dtype([(name, "<f4") for name in names]))
    with whole_file(Path(path)) as temporary:
        PlyData([PlyElement.describe(vertices, "vertex")], byte_order="<").write(temporary)


def read_ply(path: str | Path) -> GaussianCloud:
    """Reads a cloud; rotations come out normalised. Raises InvalidInputError for anything that is no such file."""
    path = Path(path)
    try:
        vertices = PlyData.read(path)["vertex"].data
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no splat file at {path}.") from error
    except (PlyParseError, KeyError, ValueError, OSError) as error:
        raise InvalidInputError(f"{path} is no readable PLY file with vertices: {error}.") from error
    found = vertices.dtype.names
    rest = [name for name in found if name.startswith("f_rest_")]
    coefficients = len(rest) // 3 + 1
    if len(rest) % 3 or coefficients not in _COEFFICIENTS:
        raise InvalidInputError(
            f"{path} has {len(rest)} f_rest properties; spherical harmonics have 0, 9, 24 or 45."
        )
    rest_names = _rest_names(coefficients - 1)
    wanted = [*_POSITION, *_DC, *rest_names, "opacity", *_SCALE, *_ROTATION]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InvalidInputError(
            f"{path} lacks {', '.join(missing[:6])}; it holds no Gaussian splats. Export it in the 3DGS layout."
        )
    lists = [name for name in wanted if vertices.dtype[name].hasobject]
    if lists:
        raise InvalidInputError(
            f"{path} holds lists under {', '.join(lists[:6])}; splats need one number each."
        )

    def stack(names: tuple[str, ...]) -> np.ndarray:
        if not names:
            return np.zeros((len(vertices), 0), np.float32)
        return np.stack([vertices[name] for name in names], 1).astype(np.float32)

    bands = stack(rest_names).reshape(len(vertices), 3, coefficients - 1).transpose(0, 2, 1)
    rotations = stack(_ROTATION)
    norms = np.linalg.norm(rotations, axis=1, keepdims=True)
    cloud = GaussianCloud(
        means=stack(_POSITION),
        log_scales=stack(_SCALE),
        rotations=rotations / np.where(norms > 0, norms, 1),
        opacity_logits=stack(("opacity",))[:, 0],
        sh=np.ascontiguousarray(np.concatenate([stack(_DC)[:, None], bands], 1)),
    )
    _check(cloud, norms[:, 0] > 0, path)
    return cloud


def _rest_names(coefficients: int) -> tuple[str, ...]:
    return tuple(f"f_rest_{i}" for i in range(3 * coefficients))


def _check(cloud: GaussianCloud, has_rotation: np.ndarray, path: Path) -> None:
    good = has_rotation.copy()
    for array in (cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits, cloud.sh):
        good &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not good.all():
        first = int(np.argmin(good))
        raise InvalidInputError(
            f"{path}: splat {first} has a value that is not finite or a rotation of length 0 "
            f"(position {cloud.means[first].tolist()}). Clean the file with a splat editor."
        )
