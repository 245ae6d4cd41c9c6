"""Pictures by format: what the header says is followed, noted or refused. Cross-checked with other readers."""

import io
import struct

import numpy as np
import OpenImageIO
import pytest
import tifffile
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.media import radiance
from lyra.media.images import load_image, measure
from tests.media.samples import encoded, exr, hdr, light, png_with, psd, rgb_channels, rgbe, scene, wide_png

SCENE = scene()
WIDE = SCENE.astype(np.uint16) * 257
PLANES = np.ascontiguousarray(np.moveaxis(WIDE, -1, 0))
GREY = np.asarray(Image.fromarray(SCENE).convert("L"))
HEIGHT, WIDTH = GREY.shape


def same(data: bytes, right: np.ndarray = SCENE, limit: float = 0.6) -> tuple[str, ...]:
    """The notes of a picture that looks as `right` does, and is measured as it is loaded."""
    loaded = load_image(data)
    assert measure(data) == loaded.pixels.shape[:2]
    right = right if right.ndim == 3 else np.repeat(right[..., None], 3, -1)
    assert loaded.pixels.shape == right.shape
    assert np.abs(loaded.pixels.astype(int) - right).mean() < limit
    return loaded.notes


def tiff(values: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


# -------------------------------------------------------------------------------------------------------------- TIFF
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (64, 64)}, {"bigtiff": True},
     {"compression": "zlib", "predictor": True}],
)  # fmt: skip
@pytest.mark.parametrize("separate", [False, True])
def test_tiff_of_16_bits(options, separate):
    kind = {"planarconfig": "separate"} if separate else {}
    data = tiff(PLANES if separate else WIDE, photometric="rgb", **kind, **options)
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), PLANES if separate else WIDE)
    assert "16 bits" in same(data)[0]


@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha_of_a_tiff(alpha):
    """Straight, multiplied into the colours, or a channel that is no transparency."""
    colours = SCENE // 2 if alpha == "assocalpha" else SCENE
    four = np.dstack([colours, np.full((HEIGHT, WIDTH), 128, np.uint8)])
    four[:8, :8, 3] = 255
    four[:8, :8, :3] = SCENE[:8, :8]
    notes = same(tiff(four, photometric="rgb", extrasamples=[alpha]), limit=1.5)
    assert bool(notes) == (alpha != "unspecified")


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_whole_numbers_of_a_tiff(bits):
    scale = {8: 1, 16: 257, 32: 16843009}[bits]
    kind = np.dtype(f"u{bits // 8}")
    same(tiff(SCENE.astype(kind) * kind.type(scale), photometric="rgb"))
    white_is_zero = np.iinfo(kind).max - GREY.astype(kind) * kind.type(scale)
    for order in "<>":
        same(tiff(white_is_zero, photometric="miniswhite", byteorder=order), GREY)


def test_sixteen_bits_in_32():
    assert "16 bits" in same(tiff(WIDE.astype(np.uint32), photometric="rgb"))[0]


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize(("bits", "form"), [(10, "rgb"), (12, "rgb"), (14, "rgb"), (12, "miniswhite")])
def test_fewer_bits_in_16_are_stretched_where_the_file_says_so(tag, bits, form):
    right, white = (SCENE if form == "rgb" else GREY), (1 << bits) - 1
    values = np.rint((right if form == "rgb" else 255 - right) / 255 * white).astype(np.uint16)
    channels = 3 if form == "rgb" else 1
    said = [(tag, 3, channels, (white,) * channels if channels > 1 else white, True)]
    notes = same(tiff(values, photometric=form, extratags=said), right)
    assert (
        notes[0] == f"Its header says that its 16 bits a channel end at {white}; they were stretched to that."
    )
    assert not any("dark" in note for note in notes)


def test_a_highest_number_that_pixels_exceed_is_not_followed():
    notes = same(tiff(WIDE, photometric="rgb", extratags=[(281, 3, 3, (4095, 4095, 4095), True)]))
    assert notes == ("Its 16 bits a channel were reduced to 8.",)


@pytest.mark.parametrize("white", [65535, 40000, 4096])
def test_a_highest_number_of_the_picture_is_not_that_of_its_kind(white):
    """The tags may also say what the brightest pixel is: a dark picture stays dark."""
    dark = SCENE.astype(np.uint16) * 16
    notes = same(tiff(dark, photometric="rgb", extratags=[(281, 3, 1, white, True)]), np.rint(dark / 257))
    assert len(notes) == 2 and "dark; if they are of 12 bits" in notes[1]


def test_dark_pictures_of_16_bits_are_remarked_on_whatever_the_format():
    dark = SCENE.astype(np.uint16) * 16
    assert "12 bits" in same(wide_png(dark, 2), np.rint(dark / 257))[-1]
    assert not any("12 bits" in note for note in same(wide_png(WIDE, 2)))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_of_a_tiff_are_linear(kind):
    same(tiff(light(SCENE).astype(kind), photometric="rgb"))


@pytest.mark.parametrize("form", ["1", "P", "CMYK", "YCbCr", "LA", "RGBA"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_modes_of_a_tiff_are_read_as_by_pillow(form, compression):
    image = Image.fromarray(SCENE).convert(form)
    data = encoded(image, "TIFF", **({"compression": compression} if compression else {}))
    same(data, np.asarray(image.convert("RGB")), limit=1.5)


def test_fax_and_jpeg_in_a_tiff():
    image = Image.fromarray(SCENE)
    same(
        encoded(image.convert("1"), "TIFF", compression="group4"),
        np.asarray(image.convert("1").convert("RGB")),
    )
    data = encoded(image, "TIFF", compression="jpeg")
    same(data, np.asarray(Image.open(io.BytesIO(data))), limit=1)


def test_cmyk_planes_of_16_bits():
    inks = np.asarray(Image.fromarray(SCENE).convert("CMYK")).astype(np.uint16) * 257
    same(
        tiff(np.ascontiguousarray(np.moveaxis(inks, -1, 0)), photometric="separated", planarconfig="separate")
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned(orientation):
    data = tiff(WIDE, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    same(data, load_image(encoded(SCENE, exif=exif)).pixels)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(SCENE.astype(np.int16), photometric="rgb"), "signed integers"),
        (encoded(Image.fromarray(SCENE).convert("LAB"), "TIFF"), "Lab"),
        (tiff(GREY, photometric="minisblack", subfiletype=1), "thumbnail"),
        (tiff(GREY, photometric="minisblack", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]), "raw file"),
        (tiff(GREY, photometric=32803, extratags=[(33421, 3, 2, (2, 2), True)]), "raw data"),
        (tiff(GREY.astype(np.complex64), photometric="minisblack"), "kind 6"),
    ],
)  # fmt: skip
def test_tiffs_that_are_no_pictures_are_refused(data, words):
    for read in (load_image, measure):
        with pytest.raises(InvalidInputError, match=words):
            read(data)


# --------------------------------------------------------------------------------------------------------------- HDR
TURNS = {
    f"-Y {HEIGHT} +X {WIDTH}": lambda a: a,
    f"-Y {HEIGHT} -X {WIDTH}": lambda a: a[:, ::-1],
    f"+Y {HEIGHT} -X {WIDTH}": lambda a: a[::-1, ::-1],
    f"+Y {HEIGHT} +X {WIDTH}": lambda a: a[::-1],
    f"+X {WIDTH} -Y {HEIGHT}": lambda a: a.swapaxes(0, 1),
    f"-X {WIDTH} -Y {HEIGHT}": lambda a: a[:, ::-1].swapaxes(0, 1),
    f"-X {WIDTH} +Y {HEIGHT}": lambda a: a[::-1, ::-1].swapaxes(0, 1),
    f"+X {WIDTH} +Y {HEIGHT}": lambda a: a[::-1].swapaxes(0, 1),
}
QUADS = rgbe(light(SCENE))


@pytest.mark.parametrize("line", TURNS)
@pytest.mark.parametrize("runs", ["none", "old", "new"])
def test_radiance_lines_run_eight_ways(line, runs):
    pack = {"none": lambda a: a, "old": old_runs, "new": new_runs}[runs]
    same(hdr(line, pack(np.ascontiguousarray(TURNS[line](QUADS)))), limit=1)


def old_runs(quads: np.ndarray) -> bytes:
    """A pixel, then (1, 1, 1, n) for n more of it."""
    out = []
    for line in quads:
        starts = np.flatnonzero(np.r_[True, (line[1:] != line[:-1]).any(-1)])
        for start, end in zip(starts, [*starts[1:], len(line)], strict=True):
            out.append(line[start].tobytes())
            if end - start > 1:
                out.append(bytes([1, 1, 1, end - start - 1]))
    return b"".join(out)


def new_runs(quads: np.ndarray) -> bytes:
    """A channel at a time, in pieces that are not repeated."""
    out = []
    for line in quads:
        out.append(bytes([2, 2, len(line) >> 8, len(line) & 255]))
        for channel in line.T:
            pieces = [channel[i : i + 128] for i in range(0, len(channel), 128)]
            out += [bytes([len(piece)]) + piece.tobytes() for piece in pieces]
    return b"".join(out)


def test_a_run_of_more_than_255_pixels():
    """Runs in a row count on in the next higher byte."""
    start, run = QUADS[:1, :1].tobytes(), HEIGHT * WIDTH - 1
    data = hdr(f"-Y {HEIGHT} +X {WIDTH}", start + bytes([1, 1, 1, run & 255, 1, 1, 1, run >> 8]))
    same(data, np.broadcast_to(SCENE[0, 0], SCENE.shape), limit=3)


def test_exposure_and_primaries_of_a_radiance_file():
    line = f"-Y {HEIGHT} +X {WIDTH}"
    same(hdr(line, rgbe(light(SCENE) * 0.5), more="EXPOSURE=2\nEXPOSURE=0.25\n"), limit=1)
    same(hdr(line, rgbe(light(SCENE) * (1, 0.5, 2)), more="COLORCORR=1 0.5 2\n"), limit=1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    same(hdr(line, rgbe(light(SCENE) @ to_xyz.T), "xyze"), limit=1)
    assert (
        "its primaries"
        in load_image(
            hdr(line, QUADS, more="PRIMARIES=0.708 0.292 0.17 0.797 0.131 0.046 0.3127 0.329\n")
        ).notes[0]
    )
    for more in ("EXPOSURE=0\n", "EXPOSURE=much\n", "PRIMARIES=1 2\n"):
        with pytest.raises(InvalidInputError, match=r"EXPOSURE|numbers belong"):
            load_image(hdr(line, QUADS, more=more))


# --------------------------------------------------------------------------------------------------------------- PSD
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_photoshop_documents(version, packed, bits):
    scale = 257 if bits == 16 else 1
    options = {"version": version, "packed": packed, "bits": bits}
    same(psd(np.moveaxis(SCENE, -1, 0).astype(np.uint32) * scale, **options))
    same(psd(GREY[None].astype(np.uint32) * scale, mode=1, **options), GREY)
    inks = 255 - np.moveaxis(np.asarray(Image.fromarray(SCENE).convert("CMYK")), -1, 0).astype(np.uint32)
    same(psd(inks * scale, mode=4, **options))


def test_a_document_of_floats_is_linear():
    same(psd(np.moveaxis(light(SCENE), -1, 0), bits=32))


def test_a_fourth_channel_is_transparency_where_the_layers_say_so():
    four = np.concatenate([np.moveaxis(SCENE, -1, 0), np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    four[3, :, : WIDTH // 4] = 0
    four[:3, :, : WIDTH // 4] = 255
    for packed in (False, True):
        shown = load_image(psd(four, packed=packed, layers=struct.pack(">Ih2x", 4, -1) + bytes(4)))
        assert "ransparent" in shown.notes[0] and (shown.pixels[:, : WIDTH // 4].min(-1) < 250).all()
        assert np.array_equal(shown.pixels[:, WIDTH // 4 :], SCENE[:, WIDTH // 4 :])
        saved_selection = load_image(psd(four, packed=packed))
        assert saved_selection.notes == () and (saved_selection.pixels[:, : WIDTH // 4] == 255).all()


def resource(number: int, body: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + bytes(len(body) % 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"resources": resource(1057, struct.pack(">IB", 1, 0) + bytes(8))},
            "without a merged picture.*Maximize",
        ),
        ({"mode": 9}, "Lab"),
        ({"mode": 7}, "multichannel"),
        ({"version": 3}, "version 3"),
    ],
)
def test_documents_that_cannot_be_read_are_refused(options, words):
    data = psd(np.moveaxis(SCENE, -1, 0), **options)
    for read in (load_image, measure):
        with pytest.raises(InvalidInputError, match=words):
            read(data)


# --------------------------------------------------------------------------------------------------------------- EXR
@pytest.mark.parametrize(
    "codec", ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"]
)
@pytest.mark.parametrize("tile", [0, 32])
def test_exr_codecs(tmp_path, codec, tile):
    spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, 3, "half")
    spec.attribute("compression", codec)
    spec.tile_width = spec.tile_height = tile
    path = tmp_path / "a.exr"
    file = OpenImageIO.ImageOutput.create(str(path))
    assert file.open(str(path), spec) and file.write_image(light(SCENE).astype(np.float32))
    file.close()
    same(path.read_bytes(), limit=3)
    assert np.array_equal(load_image(path).pixels, load_image(path.read_bytes()).pixels)


def test_windows_of_an_exr():
    linear = light(SCENE)
    display = (0, 0, 199, 119)
    bare = load_image(exr(rgb_channels(linear), data_window=(20, 10), display=display))
    assert bare.pixels.shape == (120, 200, 3) and "Only 58% of it" in bare.notes[0]
    assert np.abs(bare.pixels[10 : 10 + HEIGHT, 20 : 20 + WIDTH].astype(int) - SCENE).max() <= 1
    assert not bare.pixels[:10].any()
    covered = np.dstack([linear, np.ones(GREY.shape)])
    filled = load_image(exr(rgb_channels(covered), data_window=(20, 10), display=display))
    assert "ransparent" in filled.notes[0] and filled.pixels[:10].any()
    overscan = exr(rgb_channels(linear), data_window=(-20, -10), display=(0, 0, WIDTH - 41, HEIGHT - 21))
    same(overscan, SCENE[10:-10, 20:-20])


def test_colours_of_an_exr_were_multiplied_by_alpha():
    linear = np.dstack([light(SCENE) * 0.5, np.full(GREY.shape, 0.5)])
    linear[:8, :8] = np.dstack([light(SCENE), np.ones(GREY.shape)])[:8, :8]
    same(exr(rgb_channels(linear)), limit=1)


def test_luminance_and_chroma_of_an_exr():
    """G = (Y - 0.2126 R - 0.0722 B) / 0.7152 with R = (RY + 1) Y."""
    y, chroma = np.full((80, 96), 0.4), np.full((40, 48), 0.2)
    data = exr({"Y": y, "RY": chroma, "BY": chroma}, step={"RY": 2, "BY": 2})
    assert np.abs(load_image(data).pixels.astype(int) - (184, 163, 184)).max() <= 1
    same(exr({"Y": light(GREY)}), GREY)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (exr({"Xa": light(GREY), "Xb": light(GREY)}), "channels Xa, Xb; a picture needs"),
        (exr({"R": light(GREY)[::2, ::2], "G": light(GREY), "B": light(GREY)}, step={"R": 2}), "Subsampled"),
    ],
)
def test_exrs_that_are_no_pictures_are_refused(data, words):
    with pytest.raises(InvalidInputError, match=words):
        load_image(data)


# ------------------------------------------------------------------------------------------------------------ others
@pytest.mark.parametrize("kind", [0, 2, 4, 6])
@pytest.mark.parametrize("keyed", [False, True])
def test_png_of_16_bits(kind, keyed):
    colours = WIDE if kind in (2, 6) else WIDE[..., :1]
    right = SCENE if kind in (2, 6) else SCENE[..., :1].repeat(3, -1)
    clear = np.full((HEIGHT, WIDTH, 1), 65535, np.uint16)
    values = np.dstack([colours, clear]) if kind >= 4 else colours
    key = (b"tRNS", struct.pack(f">{colours.shape[-1]}H", *colours[0, 0])) if keyed and kind < 4 else None
    notes = same(wide_png(values, kind, *([key] if key else [])), right, limit=20 if key else 0.6)
    assert any("ransparent" in note for note in notes) == bool(key)


def test_tga_of_four_channels_without_alpha():
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, WIDTH, HEIGHT, 32, 0x20)
    unused = np.dstack([SCENE[..., ::-1], np.zeros(GREY.shape, np.uint8)])
    assert same(header + unused.tobytes()) == ()


@pytest.mark.parametrize("flags", [0x00, 0x10, 0x20, 0x30])
def test_tga_lines_run_four_ways(flags):
    stored = SCENE[..., ::-1]
    stored = stored if flags & 0x20 else stored[::-1]
    stored = stored[:, ::-1] if flags & 0x10 else stored
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, WIDTH, HEIGHT, 24, flags)
    same(header + np.ascontiguousarray(stored).tobytes())


@pytest.mark.parametrize("top", [255, 1023, 65535])
def test_ppm_and_pgm_of_any_depth(top):
    kind = np.dtype("u1" if top < 256 else ">u2")
    for magic, values in ((b"P6", SCENE), (b"P5", GREY)):
        stored = np.rint(values / 255 * top).astype(kind).tobytes()
        same(magic + f"\n{WIDTH} {HEIGHT}\n{top}\n".encode() + stored, values)


def test_cmyk_jpeg_of_adobe():
    """Pillow writes what Adobe does: inverted, and with a marker that says so."""
    image = Image.fromarray(SCENE).convert("CMYK")
    same(encoded(image, "JPEG", quality=98), limit=3)


@pytest.mark.parametrize(("transfer", "wide"), [("Linear", False), ("Printing density", True)])
def test_dpx(tmp_path, transfer, wide):
    values = light(SCENE)
    if wide:
        black = 10 ** ((95 - 685) * 0.002 / 0.6)
        values = (np.log10(values * (1 - black) + black) * 0.6 / 0.002 + 685) / 1023
    spec = OpenImageIO.ImageSpec(WIDTH, HEIGHT, 3, "uint16")
    spec.attribute("dpx:Transfer", transfer)
    spec.attribute("oiio:BitsPerSample", 16)
    path = tmp_path / "a.dpx"
    file = OpenImageIO.ImageOutput.create(str(path))
    assert file.open(str(path), spec) and file.write_image(values.astype(np.float32))
    file.close()
    same(path.read_bytes(), limit=1.5)


def test_animations_are_said():
    frames = [Image.fromarray(SCENE[::-1]), Image.fromarray(SCENE[:, ::-1])]
    for form in ("GIF", "PNG", "WEBP"):
        data = encoded(Image.fromarray(SCENE), form, save_all=True, append_images=frames)
        assert "animation" in load_image(data).notes[-1] and measure(data) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "data",
    [
        exr(rgb_channels(light(SCENE)), aspect=2.0),
        png_with(SCENE, (b"pHYs", struct.pack(">IIB", 1000, 2000, 1))),
        tiff(SCENE, photometric="rgb", resolution=(100, 200)),
        hdr(f"-Y {HEIGHT} +X {WIDTH}", QUADS, more="PIXASPECT=0.5\n"),
        psd(np.moveaxis(SCENE, -1, 0), resources=resource(1064, struct.pack(">Id", 1, 2.0))),
    ],
)
def test_pixels_that_are_not_square_are_said(data):
    assert "2 times as wide as high" in same(data, limit=1)[0]
    assert measure(data) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (struct.pack(">I", 24) + b"ftypheic" + bytes(100), "HEIC"),
    ],
)
def test_what_is_not_read_is_named(data, words):
    with pytest.raises(InvalidInputError, match=f"{words}.*save it as"):
        load_image(data)


@pytest.mark.parametrize("piece", [1, 3, 7, 64])
def test_runs_of_radiance_go_on_from_one_piece_to_the_next(piece, monkeypatch):
    rng = np.random.default_rng(piece)
    quads, pixels = [], []
    while len(pixels) < 64 * 64:
        quads.append([*rng.integers(2, 200, 3), 128])
        # Up to three runs in a row, of which the second counts 256-fold and the third 65536-fold.
        runs = [int(rng.integers(0, 5)) for _ in range(rng.integers(0, 3))]
        quads += [[1, 1, 1, run] for run in runs]
        pixels += [quads[-1 - len(runs)]] * (1 + sum(run << (8 * row) for row, run in enumerate(runs)))
    packed = np.array(quads, np.uint8).view("<u4").ravel()
    monkeypatch.setattr(radiance, "_QUADS", piece)
    read = radiance._repeated(packed, 64 * 64)
    assert np.array_equal(read.view(np.uint8).reshape(-1, 4), np.array(pixels[: 64 * 64], np.uint8))
