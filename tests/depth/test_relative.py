"""Relative depth maps: near is bright, scale and offset come from an estimator."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lyra.common.errors import InvalidInputError
from lyra.depth import DepthFile, RelativeDepthFile, create_estimator
from lyra.depth.base import DepthEstimate
from lyra.depth.checks import sanitise
from lyra.depth.file import read_depth
from lyra.depth.fit import fit_line
from lyra.depth.relative import fit_relative, read_relative, without_steps

from .views import INTRINSICS, SIZE, camera, true_depth

TRUTH = true_depth(camera())
PICTURE = np.zeros((*SIZE, 3), np.uint8)
SKY = np.zeros(SIZE, bool)
SKY[:12] = True


class Rough:
    """An estimator that sees the truth with noise, the sky, and a thing that is not there."""

    id = "rough"

    def __init__(self, upside_down: bool = False):
        rng = np.random.default_rng(0)
        inverse = 1 / TRUTH * np.exp(0.1 * rng.standard_normal(SIZE))
        inverse[30:50, 60:80] *= 3
        if upside_down:
            inverse = inverse.max() + inverse.min() - inverse
        self.depth = np.where(SKY, np.inf, 1 / inverse).astype(np.float32)

    def estimate(self, image, intrinsics=None):
        lens = INTRINSICS if intrinsics is None else intrinsics
        return DepthEstimate(self.depth, lens, True, "the rough one", None, ("a guess",))


def relative(depth: np.ndarray = TRUTH, sky: bool = True) -> np.ndarray:
    """The map (H, W) in [0, 1] of depth, stretched to the full range as tools do it."""
    inverse = 1 / depth.astype(np.float64)
    solid = ~SKY if sky else np.ones(depth.shape, bool)
    low, high = inverse[solid].min(), inverse.max()
    return np.where(solid, np.clip((inverse - low) / (high - low), 0.02 if sky else 0, 1), 0)


def png(tmp_path, values, bits=16, mode=None):
    steps = np.rint(values * (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    image = Image.fromarray(steps)
    path = tmp_path / "map.png"
    (image if mode is None else image.convert(mode)).save(path)
    return path


@pytest.mark.parametrize("kind", ["16", "8", "RGB", "RGBA", "npz", "raw npz"])
def test_every_kind_gets_the_scale_of_the_estimate(tmp_path, kind):
    values = relative()
    if "npz" in kind:
        path = tmp_path / "map.npz"
        np.savez(path, depth=values * (37.5 if kind == "raw npz" else 1))
    else:
        path = png(tmp_path, values, 16 if kind == "16" else 8, kind if kind.startswith("RGB") else None)
    estimate = RelativeDepthFile(path, Rough()).estimate(PICTURE)
    assert np.array_equal(estimate.sky, SKY) and not estimate.metric
    wrong = np.abs(np.log(estimate.depth[~SKY] / TRUTH[~SKY]))
    # Between the steps of eight bits there is nothing more to know; the noise and the odd thing must not be in it.
    assert np.median(wrong) < 0.04 and np.quantile(wrong, 0.95) < 0.15
    assert np.array_equal(sanitise(estimate).depth, estimate.depth)
    said = " ".join(estimate.notes)
    assert "Set Scale" in said and "a guess" in said and "invert" not in said
    assert "map." in estimate.source and "the rough one" in estimate.source


@pytest.mark.parametrize("kind", ["8", "16", "npz"])
def test_steps_of_eight_bits_are_smoothed_in_any_file(tmp_path, kind):
    steps = np.rint(relative() * 255).astype(np.uint8)
    path = tmp_path / "map.npz"
    if kind == "npz":
        np.savez(path, depth=steps)
    else:
        path = png(tmp_path, steps / 255, int(kind))
    depth = RelativeDepthFile(path, Rough()).estimate(PICTURE).depth
    assert len(np.unique(depth[~SKY])) > 4 * len(np.unique(steps[~SKY]))


def test_a_float_exr_is_read(tmp_path):
    from pathlib import Path

    path = Path(__file__).parent / "data" / "blender45_zip_32.exr"
    with pytest.raises(InvalidInputError, match=r"1e\+10.*Z pass in metres"):
        RelativeDepthFile(path, Rough())


def test_without_a_sky_in_the_estimate_0_is_only_far(tmp_path):
    estimator = Rough()
    estimator.depth[SKY] = TRUTH[SKY]
    estimate = RelativeDepthFile(png(tmp_path, relative(sky=False)), estimator).estimate(PICTURE)
    assert np.isfinite(estimate.depth).all() and (estimate.depth > 0).all()


def test_a_sky_that_is_not_quite_even_is_whole(tmp_path):
    """Else single pixels of it would stand as surface in the air."""
    values = relative()
    values[SKY] = np.random.default_rng(0).integers(0, 4, SKY.sum()) / 255
    estimate = RelativeDepthFile(png(tmp_path, values, 8), Rough()).estimate(PICTURE)
    assert np.array_equal(estimate.sky, SKY)


def test_a_map_that_uses_little_of_its_bits_is_not_taken_for_sky(tmp_path):
    """Raw disparity cast to 16 bits, as tools offer it: the brightest is 300 of 65535."""
    estimator = Rough()
    estimator.depth[:30] = np.inf
    estimate = RelativeDepthFile(png(tmp_path, relative() * 300 / 65535), estimator).estimate(PICTURE)
    assert estimate.sky[SKY].all() and not estimate.sky[16:].any()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_of_a_map_are_filled_and_said(tmp_path, mode):
    grey = Image.fromarray(np.rint(relative() * 255).astype(np.uint8))
    clear = np.zeros(SIZE, bool)
    clear[40:44, 20:30] = True
    grey.paste(0, mask=Image.fromarray(clear))
    image = grey.convert(mode)
    image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    image.save(tmp_path / "map.png")
    estimate = RelativeDepthFile(tmp_path / "map.png", Rough()).estimate(PICTURE)
    assert np.abs(np.log(estimate.depth / TRUTH))[clear].max() < 0.3
    assert any("transparent" in note for note in estimate.notes)
    image.putalpha(0)
    image.save(tmp_path / "map.png")
    with pytest.raises(InvalidInputError, match="fully transparent"):
        RelativeDepthFile(tmp_path / "map.png", Rough())


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_all_sixteen_bits_of_colours_and_transparency_count(tmp_path, kind):
    """RGB, grey with alpha, RGB with alpha, of which Pillow keeps eight."""
    values = np.random.default_rng(0).integers(0, 65535, SIZE)
    clear = np.zeros(SIZE, bool)
    clear[:4] = kind != 2
    path = tmp_path / "map.png"
    path.write_bytes(wide_png(values, kind, ~clear))
    stored = read_relative(path)
    assert np.allclose(stored.depth[4:], values[4:] / values[4:].max(), atol=1e-6) and not stored.step
    assert bool(stored.notes) == (kind != 2)
    depth = read_depth(path, blend=True).depth
    assert np.allclose(depth[4:], values[4:] / 1000, equal_nan=False) and np.isnan(depth[:4]).all() == (
        kind != 2
    )


def wide_png(values, kind, opaque):
    """A PNG of 16 bits a channel with the colour type `kind`."""
    channels = np.stack([values] * {2: 3, 4: 1, 6: 3}[kind] + [65535 * opaque] * (kind != 2), -1).astype(
        ">u2"
    )
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in channels))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_bright_far_is_said_and_stays_positive(tmp_path):
    estimate = RelativeDepthFile(png(tmp_path, relative()), Rough(upside_down=True)).estimate(PICTURE)
    assert (estimate.depth > 0).all() and any("invert it" in note for note in estimate.notes)
    # Bright is near all the same.
    assert np.corrcoef(relative()[~SKY], 1 / estimate.depth[~SKY])[0, 1] > 0.99


def test_a_map_of_the_source_size_gets_the_picture_s_crop(tmp_path):
    wide = np.repeat(np.repeat(relative(), 2, 0), 2, 1)
    path = png(tmp_path, wide)
    estimate = RelativeDepthFile(path, Rough(), wide.shape).estimate(PICTURE)
    assert np.median(np.abs(np.log(estimate.depth[~SKY] / TRUTH[~SKY]))) < 0.03
    scaled = RelativeDepthFile(path, Rough()).estimate(PICTURE)
    assert np.allclose(scaled.depth, estimate.depth) and any("it was scaled" in note for note in scaled.notes)
    with pytest.raises(InvalidInputError, match=r"192x120.*96x64"):
        RelativeDepthFile(png(tmp_path, wide[:120]), Rough()).estimate(PICTURE)


def test_a_lens_in_the_file_is_used(tmp_path):
    lens = INTRINSICS * np.array([[1.1], [1.1], [1]])
    np.savez(tmp_path / "map.npz", depth=relative(), intrinsics=lens)
    assert np.allclose(RelativeDepthFile(tmp_path / "map.npz", Rough()).estimate(PICTURE).intrinsics, lens)


# ------------------------------------------------------------------------------------------------------- the numbers
@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0.02), (0.1, 0.6), (2.0, -0.1), (-0.4, 0.7)])
def test_line_is_found_among_outliers(gain, offset):
    rng = np.random.default_rng(1)
    values = rng.uniform(0.1, 1, 4000)
    known = (gain * values + offset) * np.exp(0.05 * rng.standard_normal(4000))
    known[rng.random(4000) < 0.25] *= 4
    assert fit_line(values, known) == pytest.approx((gain, offset), abs=0.03 * max(abs(gain), abs(offset)))
    assert fit_line(np.full(50, 0.3), known[:50]) is None


@pytest.mark.parametrize("gain", [0.3, -0.3, 0.0])
def test_every_value_becomes_a_positive_finite_depth(gain):
    """Also values beyond those that were fitted, where the line itself would go below 0."""
    values = np.linspace(0.5, 1, 500)
    seen = 0.31 + gain * values - (0.4 if gain > 0 else 0)
    fit = fit_relative(values, seen)
    inverse = fit.applied(np.linspace(0, 1, 200))
    assert fit.gain > 0 and fit.agreed == (gain > 0)
    assert inverse[0] > 0 and (np.diff(inverse) > 0).all()
    if fit.agreed:
        assert np.allclose(fit.applied(values), seen)


def test_steps_are_smoothed_by_no_more_than_a_half():
    slope = np.linspace(0.2, 0.3, 300)[None].repeat(60, 0)
    slope[:, 150:] += 0.4
    stepped = np.rint(slope * 255) / 255
    smooth = without_steps(stepped, 1 / 255)
    assert np.abs(smooth - stepped).max() <= 0.5 / 255 + 1e-12
    inner = np.s_[:, 30:90]
    assert np.abs(smooth - slope)[inner].max() < 0.3 * np.abs(stepped - slope)[inner].max()


# ---------------------------------------------------------------------------------------------------- what is refused
def test_files_that_hold_no_such_map(tmp_path):
    colored = tmp_path / "colored.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)).save(colored)
    with pytest.raises(InvalidInputError, match=r"colored\.png: It is a colour picture"):
        RelativeDepthFile(colored, Rough())
    with pytest.raises(InvalidInputError, match="nothing is nearer"):
        RelativeDepthFile(png(tmp_path, np.full(SIZE, 0.5)), Rough())
    for values in (-relative(), np.where(SKY, np.inf, TRUTH), np.where(SKY, np.nan, TRUTH)):
        np.savez(tmp_path / "map.npz", depth=values)
        with pytest.raises(InvalidInputError, match=r"map\.npz: Its values go from"):
            RelativeDepthFile(tmp_path / "map.npz", Rough())


def test_choice(tmp_path):
    path = png(tmp_path, relative(), 8)
    estimator = create_estimator("layout", path, values="inverse")
    assert isinstance(estimator, RelativeDepthFile) and estimator.id == "file+layout"
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    assert (estimator.estimate(picture).depth > 0).all()
    with pytest.raises(InvalidInputError, match=r"'feet'.*metres, inverse"):
        create_estimator("layout", path, values="feet")
    with pytest.raises(InvalidInputError, match="Inverse depth values need a depth file"):
        create_estimator("layout", values="inverse")
    with pytest.raises(InvalidInputError, match="cannot be blended"):
        create_estimator("layout", path, values="inverse", blend=True)


def test_metres_point_to_it(tmp_path):
    with pytest.raises(InvalidInputError, match=r"16-bit.*--depth-values inverse"):
        DepthFile(png(tmp_path, relative(), 8))
    said = (
        DepthFile(png(tmp_path, np.linspace(0, 1, SIZE[1])[None].repeat(SIZE[0], 0))).estimate(PICTURE).notes
    )
    assert any("--depth-values inverse" in note for note in said)
    in_millimetres = DepthFile(png(tmp_path, np.minimum(TRUTH / 65.535, 1))).estimate(PICTURE).notes
    assert not any("--depth-values" in note for note in in_millimetres)
