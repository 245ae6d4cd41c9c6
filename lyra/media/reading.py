"""Choice of the reader by a picture's first bytes."""

from __future__ import annotations

from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import open_given
from lyra.media import dpx, exr, png, psd, radiance, tiff
from lyra.media.header import Picture, check_size
from lyra.media.pil import open_with_pillow

_BEGINNING = 64
# Of formats whose file is kept in memory beside the picture. TIFF, EXR and DPX are read in pieces.
MAX_FILE_BYTES = 1_000_000_000
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def open_picture(source: Path | bytes) -> Picture:
    """The picture in a file, by its path or its bytes, with its pixels still packed. Raises InvalidInputError."""
    picture = _opened(source)
    check_size(picture.height, picture.width)
    return picture


def _opened(source: Path | bytes) -> Picture:
    start = source[:_BEGINNING] if isinstance(source, bytes) else _read(source, _BEGINNING)
    if start.startswith(exr.MAGIC):
        return exr.open_exr(source)
    if start.startswith(tiff.MAGIC):
        return tiff.open_tiff(source)
    if start.startswith(dpx.MAGIC):
        return dpx.open_dpx(source)
    if start.startswith(_JPEG_XL):
        raise InvalidInputError("It is a JPEG XL, which is not read; save it as PNG, JPEG or TIFF.")
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF and b"avif" not in start:
        raise InvalidInputError(
            "It is a HEIF (HEIC) picture, which is not read; save it as JPEG, PNG or AVIF."
        )
    data = source if isinstance(source, bytes) else _read(source)
    if start.startswith(radiance.MAGIC):
        return radiance.open_radiance(data)
    if start.startswith(psd.MAGIC):
        return psd.open_psd(data)
    if png.is_wide(data):
        return png.open_wide_png(data)
    return open_with_pillow(data)


def _read(path: Path, most: int = -1) -> bytes:
    try:
        file, size = open_given(path)
        with file:
            if most < 0 and size > MAX_FILE_BYTES:
                raise InvalidInputError(
                    f"It has {size / 1e6:.0f} MB; at most {MAX_FILE_BYTES // 10**6} are read. Save it smaller."
                )
            return file.read(most)
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no image at {path}.") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from error
