"""Pictures written by hand, so that what their headers say is known to the bit."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def scene(height: int = 96, width: int = 144) -> np.ndarray:
    """A picture (H, W, 3) uint8 that no turn or flip maps to itself."""
    y, x = np.mgrid[:height, :width]
    checks = (((x // 16) + (y // 16)) % 2) * 80 + 100
    picture = np.dstack([checks, checks * 0.8, np.broadcast_to(np.linspace(60, 220, width), checks.shape)])
    picture[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = (200, 60, 40)
    picture[: height // 4, : width // 4] = (20, 220, 90)
    return picture.astype(np.uint8)


def light(picture: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values."""
    values = picture / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(out, form, **options)
    return out.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(picture: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with more chunks after its IHDR."""
    data = encoded(picture)
    return data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]


def wide_png(values: np.ndarray, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a channel, of (H, W, C) uint16 and a colour type."""
    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def exr(
    channels: dict[str, np.ndarray],
    *attributes: tuple[bytes, bytes, bytes],
    step: dict[str, int] | None = None,
    data_window: tuple[int, int] = (0, 0),
    display: tuple[int, int, int, int] | None = None,
    aspect: float = 1.0,
) -> bytes:
    """An uncompressed EXR of float channels (H, W); those in `step` are stored for each such pixel only.

    The data window begins at (x, y), the display window is left, top, right and bottom, ends included.
    """
    step = step or {}
    names = sorted(channels)
    height, width = max(channel.shape for channel in channels.values())
    (x, y), samples = data_window, {name: step.get(name, 1) for name in names}

    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    table = b"".join(
        name.encode() + b"\0" + struct.pack("<iIii", 2, 0, samples[name], samples[name]) for name in names
    )
    box = struct.pack("<4i", x, y, x + width - 1, y + height - 1)
    header = [
        (b"channels", b"chlist", table + b"\0"),
        *attributes,
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", struct.pack("<4i", *display) if display else box),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", aspect)),
        (b"screenWindowCenter", b"v2f", bytes(8)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    ]
    head = b"v/1\x01" + struct.pack("<I", 2) + b"".join(attribute(*entry) for entry in header) + b"\0"
    lines = []
    for line in range(height):
        values = [channels[n][line // samples[n]] for n in names if line % samples[n] == 0]
        data = b"".join(value.astype("<f4").tobytes() for value in values)
        lines.append(struct.pack("<ii", y + line, len(data)) + data)
    places = len(head) + 8 * height + np.cumsum([0, *(len(line) for line in lines[:-1])])
    return head + places.astype("<u8").tobytes() + b"".join(lines)


def rgb_channels(linear: np.ndarray) -> dict[str, np.ndarray]:
    return {name: linear[..., i] for i, name in enumerate("RGBA"[: linear.shape[-1]])}


def rgbe(linear: np.ndarray) -> np.ndarray:
    """Radiance's four bytes (H, W, 4) of linear colours."""
    exponent = np.ceil(np.log2(np.maximum(linear.max(-1, keepdims=True), 1e-9)))
    mantissa = np.clip(linear / 2.0**exponent * 256, 0, 255)
    return np.concatenate([mantissa, exponent + 128], -1).astype(np.uint8)


def hdr(line: str, quads: bytes | np.ndarray, kind: str = "rgbe", more: str = "") -> bytes:
    """A Radiance file of a resolution line and what follows it."""
    return f"#?RADIANCE\n{more}FORMAT=32-bit_rle_{kind}\n\n{line}\n".encode() + bytes(
        quads.tobytes() if isinstance(quads, np.ndarray) else quads
    )


def psd(
    planes: np.ndarray,
    bits: int = 8,
    mode: int = 3,
    version: int = 1,
    resources: bytes = b"",
    layers: bytes = b"",
    packed: bool = False,
) -> bytes:
    """A Photoshop document of merged planes (C, H, W)."""
    kind = {8: "u1", 16: ">u2", 32: ">f4"}[bits]
    lines = [line.tobytes() for plane in planes.astype(kind) for line in plane]
    body = struct.pack(">H", packed)
    if packed:
        lines = [_packbits(line) for line in lines]
        body += b"".join(struct.pack(">I" if version == 2 else ">H", len(line)) for line in lines)
    sections = struct.pack(">II", 0, len(resources)) + resources
    sections += struct.pack(">Q" if version == 2 else ">I", len(layers)) + layers
    header = struct.pack(">H6xHIIHH", version, len(planes), *planes.shape[1:], bits, mode)
    return b"8BPS" + header + sections + body + b"".join(lines)


def _packbits(line: bytes) -> bytes:
    pieces = [line[i : i + 100] for i in range(0, len(line), 100)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)
