"""Validation of pinhole intrinsics against their image. Pixels are those of docs/conventions.md.

Every lens from outside passes `check_lens`: of paths, depth files, the API and Blender. Estimators' guesses pass
`lens_fault`, since their user cannot mend them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lyra.common.errors import InvalidInputError

# Degrees over the longer side. 1000 mm on a 36 mm frame is 2 degrees. Rectilinear lenses are made up to 135 degrees;
# at 150 the rim is stretched 15 times. Focal lengths in millimetres or in shares of the picture lie beyond.
NARROWEST, WIDEST = 2.0, 150.0
# Pixels are at most twice as wide as high, or as high as wide (anamorphic film 2:1, with room for rounding).
MOST_SQUEEZED = 2.05
# Pixels more uneven than those of PAL (1.094) are remarked on.
NEARLY_SQUARE = 1.1
# How far outside the picture the principal point may lie, in shares of its sides. Shift lenses move it to the edge
# (12 mm on 24); renderers can move it on, but then the lens more often belongs to another picture.
SHIFTED = 0.05
# After a crop it may lie anywhere near: the lens was checked in the whole picture.
CROPPED = 1.0
# Relative to the focal length: at 1000 px it bends a column by 0.1 px.
SKEW = 1e-4
# Above the other entries of a pinhole matrix only rounding of float32 stands.
ROUNDING = 1e-6
# In pixels no principal point is this near to the corner, no focal length this short.
NORMALISED_CENTRE, NORMALISED_FOCAL = 1.5, 30.0
# Pixels from the edge to the centre of the largest picture there is.
LARGEST = 1e6
# The centre of another picture: off this one's centre by more than the first share, on its diagonal by the second.
OFF_CENTRE, ON_DIAGONAL = 0.1, 0.005


def check_pinhole(intrinsics: np.ndarray, name: Callable[[int], str]) -> None:
    """Raises InvalidInputError unless `intrinsics` (N, 3, 3) are pinhole matrices; `name(i)` says whose number i is."""
    finite = np.isfinite(intrinsics).all((1, 2))
    _require(finite, lambda i: f"{_owner(name(i))} intrinsics are not finite: {shown(intrinsics[i])}.")
    off = np.maximum(np.abs(intrinsics[:, [1, 2, 2], [0, 0, 1]]).max(1), np.abs(intrinsics[:, 2, 2] - 1))
    focal = intrinsics[:, [0, 1], [0, 1]]
    skewed = (focal > 0).all(1) & (np.abs(intrinsics[:, 0, 1]) > SKEW * np.abs(focal).min(1))
    _require((off < ROUNDING) & ~skewed, lambda i: _form_fault(intrinsics[i], name(i)))
    _require(
        (focal > 0).all(1),
        lambda i: f"The focal lengths of {name(i)} are {shown(focal[i])}; both must be positive pixels.",
    )


def check_lens(
    intrinsics: np.ndarray, height: int, width: int, name: Callable[[int], str], outside: float = SHIFTED
) -> None:
    """Raises InvalidInputError unless `intrinsics` (N, 3, 3) are lenses that a height x width picture can have.

    The message is about the first that cannot; `name(i)` says whose it is. `outside` is how far outside the picture a
    principal point may lie, in shares of its sides.
    """
    check_pinhole(intrinsics, name)
    focal, centre = intrinsics[:, [0, 1], [0, 1]], intrinsics[:, :2, 2]
    share = centre / [width, height]
    inside = ((share >= -outside) & (share <= 1 + outside)).all(1)
    shortest, longest = (max(height, width) / 2 / np.tan(np.radians(fov / 2)) for fov in (WIDEST, NARROWEST))
    seen = ((focal >= shortest) & (focal <= longest)).all(1)
    squeezed = focal.max(1) / MOST_SQUEEZED > focal.min(1)
    elsewhere = np.zeros(len(intrinsics), bool)
    if outside <= SHIFTED:
        on_diagonal = np.abs(share[:, 0] - share[:, 1]) < ON_DIAGONAL
        elsewhere = on_diagonal & (np.abs(share[:, 0] - 0.5) > OFF_CENTRE)
        elsewhere |= _swapped(centre, height, width)
    _require(
        inside & seen & ~squeezed & ~elsewhere,
        lambda i: _picture_fault(focal[i], centre[i], height, width, name(i), not inside[i] or elsewhere[i]),
    )


def lens_fault(intrinsics: np.ndarray, height: int, width: int, whose: str, outside: float = SHIFTED) -> str:
    """What is wrong with one lens (3, 3), as `check_lens` says it; empty where nothing is."""
    try:
        check_lens(one_lens(intrinsics, whose)[None], height, width, lambda _: whose, outside)
    except InvalidInputError as error:
        return str(error)
    return ""


def one_lens(intrinsics: np.ndarray, whose: str) -> np.ndarray:
    """Intrinsics (3, 3) float64 of (3, 3) or, as tools write them of one picture, (1, 3, 3).

    Raises InvalidInputError for anything else.
    """
    array = np.asarray(intrinsics)
    if array.dtype.kind not in "fiu":
        raise InvalidInputError(f"{_owner(whose)} intrinsics are of type {array.dtype}; numbers are needed.")
    if array.shape not in ((3, 3), (1, 3, 3)):
        raise InvalidInputError(
            f"{_owner(whose)} intrinsics have the shape {array.shape}; a pinhole matrix (3, 3) in pixels is needed."
        )
    return array.reshape(3, 3).astype(np.float64)


def picture_lens(
    intrinsics: np.ndarray, picture_hw: tuple[int, int], stated_hw: tuple[int, int] | None = None
) -> np.ndarray:
    """The lens (3, 3) float64 that is given with a picture of this (height, width).

    `stated_hw` is the size that the lens is said to be of. Raises InvalidInputError when it is another, or when no such
    picture has this lens.
    """
    if stated_hw is not None and tuple(stated_hw) != tuple(picture_hw):
        raise InvalidInputError(
            f"The lens is that of a {stated_hw[1]}x{stated_hw[0]} picture and the picture is {picture_hw[1]}x"
            f"{picture_hw[0]}; give the lens in pixels of the picture as it is, upright."
        )
    lens = one_lens(intrinsics, "the given lens")
    check_lens(lens[None], *picture_hw, lambda _: "the given lens")
    return lens


def is_normalised(intrinsics: np.ndarray) -> bool:
    """Whether the intrinsics (3, 3) are in shares of the picture, or in any unit other than pixels."""
    focal, centre = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    return bool((np.abs(centre) <= NORMALISED_CENTRE).all() and (focal < NORMALISED_FOCAL).all())


def lens_remark(intrinsics: np.ndarray, whose: str) -> str:
    """A remark on a lens (3, 3) whose pixels are not square; empty for others."""
    across, down = intrinsics[0, 0], intrinsics[1, 1]
    if max(across, down) <= NEARLY_SQUARE * min(across, down):
        return ""
    return (
        f"The focal lengths of {whose} are {across:.0f} px across and {down:.0f} px down: its pixels are not square. "
        "For a picture with square ones give both the same."
    )


def shown(values: np.ndarray) -> str:
    """A small array on one line."""
    return np.array2string(np.asarray(values), precision=4, separator=", ").replace("\n", "")


def _owner(whose: str) -> str:
    return f"{whose[0].upper()}{whose[1:]}'s"


def _require(good: np.ndarray, message: Callable[[int], str]) -> None:
    if not good.all():
        raise InvalidInputError(message(int(np.argmin(good))))


def _form_fault(matrix: np.ndarray, whose: str) -> str:
    said = f"{_owner(whose)} intrinsics are {shown(matrix)}"
    if np.abs(matrix[:2, 2]).max() < ROUNDING < np.abs(matrix[2, :2]).max():
        return f"{said}: transposed. Transpose them, so that the principal point is in the last column."
    if matrix[0, 1] and np.abs(matrix[[1, 2, 2], [0, 0, 1]]).max() < ROUNDING:
        return f"{said}: skewed by {matrix[0, 1]:.4g}. Resample the picture without skew, and write 0 there."
    return f"{said}: no pinhole matrix. In pixels it is [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."


def _swapped(centre: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whether principal points (N, 2) are the centre of the picture that has height and width swapped."""
    if max(height, width) < (1 + 2 * OFF_CENTRE) * min(height, width):
        return np.zeros(len(centre), bool)
    return (np.abs(centre / [height, width] - 0.5) < OFF_CENTRE / 2).all(1)


def _picture_fault(
    focal: np.ndarray, centre: np.ndarray, height: int, width: int, whose: str, misplaced: bool
) -> str:
    lens = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
    if is_normalised(lens):
        return (
            f"{_owner(whose)} intrinsics look normalised: focal lengths {focal[0]:.4g} and {focal[1]:.4g}, principal "
            f"point ({centre[0]:.4g}, {centre[1]:.4g}). Give them in pixels of the {width}x{height} picture: the first "
            f"row times {width}, the second times {height}."
        )
    if misplaced:
        return _misplaced(centre, height, width, whose)
    if focal.max() / MOST_SQUEEZED > focal.min():
        return (
            f"The focal lengths of {whose} are {focal[0]:.4g} and {focal[1]:.4g}; pixels are at most twice as wide as "
            f"high. Give both in pixels of the same {width}x{height} picture."
        )
    degrees = np.degrees(2 * np.arctan2(max(height, width) / 2, focal))
    worst = degrees.max() if degrees.max() > WIDEST else degrees.min()
    step = "a focal length in millimetres is to be multiplied by picture width / sensor width"
    if worst < NARROWEST:
        step = "check its unit and the size of the picture"
    return (
        f"The focal lengths of {whose} are {focal[0]:.4g} and {focal[1]:.4g} px, a field of view of {worst:.3g}° over "
        f"the longer side of {width}x{height}; {NARROWEST:g}° to {WIDEST:g}° are possible: {step}."
    )


def _misplaced(centre: np.ndarray, height: int, width: int, whose: str) -> str:
    there = f"The principal point of {whose} is ({centre[0]:.4g}, {centre[1]:.4g})"
    size = f"{width}x{height}"
    if _swapped(centre[None], height, width)[0]:
        return f"{there}, the middle of a {height}x{width} picture, but the size is {size}: swap height and width."
    if np.abs(centre).max() < NORMALISED_CENTRE:
        return (
            f"{there}, the corner of its {size} picture; in the middle it is ({width / 2:g}, {height / 2:g})."
        )
    where = "the middle of another picture"
    if not ((centre >= 0) & (centre <= [width, height])).all():
        where = f"outside its {size} picture"
    if centre.min() < 1 or centre.max() > LARGEST:
        return f"{there}, {where}. Give intrinsics in pixels of that picture, or shift the lens less."
    of = 2 * centre
    factor = width / of[0]
    alike = abs(np.log(of[0] * height / of[1] / width)) < 0.1
    otherwise = f"scale them by {factor:.3g}" if alike else "shift the lens less"
    return (
        f"{there}, {where}: the intrinsics belong to a picture of about {of[0]:.6g}x{of[1]:.6g}, not {size}. Give the "
        f"size that they belong to, or {otherwise}."
    )
