"""Tone mapping of high dynamic range pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lyra.media.colour import LUMINANCE, srgb_bytes

MIDDLE_GREY = 0.18
MOST_EXPOSURE = 4.0
# Luminances are counted by the upper bits of their floats: sign, exponent and eleven bits of the fraction.
_DROPPED_BITS = 12
_BINS = 1 << (32 - 1 - _DROPPED_BITS)
# Exposed luminances whose squares are no floats any more are one.
_MOST = 1e18


@dataclass(frozen=True)
class ToneCurve:
    """What is done to linear colours before they are encoded: exposed by `exposure`, rolled off towards `limit`.

    `limit` is the exposed luminance that becomes white, 0 where nothing needs to be done.
    """

    exposure: float = 1.0
    limit: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, strips: Iterable[np.ndarray]) -> ToneCurve:
        """The curve for a picture of linear strips (n, W, 3).

        A picture whose 99.9th percentile of luminance fits the screen is only encoded. Any other is exposed so that
        its median luminance is middle grey and rolled off by the curve of Reinhard et al. 2002, "Photographic Tone
        Reproduction for Digital Images", equation 4, with that percentile as white.
        """
        counts = np.zeros(_BINS, np.int64)
        bad = 0
        for strip in strips:
            bad += int((~np.isfinite(strip)).any(-1).sum())
            with np.errstate(over="ignore"):
                luminance = _finite(strip) @ LUMINANCE
            np.minimum(luminance, np.finfo(np.float32).max, out=luminance)
            counts += np.bincount((luminance.view(np.uint32) >> _DROPPED_BITS).ravel(), minlength=_BINS)
        notes = (
            (f"{bad} pixels of the picture were infinite or not a number; they became black.",) if bad else ()
        )
        white = _percentile(counts, 0.999)
        if white <= 1.0:
            return cls(notes=notes)
        counts[0] = 0
        exposure = min(MIDDLE_GREY / _percentile(counts, 0.5), MOST_EXPOSURE)
        said = (
            f"High dynamic range: exposed by {np.log2(exposure):+.1f} stops and rolled off to fit the screen."
        )
        return cls(exposure, min(max(white * exposure, 1.0), _MOST), (*notes, said))

    def encoded(self, colour: np.ndarray) -> np.ndarray:
        """sRGB (n, W, 3) uint8 of linear colours."""
        colour = _finite(colour)
        if self.limit:
            with np.errstate(over="ignore"):
                exposed = np.minimum((colour @ LUMINANCE) * np.float32(self.exposure), np.float32(_MOST))
            ratio = np.float32(self.exposure) * (1 + exposed / np.float32(self.limit**2)) / (1 + exposed)
            with np.errstate(over="ignore"):
                colour *= ratio[..., None]
        np.minimum(colour, 1, out=colour)
        return srgb_bytes(colour)


def _finite(colour: np.ndarray) -> np.ndarray:
    """A copy without what is negative, infinite or not a number."""
    return np.maximum(np.where(np.isfinite(colour), colour, np.float32(0)), np.float32(0))


def _percentile(counts: np.ndarray, share: float) -> float:
    """The luminance that `share` of the counted ones do not exceed, to a two-thousandth of it."""
    total = int(counts.sum())
    at = int(np.searchsorted(np.cumsum(counts), share * (total - 1), side="right")) if total else 0
    return float(np.uint32(min(at, _BINS - 1) << _DROPPED_BITS).view(np.float32))
