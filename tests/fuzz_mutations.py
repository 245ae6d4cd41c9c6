"""Damage to files: by the bytes, by their texts and numbers, and inside archives and pictures whose sums still fit."""

import io
import random
import re
import struct
import zipfile
import zlib

EXTREMES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
]
WORDS = [
    b"-1",
    b"0",
    b"99999999999999999999",
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b'"x"',
    b"[]",
    b"{}",
    b"",
    b"\\ud800",
]
FLOATS = [float("nan"), float("inf"), -1.0, 0.0, 1e38, 1e300]
PNG = b"\x89PNG\r\n\x1a\n"


def mutated(data: bytes, number: int) -> bytes:
    """Mutation `number` of a file, the same each time."""
    rng = random.Random(number)  # noqa: S311
    if data.startswith(b"PK") and rng.random() < 0.7:
        return _in_archive(data, rng)
    if data.startswith(PNG) and rng.random() < 0.5:
        return _in_png(data, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        data = rng.choice(_PLAIN)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 2, 8])):
        if changed:
            changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start, length = _place(data, rng), rng.choice([1, 4, 16, 256, len(data)])
    return data[:start] + data[start : start + length] * rng.choice([2, 3, 50]) + data[start + length :]


def _drop(data: bytes, rng: random.Random) -> bytes:
    start = _place(data, rng)
    return data[:start] + data[start + rng.choice([1, 4, 16, 256]) :]


def _splice(data: bytes, rng: random.Random) -> bytes:
    length, source, target = rng.choice([4, 16, 64, 256]), _place(data, rng), _place(data, rng)
    return data[:target] + data[source : source + length] + data[target + length :]


def _extreme(data: bytes, rng: random.Random) -> bytes:
    start, size = _place(data, rng), rng.choice([1, 2, 4, 8])
    if rng.random() < 0.2:
        new = struct.pack(rng.choice("<>") + rng.choice("fd"), rng.choice(FLOATS[:4]))
    else:
        new = (rng.choice(EXTREMES) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(["little", "big"]))
    return data[:start] + new + data[start + len(new) :]


def _word(data: bytes, rng: random.Random) -> bytes:
    """A number or a quoted text of what is text in the file becomes another."""
    found = list(re.finditer(rb'-?\d+(\.\d+)?|"[^"]*"|\w+', data[:4096]))
    if not found:
        return _flip(data, rng)
    match = rng.choice(found)
    new = rng.choice(WORDS)
    if rng.random() < 0.1:
        new = b"[" * 2000 if rng.random() < 0.5 else b'"' + b"long" * 1000 + b'"'
    return data[: match.start()] + new + data[match.end() :]


_PLAIN = (_flip, _cut, _repeat, _drop, _splice, _extreme, _word)


def _place(data: bytes | bytearray, rng: random.Random) -> int:
    """Somewhere in the file, more often near its beginning."""
    return rng.randrange(rng.choice([max(1, len(data)), max(1, min(len(data), 128))]))


def _in_archive(data: bytes, rng: random.Random) -> bytes:
    """One member is damaged, dropped, doubled or renamed and all packed anew; or the directory lies."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    trick = rng.randrange(6)
    if trick <= 2:
        members[at] = (name, rng.choice(_PLAIN)(content, rng))
    elif trick == 3:
        members[at : at + 1] = rng.choice(
            [[], [members[at]] * 2, [(name[:-4], content)], [(name + "x" * 400, content)]]
        )
    elif trick == 4:
        members[at] = (name, members[rng.randrange(len(members))][1])
    packed = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(packed, "w", method) as archive:
        for member, content in members:
            info = zipfile.ZipInfo(member)
            info.compress_type = method
            archive.writestr(info, content)
    result = packed.getvalue()
    return _in_directory(result, rng) if trick == 5 else result


def _in_directory(data: bytes, rng: random.Random) -> bytes:
    """A field of an entry of the directory, or of its end, takes an extreme value."""
    places = [match.start() for match in re.finditer(rb"PK\x01\x02|PK\x05\x06", data)]
    at = rng.choice(places) + rng.choice([4, 6, 8, 10, 12, 16, 20, 24, 28, 30, 32, 42])
    size = rng.choice([2, 4])
    new = (rng.choice(EXTREMES) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return data[:at] + new + data[at + size :]


def _in_png(data: bytes, rng: random.Random) -> bytes:
    """A chunk is damaged, dropped or doubled, with a sum that fits what it holds then."""
    chunks, at = [], len(PNG)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    picked = rng.randrange(len(chunks))
    kind, content = chunks[picked]
    chunks[picked : picked + 1] = rng.choice(
        [
            [(kind, rng.choice(_PLAIN)(content or b"\0", rng))] * 1,
            [(kind, rng.choice(_PLAIN)(content or b"\0", rng))] * 1,
            [(kind, content)] * 2,
            [],
            [
                (
                    rng.choice([b"iCCP", b"gAMA", b"cHRM", b"cICP", b"tRNS", b"PLTE", b"eXIf"]),
                    rng.randbytes(8),
                ),
                (kind, content),
            ],
        ]
    )
    return PNG + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
