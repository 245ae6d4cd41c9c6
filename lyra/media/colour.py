"""Colour conversion to sRGB: transfer functions, primaries, ICC profiles."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageCms

# Luminance of linear Rec. 709 colours.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# ITU-R BT.2408: light of this many nits is a picture's white.
WHITE_NITS = 203.0
# CIE 1931 chromaticities that differ by less are the same.
SAME_XY = 0.003
# A file's gamma that differs by less from sRGB's, 1 / 2.2, is meant as sRGB.
SAME_GAMMA = 0.02
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D65 = (0.3127, 0.3290)

Curve = Callable[[np.ndarray], np.ndarray]
# Red, green, blue and white (4, 2).
Primaries = tuple[tuple[float, float], ...]

BT709: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
BT2020: Primaries = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
P3_D65: Primaries = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65)
ADOBE_RGB: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
ACES_AP0: Primaries = ((0.7347, 0.2653), (0.0, 1.0), (0.0001, -0.077), (0.32168, 0.33767))
ACES_AP1: Primaries = ((0.713, 0.293), (0.165, 0.830), (0.128, 0.044), (0.32168, 0.33767))


@dataclass(frozen=True)
class Encoding:
    """How the numbers of a picture stand for light.

    `decode` turns values in [0, 1] into linear light where 1 is white; None is sRGB's curve. A `wide` one has light
    far beyond white, which is exposed and rolled off. An ICC `profile` goes before all of that. `name` is for
    notes; without one there is none.
    """

    decode: Curve | None = None
    primaries: Primaries = BT709
    wide: bool = False
    profile: bytes | None = None
    name: str = "sRGB"

    @property
    def is_srgb(self) -> bool:
        """Whether the numbers can be taken as they are."""
        return self.decode is None and same_primaries(self.primaries, BT709)


SRGB = Encoding()


def srgb_decoded(values: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    """The sRGB transfer curve (IEC 61966-2-1) of linear values in [0, 1]."""
    return np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )


# sRGB of 8 bits for linear values in equal steps from 0 to 1: a step is a 500th of the darkest pair's difference.
_STEPS = 1 << 18
_ENCODED = np.rint(srgb_encoded(np.linspace(0, 1, _STEPS + 1)) * 255).astype(np.uint8)


def srgb_bytes(linear: np.ndarray) -> np.ndarray:
    """sRGB uint8 of linear values in [0, 1]."""
    return _ENCODED[np.rint(linear * np.float32(_STEPS)).astype(np.int32)]


def linear(values: np.ndarray) -> np.ndarray:
    return values


def power(exponent: float) -> Curve:
    """The curve of a display with that gamma."""
    return lambda values: np.maximum(values, 0) ** exponent


def _smpte240(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0.0913, values / 4, ((np.maximum(values, 0) + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq(values: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, in units of WHITE_NITS."""
    root = np.maximum(values, 0) ** (1 / 78.84375)
    light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return light ** (1 / 0.1593017578125) * (10000 / WHITE_NITS)


def _hlg(values: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 HLG shown on a display of 1,000 nits, in units of WHITE_NITS; its gamma is taken per channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    return scene**1.2 * (1000 / WHITE_NITS)


def film_log(values: np.ndarray) -> np.ndarray:
    """Cineon's printing density: of 1023 steps 95 is black, 685 white, 0.002 density each, film gamma 0.6."""
    black = 10 ** ((95 - 685) * 0.002 / 0.6)
    return np.maximum(10 ** ((values * 1023 - 685) * 0.002 / 0.6) - black, 0) / (1 - black)


BY_EXIF = Encoding(power(563 / 256), ADOBE_RGB, name="Adobe RGB, by its EXIF")
LINEAR = Encoding(linear, wide=True, name="")
# By the code points of ITU-T H.273, which PNG's cICP and AVIF's nclx carry.
_CURVES: dict[int, tuple[Curve | None, str]] = {
    1: (None, "BT.709"), 4: (power(2.2), "gamma 2.2"), 5: (power(2.8), "gamma 2.8"), 6: (None, "BT.709"),
    7: (_smpte240, "SMPTE 240M"), 8: (linear, "linear"), 11: (None, "BT.709"), 13: (None, "sRGB"),
    14: (None, "BT.709"), 15: (None, "BT.709"), 16: (_pq, "PQ"), 18: (_hlg, "HLG"),
}  # fmt: skip
_PRIMARIES: dict[int, tuple[Primaries, str]] = {
    1: (BT709, "BT.709"), 4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)), "BT.470 M"),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65), "BT.601 625"),
    6: (((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65), "BT.601 525"),
    7: (((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), _D65), "SMPTE 240M"),
    9: (BT2020, "BT.2020"), 11: ((*P3_D65[:3], (0.314, 0.351)), "DCI-P3"),
    12: (P3_D65, "Display P3"), 22: (((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), _D65), "EBU 3213"),
}  # fmt: skip
_UNSAID = 2
# The camera's curve, not that of a screen: such pictures are graded on screens like sRGB's.
_CAMERAS = (1, 6, 11, 14, 15)
_WIDE = (16, 18)


def encoding_of_codes(primaries: int, transfer: int) -> tuple[Encoding, list[str]]:
    """The encoding that two code points of ITU-T H.273 name, and a note where it is not followed."""
    curve, curve_name = _CURVES.get(transfer, (None, ""))
    gamut, gamut_name = _PRIMARIES.get(primaries, (BT709, ""))
    unknown = [
        f"{what} {code}"
        for what, code, known in (("primaries", primaries, gamut_name), ("transfer", transfer, curve_name))
        if not known and code != _UNSAID
    ]
    if unknown:
        return SRGB, [f"Its colour space ({', '.join(unknown)}) is not followed; colours are taken as sRGB."]
    name = f"{gamut_name or 'BT.709'} {curve_name or 'sRGB'}"
    notes = ["Its transfer is BT.709's, which is shown as sRGB's."] if transfer in _CAMERAS else []
    return Encoding(curve, gamut, transfer in _WIDE, name=name), notes


def encoding_of_gamma(gamma: float | None, primaries: Primaries | None) -> tuple[Encoding, list[str]]:
    """The encoding of samples that are light to the power of `gamma` (0.45455 is usual), with its notes."""
    notes = []
    if gamma is not None and not 0.1 <= gamma <= 10:
        notes.append(f"Its gamma, {gamma:g}, is not followed; colours are taken as sRGB.")
        gamma = None
    if primaries is not None and not is_gamut(primaries):
        notes.append("Its chromaticities are of no colour space; colours are taken as sRGB.")
        primaries = None
    if gamma is None or abs(gamma - 1 / 2.2) < SAME_GAMMA:
        return Encoding(None, primaries or BT709, name="its chromaticities"), notes
    return Encoding(power(1 / gamma), primaries or BT709, name=f"gamma {gamma:.4g}"), notes


def primaries_of_xyz(points: np.ndarray) -> Primaries:
    """Primaries of CIE XYZ (3, 3) of red, green and blue, whose sum is white."""
    rows = np.concatenate([points, points.sum(0, keepdims=True)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple(map(tuple, (rows / rows.sum(1, keepdims=True))[:, :2].tolist()))


def same_primaries(one: Primaries, other: Primaries) -> bool:
    return bool(np.abs(np.subtract(one, other)).max() < SAME_XY)


def is_gamut(primaries: Primaries) -> bool:
    """Whether colours can be told apart by `primaries`."""
    points = np.array(primaries, np.float64)
    if not np.isfinite(points).all() or np.abs(points).max() > 5 or abs(points[3, 1]) < 1e-3:
        return False
    edges = points[1:3] - points[0]
    return abs(float(np.linalg.det(edges))) > 1e-3


def to_bt709(primaries: Primaries) -> np.ndarray:
    """(3, 3) from linear colours of `primaries` to linear Rec. 709, adapted to its white by Bradford's matrix."""
    source, target = _to_xyz(primaries), _to_xyz(BT709)
    white, shown = (_BRADFORD @ m.sum(1) for m in (source, target))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(shown / white) @ _BRADFORD
    return np.linalg.inv(target) @ adapted @ source


def _to_xyz(primaries: Primaries) -> np.ndarray:
    columns = np.array([[x, y, 1 - x - y] for x, y in primaries], np.float64).T
    white = columns[:, 3] / columns[1, 3]
    return columns[:, :3] * np.linalg.solve(columns[:, :3], white)


_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


def profile_transform(
    profile: bytes, model: str
) -> tuple[ImageCms.ImageCmsTransform | None, str, str | None]:
    """The transform of an ICC profile to sRGB for pictures of `model`, the Pillow mode it takes, and a note.

    None where the profile cannot be used; a grey picture may have a profile of colours.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        mode = _MODES.get(space, "")
        if mode != {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}[model] and (model, mode) != ("grey", "RGB"):
            raise ValueError(f"it is of {space} colours")
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:80]
        return None, "", f"Its colour profile could not be used ({said}); colours are taken as sRGB."
    return transform, mode, None
