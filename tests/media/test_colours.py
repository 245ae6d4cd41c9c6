"""Colours that a header names otherwise than by a profile."""

import io
import struct
import zlib

import av
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from lyra.media.boxes import of_avif
from lyra.media.colour import ADOBE_RGB, BT709, BT2020, P3_D65, encoding_of_codes, srgb_bytes, to_bt709
from lyra.media.images import load_image, measure
from tests.media.samples import encoded, exr, light, png_chunk, png_with, rgb_channels, scene, wide_png

SCENE = scene()


def off(data: bytes, right: np.ndarray = SCENE) -> float:
    pixels = load_image(data).pixels
    assert pixels.shape == right.shape
    return float(np.abs(pixels.astype(int) - right).mean())


def inside(primaries) -> np.ndarray:
    """The scene's light in the colours of other primaries."""
    return light(SCENE) @ np.linalg.inv(to_bt709(primaries)).T


def bytes_of(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def pq(linear: np.ndarray) -> np.ndarray:
    power = np.clip(linear * 203 / 10000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(linear: np.ndarray) -> np.ndarray:
    scene_light = (linear * 203 / 1000) ** (1 / 1.2)
    high = 0.17883277 * np.log(np.maximum(12 * scene_light - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene_light <= 1 / 12, np.sqrt(3 * scene_light), high)


@pytest.mark.parametrize("primaries", [BT709, BT2020, P3_D65, ADOBE_RGB])
def test_primaries_keep_white(primaries):
    assert np.allclose(to_bt709(primaries) @ np.ones(3), 1, atol=1e-6)


def test_srgb_bytes_are_rounded_to_the_nearest():
    steps = np.arange(256, dtype=np.uint8)
    assert np.array_equal(srgb_bytes(light(steps).astype(np.float32)), steps)


@pytest.mark.parametrize(
    ("codes", "values"),
    [
        ((9, 16), pq(inside(BT2020))),
        ((9, 18), hlg(inside(BT2020))),
        ((12, 13), srgb_bytes(np.clip(inside(P3_D65), 0, 1)) / 255),
        ((1, 8), light(SCENE)),
        ((1, 4), light(SCENE) ** (1 / 2.2)),
        ((1, 13), SCENE / 255),
        ((1, 1), SCENE / 255),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_cicp_of_a_png_is_followed(codes, values, bits):
    chunk = (b"cICP", bytes([*codes, 0, 1]))
    if bits == 8:
        data = png_with(bytes_of(values), chunk)
    else:
        data = wide_png(np.rint(np.clip(values, 0, 1) * 65535), 2, chunk)
    assert off(data) < 1.5


def test_codes_that_are_not_followed_are_said():
    _, notes = encoding_of_codes(200, 13)
    assert "primaries 200" in notes[0]
    assert encoding_of_codes(2, 2)[1] == []
    limited = load_image(png_with(SCENE, (b"cICP", bytes([9, 16, 9, 0]))))
    assert np.array_equal(limited.pixels, SCENE) and "not followed" in limited.notes[0]


def chrm(primaries) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(
        ">8I", *(round(v * 1e5) for point in (primaries[3], *primaries[:3]) for v in point)
    )


def test_gamma_and_chromaticities_of_a_png_are_followed():
    assert off(png_with(bytes_of(light(SCENE)), (b"gAMA", struct.pack(">I", 100000)))) < 1.5
    wide = srgb_bytes(np.clip(inside(ADOBE_RGB), 0, 1))
    assert off(png_with(wide, chrm(ADOBE_RGB))) < 1
    assert off(png_with(wide, chrm(ADOBE_RGB), (b"gAMA", struct.pack(">I", 45455)))) < 1


def test_the_usual_gamma_and_chromaticities_change_nothing():
    loaded = load_image(png_with(SCENE, (b"gAMA", struct.pack(">I", 45455)), chrm(BT709)))
    assert np.array_equal(loaded.pixels, SCENE) and loaded.notes == ()


def test_an_srgb_chunk_goes_before_gamma_and_chromaticities():
    loaded = load_image(
        png_with(SCENE, (b"sRGB", b"\0"), chrm(ADOBE_RGB), (b"gAMA", struct.pack(">I", 100000)))
    )
    assert np.array_equal(loaded.pixels, SCENE) and loaded.notes == ()


@pytest.mark.parametrize(
    "chunk", [(b"gAMA", bytes(4)), (b"cHRM", bytes(32)), (b"cHRM", b"\xff" * 32), (b"gAMA", b"\xff" * 4)]
)
def test_nonsense_of_colours_is_said(chunk):
    loaded = load_image(png_with(SCENE, chunk))
    assert np.array_equal(loaded.pixels, SCENE) and "taken as sRGB" in loaded.notes[0]


def test_chromaticities_of_an_exr_are_followed():
    values = struct.pack("<8f", *(v for point in BT2020 for v in point))
    said = (b"chromaticities", b"chromaticities", values)
    assert off(exr(rgb_channels(inside(BT2020)), said)) < 1
    assert off(exr(rgb_channels(light(SCENE)))) < 1
    broken = load_image(exr(rgb_channels(light(SCENE)), (said[0], said[1], bytes(32))))
    assert "no colour space" in broken.notes[0]


def test_the_colour_space_that_blender_5_names_is_followed():
    space = (b"colorInteropID", b"string", b"lin_rec2020_scene")
    assert off(exr(rgb_channels(inside(BT2020)), space)) < 1
    unknown = load_image(exr(rgb_channels(light(SCENE)), (*space[:2], b"srgb_texture")))
    assert "srgb_texture, is not followed" in unknown.notes[0]


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def test_nclx_of_an_avif_is_that_of_the_primary_picture():
    """A gain map, or alpha, has colours of its own."""

    def nclx(primaries: int, transfer: int) -> bytes:
        return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 0, 128))

    properties = box(b"ipco", nclx(1, 13), nclx(9, 16), box(b"pasp", struct.pack(">II", 2, 1)))
    links = box(
        b"ipma", struct.pack(">II", 0, 2), struct.pack(">HBB", 1, 1, 1), struct.pack(">HBBB", 2, 2, 2, 3)
    )
    meta = box(b"meta", bytes(4), box(b"pitm", bytes(4), b"\0\2"), box(b"iprp", properties, links))
    said = of_avif(box(b"ftyp", b"avif") + meta)
    assert said.codes == (9, 16) and said.aspect == 2


def test_an_avif_that_is_turned_is_measured_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(SCENE, "AVIF", exif=exif, quality=95)
    assert measure(data) == load_image(data).pixels.shape[:2] == (144, 96)


def test_adobe_rgb_that_only_exif_names():
    wide = bytes_of(np.clip(inside(ADOBE_RGB), 0, 1) ** (256 / 563))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    data = encoded(wide, "JPEG", exif=exif, quality=98, subsampling=0)
    assert off(data) < 3 and "Adobe RGB" in load_image(data).notes[0]


@pytest.mark.parametrize(("mode", "space"), [("L", "sRGB"), ("CMYK", "sRGB")])
def test_a_profile_for_other_colours_is_said_where_it_cannot_be_used(mode, space):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    image = Image.fromarray(SCENE).convert(mode)
    loaded = load_image(encoded(image, "TIFF", icc_profile=profile))
    assert np.abs(loaded.pixels.astype(int) - np.asarray(image.convert("RGB"))).max() <= 1
    assert bool(loaded.notes) == (mode == "CMYK")


# ---------------------------------------------------------------------------------------- metadata that is too much
def test_good_pixels_outlive_their_metadata():
    text = b'{"workflow":"' + b"a1b2" * 500_000 + b'"}'
    for chunk in (
        (b"iCCP", b"screen\0\0" + zlib.compress(bytes(3_000_000))),
        (b"iCCP", b"screen\0\0" + zlib.compress(bytes(30_000_000))),
        (b"iCCP", b"s\0"),
        (b"iCCP", b""),
        (b"iCCP", b"screen\0\0not deflated"),
        (b"zTXt", b"workflow\0\0" + zlib.compress(text)),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(text)),
    ):
        loaded = load_image(png_with(SCENE, chunk))
        assert np.array_equal(loaded.pixels, SCENE) and loaded.notes, chunk[0]


def test_a_large_profile_is_followed():
    """Those of calibrated screens and printers have several megabytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile += bytes(3_000_000)
    profile[:4] = struct.pack(">I", len(profile))
    loaded = load_image(encoded(SCENE, icc_profile=bytes(profile)))
    assert np.abs(loaded.pixels.astype(int) - SCENE).max() <= 1 and loaded.notes == ()


def test_text_of_an_ordinary_png_is_not_remarked_on():
    assert load_image(png_with(SCENE, (b"tEXt", b"Software\0x"))).notes == ()


def test_chunks_are_found_after_the_pixels_too():
    data = encoded(SCENE)
    end = data[-12:]
    loaded = load_image(data[:-12] + png_chunk(b"tEXt", b"a\0b") + end)
    assert np.array_equal(loaded.pixels, SCENE)
    assert Image.open(io.BytesIO(data)).size == SCENE.shape[1::-1]


def exif_of_a_png(space: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0xA001] = space
    return encoded(adobe_rgb(), exif=exif)


def exif_of_a_tiff(space: int) -> bytes:
    # Its writer leaves out the tag that points to EXIF: another one becomes it.
    data = bytearray(tiff(adobe_rgb(), (0x8768, "I", 1, 1)))
    place = data.index(struct.pack("<HHI", 0x8768, 4, 1))
    struct.pack_into("<HHII", data, place, 0x8769, 4, 1, len(data))
    return bytes(data) + struct.pack("<HHHIHHI", 1, 0xA001, 3, 1, space, 0, 0)


def adobe_rgb() -> np.ndarray:
    return bytes_of(np.clip(inside(ADOBE_RGB), 0, 1) ** (256 / 563))


@pytest.mark.parametrize("made", [exif_of_a_png, exif_of_a_tiff])
def test_adobe_rgb_is_read_from_the_exif_of_every_format(made):
    assert off(made(2)) < 1
    assert off(made(1)) > 2


def tiff(values: np.ndarray, *tags: tuple) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric="rgb", extratags=[(*tag, True) for tag in tags])
    return out.getvalue()


def ratios(*values: float) -> tuple[int, ...]:
    return tuple(number for value in values for number in (round(value * 100000), 100000))


@pytest.mark.parametrize("white", [(318, "2I", 2, ratios(*BT709[3])), None])
def test_a_tiff_says_primaries_by_its_tags(white):
    values = bytes_of(srgb_bytes(np.clip(inside(ADOBE_RGB), 0, 1)) / 255)
    said = (319, "2I", 6, ratios(*np.ravel(ADOBE_RGB[:3])))
    assert off(tiff(values, *filter(None, [white, said]))) < 1.5
    none = (319, "2I", 6, ratios(0.3, 0.3, 0.3, 0.3, 0.3, 0.3))
    assert "of no colour space" in load_image(tiff(SCENE, none)).notes[0]


@pytest.mark.parametrize("curves", [1, 3])
def test_a_tiff_says_its_transfer_by_a_table(curves):
    steps = np.linspace(0, 65535, 256).astype(int)
    table = (301, "H", 256 * curves, tuple(map(int, np.tile(steps, curves))))
    assert off(tiff(bytes_of(light(SCENE)), table)) < 1
    usual = (301, "H", 256, tuple(map(int, np.rint(light(np.arange(256)) * 65535))))
    assert off(tiff(SCENE, usual)) == 0
    falling = (301, "H", 256, tuple(map(int, steps[::-1])))
    assert "is not followed" in load_image(tiff(SCENE, falling)).notes[0]


def bmp(values: np.ndarray, kind: bytes, more: bytes, profile: bytes = b"") -> bytes:
    """A BMP with the header of version 5, of a kind of colours and what belongs to it."""
    height, width = values.shape[:2]
    body = np.ascontiguousarray(values[::-1, :, ::-1]).tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(body), 1000, 2000, 0, 0)
    header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0) + kind + more.ljust(48, b"\0")
    header += struct.pack("<4I", 4, 124 + len(body), len(profile), 0)
    size = 14 + len(header) + len(body) + len(profile)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header)) + header + body + profile


def test_a_bmp_says_its_colours_and_the_shape_of_its_pixels():
    assert "2 times as wide as high" in load_image(bmp(SCENE, b"BGRs", b"")).notes[0]
    assert off(bmp(SCENE, bytes(4), b"")) == 0
    gamma = bytes(36) + struct.pack("<3I", *[1 << 16] * 3)
    assert off(bmp(bytes_of(light(SCENE)), bytes(4), gamma)) < 1
    # XYZ of its red, green and blue (Adobe RGB (1998) Color Image Encoding, section 4.3.5.3).
    points = [0.57667, 0.29734, 0.02703, 0.18556, 0.62736, 0.07069, 0.18823, 0.07529, 0.99134]
    points = [round(value * (1 << 30)) for value in points]
    adobe = struct.pack("<9i3I", *points, *[round(563 / 256 * (1 << 16))] * 3)
    assert off(bmp(bytes_of(np.clip(inside(ADOBE_RGB), 0, 1) ** (256 / 563)), bytes(4), adobe)) < 1.5
    assert "not in the file" in " ".join(load_image(bmp(SCENE, b"KNIL", b"")).notes)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert off(bmp(SCENE, b"DEBM", b"", profile)) < 1


def tga(image: Image.Image, aspect=(0, 0), gamma=(0, 0), attributes: int = 3) -> bytes:
    """A TGA with an extension area."""
    body = encoded(image, "TGA")[:-26]
    area = bytearray(495)
    struct.pack_into("<H", area, 0, 495)
    struct.pack_into("<4H", area, 474, *aspect, *gamma)
    area[494] = attributes
    return body + bytes(area) + struct.pack("<II", len(body), 0) + b"TRUEVISION-XFILE.\0"


def test_a_tga_says_its_pixels_in_its_extension_area():
    plain = Image.fromarray(SCENE)
    assert load_image(tga(plain)).notes == ()
    assert "2 times as wide as high" in load_image(tga(plain, aspect=(2, 1))).notes[0]
    assert "gamma, 1, is not followed" in load_image(tga(plain, gamma=(10, 10))).notes[0]
    alpha = np.full((*SCENE.shape[:2], 1), 255, np.uint8)
    alpha[:, ::2] = 128
    multiplied = np.rint(SCENE * (alpha / 255)).astype(np.uint8)
    straight = Image.fromarray(np.concatenate([SCENE, alpha], -1))
    right = load_image(tga(straight)).pixels
    assert off(tga(Image.fromarray(np.concatenate([multiplied, alpha], -1)), attributes=4), right) < 1
    assert off(tga(Image.fromarray(np.concatenate([SCENE, 0 * alpha], -1)), attributes=2)) == 0


def test_an_avif_without_a_box_for_colours_follows_its_stream(tmp_path):
    """The code points in the sequence header of AV1 count then."""
    colours = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 2}
    target = tmp_path / "pq.avif"
    with av.open(str(target), "w", format="avif") as file:
        stream = file.add_stream("libsvtav1", options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = *SCENE.shape[:2], "yuv420p"
        context = stream.codec_context
        for name, code in colours.items():
            setattr(context, name, code)
        frame = av.VideoFrame.from_ndarray(bytes_of(pq(inside(BT2020))), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=9, dst_color_range=2)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    data = target.read_bytes()
    assert b"colrnclx" in data
    assert of_avif(data.replace(b"colrnclx", b"freenclx")).codes is None
    for given in (data, data.replace(b"colrnclx", b"freenclx")):
        assert "BT.2020 PQ" in load_image(given).notes[0]
        assert off(given) < 6
