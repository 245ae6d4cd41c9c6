"""Gaussian clouds in PLY files with the property layout of the 3DGS paper's code (docs/conventions.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.recfunctions import unstructured_to_structured
from plyfile import PlyData, PlyParseError

from lyra.common.errors import InvalidInputError
from lyra.common.files import open_given
from lyra.common.quoting import one_line, place, value
from lyra.formats.ply_header import read_ply_header
from lyra.formats.ply_writer import write_elements
from lyra.formats.splat_layout import (
    DC,
    FULL_REST,
    NORMAL,
    OPACITY,
    POSITION,
    ROTATION,
    SCALE,
    rest_count,
    rest_names,
)
from lyra.geometry.gaussians import GaussianCloud


def write_ply(cloud: GaussianCloud, path: str | Path, *, f_rest: bool = False) -> None:
    """Writes a binary little-endian PLY; the file is whole or not there. Raises DiskFullError.

    The harmonics are those of the cloud. With `f_rest` the higher ones that it lacks are written as 0, so that there
    are always 45 of them and 62 properties, as viewers need that read records of fixed size.
    """
    sh = cloud.sh
    if f_rest:
        sh = np.concatenate([sh, np.zeros((len(cloud), 1 + FULL_REST - sh.shape[1], 3), np.float32)], 1)
    rest = sh.shape[1] - 1
    # Channel-major: all coefficients of red, then green, then blue.
    columns = {
        POSITION: cloud.means,
        NORMAL: np.zeros((len(cloud), 3), np.float32),
        DC: sh[:, 0],
        rest_names(rest): sh[:, 1:].transpose(0, 2, 1).reshape(len(cloud), 3 * rest),
        OPACITY: cloud.opacity_logits[:, None],
        SCALE: cloud.log_scales,
        ROTATION: cloud.rotations,
    }
    names = [name for group in columns for name in group]
    packed = np.concatenate(list(columns.values()), 1)
    vertices = unstructured_to_structured(packed, np.dtype([(name, "<f4") for name in names]))
    write_elements(path, vertex=vertices)


def read_ply(path: str | Path) -> GaussianCloud:
    """Reads a cloud; rotations come out normalised. Raises InvalidInputError for anything that is no such file."""
    path = Path(path)
    vertices = _read_vertices(path)
    found = vertices.dtype.names
    try:
        coefficients = rest_count(found)
    except ValueError as error:
        raise InvalidInputError(one_line(f"{place(path)} has {error}.")) from error
    wanted = [*POSITION, *DC, *rest_names(coefficients), *OPACITY, *SCALE, *ROTATION]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InvalidInputError(
            f"{place(path)} lacks {', '.join(missing[:6])}; it holds no Gaussian splats. Export it in the 3DGS layout."
        )

    def stack(names: tuple[str, ...]) -> np.ndarray:
        if not names:
            return np.zeros((len(vertices), 0), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite in float32 is refused below
            return np.stack([vertices[name] for name in names], 1).astype(np.float32)

    bands = stack(rest_names(coefficients)).reshape(len(vertices), 3, coefficients).transpose(0, 2, 1)
    rotations = stack(ROTATION)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(rotations, axis=1, keepdims=True)
        rotations = rotations / np.where(norms > 0, norms, 1)
    cloud = GaussianCloud(
        means=stack(POSITION),
        log_scales=stack(SCALE),
        rotations=rotations,
        opacity_logits=stack(OPACITY)[:, 0],
        sh=np.ascontiguousarray(np.concatenate([stack(DC)[:, None], bands], 1)),
    )
    _check(cloud, norms[:, 0] > 0, path)
    return cloud


def _read_vertices(path: Path) -> np.ndarray:
    """The rows of the element `vertex`, plain numbers only."""
    try:
        with open_given(path)[0] as file:
            header = read_ply_header(file)
            element = header.element("vertex")
            lists = [name for other in header.elements if other.count for name in other.lists]
            if lists:
                raise ValueError(
                    f"it holds lists under {value(', '.join(lists[:6]))}; splats are plain numbers"
                )
            if not header.order:
                file.seek(0)
                return PlyData.read(file)["vertex"].data
            before = header.elements[: header.elements.index(element)]
            file.seek(header.size + sum(other.count * other.row_bytes for other in before))
            return np.fromfile(file, header.dtype(element), element.count)
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no splat file at {place(path)}.") from error
    except (PlyParseError, ValueError, OSError) as error:
        raise InvalidInputError(
            one_line(f"{place(path)} is no readable PLY file with vertices: {one_line(error, 120)}.")
        ) from error


def _check(cloud: GaussianCloud, has_rotation: np.ndarray, path: Path) -> None:
    good = has_rotation.copy()
    for array in (cloud.means, cloud.log_scales, cloud.rotations, cloud.opacity_logits, cloud.sh):
        good &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not good.all():
        first = int(np.argmin(good))
        raise InvalidInputError(
            f"{place(path)}: splat {first} has a value that is not finite or a rotation of length 0 "
            f"(position {cloud.means[first].tolist()}). Clean the file with a splat editor."
        )
