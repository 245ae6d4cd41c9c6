import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from lyra.common.errors import InvalidInputError
from lyra.media import images
from lyra.media.images import fit, load_image, measure


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    y, x = np.mgrid[0:80, 0:120]
    return Image.fromarray(np.stack([x * 2, y * 3, 128 + 60 * np.sin(x / 9)], -1).astype(np.uint8))


def dots(height: int, width: int, points: list[tuple[float, float]], sigma: float) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] + 0.5
    value = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 2 / sigma**2) for px, py in points)
    return np.repeat((value * 255).clip(0, 255).astype(np.uint8)[..., None], 3, -1)


def test_png_is_read_exactly(picture, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture))
    assert np.array_equal(load_image(path).pixels, np.asarray(picture))
    assert load_image(path).notes == ()


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF", "BMP", "TGA"])
def test_common_formats(picture, form):
    loaded = load_image(encoded(picture, form)).pixels
    assert np.abs(loaded.astype(int) - np.asarray(picture)).mean() < 6


def test_exif_rotation_is_applied(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it 90 degrees clockwise
    loaded = load_image(encoded(picture, "PNG", exif=exif)).pixels
    assert np.array_equal(loaded, np.rot90(np.asarray(picture), -1))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_modes_become_rgb(picture, mode):
    loaded = load_image(encoded(picture.convert(mode), "TIFF")).pixels
    expected = np.asarray(picture.convert(mode).convert("RGB"))
    assert loaded.shape == (80, 120, 3)
    assert np.abs(loaded.astype(int) - expected).max() <= 1


def test_sixteen_bit_grey_is_scaled():
    ramp = np.repeat(np.linspace(0, 65535, 128)[None], 64, 0).astype(np.uint16)
    loaded = load_image(encoded(Image.fromarray(ramp)))
    assert np.abs(loaded.pixels[..., 0] - ramp / 257.0).max() <= 0.51
    assert "16 bits" in loaded.notes[0]


def test_transparent_parts_continue_their_surroundings():
    pixels = np.zeros((96, 96, 4), np.uint8)
    pixels[:, :48] = (200, 40, 20, 255)
    loaded = load_image(encoded(Image.fromarray(pixels)))
    assert np.abs(loaded.pixels.astype(int) - (200, 40, 20)).max() < 12
    assert "ransparent" in loaded.notes[0]


def test_opaque_alpha_changes_nothing(picture):
    loaded = load_image(encoded(picture.convert("RGBA")))
    assert np.array_equal(loaded.pixels, np.asarray(picture)) and not loaded.notes


def test_broken_colour_profile_is_said(picture):
    loaded = load_image(encoded(picture, "PNG", icc_profile=b"not a profile"))
    assert np.array_equal(loaded.pixels, np.asarray(picture))
    assert "colour profile" in loaded.notes[0]


def test_srgb_profile_keeps_colours(picture):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    loaded = load_image(encoded(picture, "PNG", icc_profile=profile)).pixels
    assert np.abs(loaded.astype(int) - np.asarray(picture)).max() <= 1


def test_float_tiff_is_exposed_and_rolled_off():
    import tifffile

    light = np.geomspace(0.01, 60, 96 * 64).reshape(64, 96, 1).repeat(3, -1).astype(np.float32)
    light[0, 0] = np.nan
    out = io.BytesIO()
    tifffile.imwrite(out, light, photometric="rgb")
    loaded = load_image(out.getvalue())
    grey = loaded.pixels[..., 0].astype(int).ravel()[1:]
    assert np.all(np.diff(grey) >= 0) and grey[-1] == 255
    assert 90 < np.median(grey) < 140
    assert any("stops" in note for note in loaded.notes) and any(
        "not a number" in note for note in loaded.notes
    )


def test_radiance_hdr():
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 96\n"
    loaded = load_image(header + struct.pack("4B", 128, 64, 32, 128) * (64 * 96))  # 0.5, 0.25, 0.125
    assert loaded.pixels.shape == (64, 96, 3)
    assert np.abs(loaded.pixels[10, 10].astype(int) - (188, 137, 99)).max() <= 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"hello, this is text", "no image"),
        (b"", "no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "no image"),
        (encoded(Image.new("RGB", (63, 400))), "63x400"),
        (encoded(Image.new("1", (20000, 5001))), "20000x5001"),
        (encoded(Image.new("1", (20000, 12000))), "100 megapixels"),
        (encoded(Image.effect_noise((300, 300), 90))[:9000], "cut short"),
        (encoded(Image.effect_noise((300, 300), 90).convert("RGB"), "JPEG")[:9000], "cut short"),
        (encoded(Image.new("RGBA", (80, 80), (9, 9, 9, 0))), "fully transparent"),
        (b"#?RADIANCE\n\n-Y 64 +X 96\nabc", "cannot be decoded"),
        (b"#?RADIANCE\n\n-Y nonsense\n", "resolution line"),
    ],
)  # fmt: skip
def test_bad_files_are_explained(data, words, tmp_path):
    path = tmp_path / "given.bin"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(InvalidInputError, match=words) as caught:
            load_image(source)
        assert ("damaged" in str(caught.value)) == (words == "cut short")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "TGA", "GIF", "AVIF"])
def test_measured_as_loaded(picture, form):
    data = encoded(picture, form)
    assert measure(data) == load_image(data).pixels.shape[:2] == (80, 120)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_measured_upright(picture, form):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture, form, exif=exif)
    assert measure(data) == load_image(data).pixels.shape[:2] == (120, 80)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InvalidInputError, match=r"nothing\.png"):
        load_image(tmp_path / "nothing.png")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    ("source", "target"),
    [((720, 1280), (480, 832)), ((500, 500), (480, 832)), ((900, 500), (832, 480)), ((64, 5000), (480, 832))],
)
def test_sizes(source, target):
    fitted = fit(np.full((*source, 3), 90, np.uint8))
    assert fitted.image.shape == (*target, 3) and fitted.source_hw == source
    assert np.all(fitted.image == 90)


@pytest.mark.parametrize("source", [(720, 1280), (1000, 1000), (1280, 720), (240, 416), (600, 2000)])
def test_pixels_follow_the_mapping_of_the_intrinsics(source):
    """A dot at the projection of a ray stays at the projection of that ray."""
    height, width = source
    points = [(0.42 * width, 0.55 * height), (0.55 * width, 0.46 * height)]
    focal = 0.9 * width
    given = np.array([[focal, 0, 0.47 * width], [0, focal, 0.52 * height], [0, 0, 1]])
    fitted = fit(dots(height, width, points, min(source) / 90), intrinsics=given)
    y, x = np.mgrid[0 : fitted.image.shape[0], 0 : fitted.image.shape[1]] + 0.5
    rays = [np.linalg.inv(given) @ (*p, 1) for p in points]
    for ray in rays:
        expected = (fitted.intrinsics @ ray)[:2]
        near = np.hypot(x - expected[0], y - expected[1]) < 25
        weight = fitted.image[..., 0].astype(float) * near
        found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        assert np.abs(found - expected).max() < 0.06


def test_fine_patterns_are_averaged_not_aliased():
    checker = np.indices((1920, 3328)).sum(0) % 2 * 255
    fitted = fit(np.repeat(checker[..., None], 3, -1).astype(np.uint8))
    assert np.abs(fitted.image.astype(int) - 127).max() <= 6


def test_crop_and_enlargement_are_said():
    notes = " ".join(fit(np.zeros((100, 300, 3), np.uint8)).notes)
    assert "300x100" in notes and "left and right" in notes and "4.8 times" in notes
    assert fit(np.zeros((960, 1664, 3), np.uint8)).notes == ()


@pytest.mark.parametrize("size", [(480, 830), (48, 832), (480, 1680)])
def test_bad_sizes_name_a_good_one(size):
    with pytest.raises(InvalidInputError, match=f"{size[1]}x{size[0]}.*Use "):
        fit(np.zeros((100, 100, 3), np.uint8), size=size)


def test_given_size_is_height_then_width():
    assert fit(np.zeros((100, 100, 3), np.uint8), size=(128, 192)).image.shape == (128, 192, 3)


def test_loaded_notes_are_carried(picture):
    loaded = images.LoadedImage(np.asarray(picture), ("said",))
    assert fit(loaded).notes[0] == "said"
