"""Pixel strips through OpenImageIO, from a file or from bytes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import OpenImageIO

from lyra.common.errors import InvalidInputError
from lyra.media.header import damaged, strip_lines

# A file, its bytes, or pieces that make them up.
Source = Path | bytes | tuple[bytes | memoryview, ...]
# Files are told by their contents before they come here; no other reader should try its luck.
OpenImageIO.attribute("try_all_readers", 0)
_SUFFIXES = {
    "openexr": (".exr",),
    "tiff": (".tif", ".tiff"),
    "hdr": (".hdr",),
    "psd": (".psd", ".psb"),
    "png": (".png",),
    "dpx": (".dpx",),
    "cineon": (".cin",),
    "pnm": (".pfm",),
    "jpegxl": (".jxl",),
}
# Of names and messages that are no text, and of sizes that are none.
_ODD_ERRORS = (UnicodeError, RuntimeError, OverflowError, MemoryError)
# What tiles of one row, or the lines that are packed together, may unpack to.
MAX_PIECE_BYTES = 300_000_000


def can_read(form: str) -> bool:
    """Whether this build of OpenImageIO reads files of the form."""
    return form in OpenImageIO.get_string_attribute("input_format_list").split(",")


@contextlib.contextmanager
def opened(source: Source, form: str, raw: bool = False) -> Iterator[OpenImageIO.ImageInput]:
    """An open picture of one of OpenImageIO's forms; alpha is left as it is stored, with `raw` inks too.

    Raises InvalidInputError for a file whose header cannot be read.
    """
    config = OpenImageIO.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    config.attribute("oiio:RawColor", int(raw))
    with _named_by_form(source, form) as path:
        try:
            file = OpenImageIO.ImageInput.open(str(path), config)
            if file is None or file.format_name() != form:
                said = OpenImageIO.geterror().replace(str(path), "it").replace('""', "")
                raise damaged(said or f"it is no {form} file")
            try:
                yield file
            finally:
                file.close()
        except _ODD_ERRORS as error:
            raise damaged(error) from error


@contextlib.contextmanager
def _named_by_form(source: Source, form: str) -> Iterator[Path]:
    """A file with the bytes of `source` whose name says its form: OpenImageIO goes by that, and parses names."""
    suffixes = _SUFFIXES[form]
    if isinstance(source, Path) and source.suffix.lower() in suffixes and "?" not in str(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="lyra-") as folder:
        path = Path(folder) / f"picture{suffixes[0]}"
        if isinstance(source, Path):
            shutil.copyfile(source, path)
        else:
            with path.open("wb") as file:
                file.writelines([source] if isinstance(source, bytes) else source)
        yield path


def read_lines(
    file: OpenImageIO.ImageInput, part: int, first: int, end: int, channels: tuple[int, int], kind: str
) -> np.ndarray:
    """Lines first to end - 1 of a part's own (n, width, C), counted from its top; `kind` is OpenImageIO's type.

    With tiles all tiles that have one of the lines are decoded. Raises InvalidInputError.
    """
    spec = file.spec_dimensions(part, 0)
    top, bottom = spec.y + first, spec.y + end
    if spec.tile_width:
        above = first // spec.tile_height * spec.tile_height
        below = min(-(-end // spec.tile_height) * spec.tile_height, spec.height)
        pixels = file.read_tiles(
            part, 0, spec.x, spec.x + spec.width, spec.y + above, spec.y + below, 0, 1, *channels, kind
        )
        pixels = None if pixels is None else pixels[first - above : end - above]
    else:
        pixels = file.read_scanlines(part, 0, top, bottom, 0, *channels, kind)
    # Of damaged strips some releases return what they could read.
    if pixels is None or file.has_error:
        raise damaged(file.geterror())
    return np.asarray(pixels).reshape(end - first, spec.width, channels[1] - channels[0])


def require_small_pieces(spec: OpenImageIO.ImageSpec, what: str, lines: int = 1) -> None:
    """Raises InvalidInputError where one row of tiles, or `lines` packed together, take too much memory unpacked."""
    width = spec.width
    if spec.tile_width:
        lines, width = spec.tile_height, -(-width // spec.tile_width) * spec.tile_width
    sizes = [OpenImageIO.TypeDesc(kind).size() for kind in spec.channelformats] or [
        spec.format.size()
    ] * spec.nchannels
    size = lines * width * sum(sizes)
    if size > MAX_PIECE_BYTES:
        raise InvalidInputError(
            f"{lines} lines of {what} hold {size / 1e6:.0f} MB; at most {MAX_PIECE_BYTES // 10**6} are read. "
            "Save the channels needed in a file of their own."
        )


def strips(source: Source, form: str, channels: int, kind: str, raw: bool = False) -> Iterator[np.ndarray]:
    """All lines of a file's first picture with its first `channels`, some at a time."""
    with opened(source, form, raw) as file:
        spec = file.spec_dimensions(0, 0)
        if spec.nchannels < channels:
            raise damaged(f"it has {spec.nchannels} of {channels} channels")
        if spec.tile_width:
            require_small_pieces(spec, "the file")
        lines = strip_lines(spec.width, spec.tile_height or 1)
        for first in range(0, spec.height, lines):
            yield read_lines(file, 0, first, min(first + lines, spec.height), (0, channels), kind)
