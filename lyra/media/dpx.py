"""DPX film scans: logarithmic or video, 8 to 16 bits."""

from __future__ import annotations

from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.media import oiio as files
from lyra.media.colour import LINEAR, SRGB, Encoding, film_log
from lyra.media.header import Picture, short

MAGIC = (b"SDPX", b"XPDS")
_LOG = ("Logarithmic", "Printing density")
_MODELS = {("R", "G", "B"): "rgb", ("R", "G", "B", "A"): "rgb", ("Y",): "grey", ("I",): "grey"}


def open_dpx(source: Path | bytes) -> Picture:
    """The picture in a DPX file. Raises InvalidInputError."""
    with files.opened(source, "dpx") as file:
        spec = file.spec()
    names = tuple(spec.channelnames)
    if names not in _MODELS:
        raise InvalidInputError(
            f"The DPX has the channels {short(', '.join(names))}; save it with R, G and B."
        )
    files.require_small_pieces(spec, "the DPX file")
    transfer = str(spec.getattribute("dpx:Transfer") or "")
    if transfer in _LOG:
        encoding, notes = Encoding(film_log, wide=True, name="film density (log)"), ()
    elif transfer == "Linear":
        encoding, notes = LINEAR, ()
    else:
        encoding, notes = (
            SRGB,
            (f"Its transfer is {short(transfer, 40) or 'unsaid'}; colours are taken as sRGB.",),
        )
    return Picture(
        spec.height,
        spec.width,
        _MODELS[names],
        lambda: files.strips(source, "dpx", len(names), "uint16"),
        alpha=names[-1] == "A",
        encoding=encoding,
        orientation=int(spec.getattribute("Orientation") or 1),
        aspect=float(spec.getattribute("PixelAspectRatio") or 1),
        notes=notes,
    )
