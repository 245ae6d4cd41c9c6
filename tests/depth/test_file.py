from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lyra.common.errors import InvalidInputError
from lyra.depth import DepthFile, create_estimator, sanitise
from lyra.depth.checks import filled_from_nearest
from lyra.depth.file import fitted_depth, read_depth
from lyra.depth.stored import _depth_channel
from lyra.geometry.cameras import fit_intrinsics
from lyra.media import exr
from lyra.media.images import fit, load_image

DATA = Path(__file__).parent / "data"
PICTURE = np.zeros((96, 160, 3), np.uint8)


def slope(height: int = 96, width: int = 160) -> np.ndarray:
    """The depth of a slanted plane: 1/z is linear in the picture."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return (1 / (0.05 + 0.2 * y / height + 0.05 * x / width)).astype(np.float32)


def saved(tmp_path, name="depth.npz", **arrays) -> Path:
    path = tmp_path / name
    np.savez_compressed(path, **arrays)
    return path


def test_npz_of_the_fitted_size_is_taken_as_it_is(tmp_path):
    depth = slope()
    depth[:20] = np.inf
    intrinsics = np.array([[150.0, 0, 80], [0, 150, 48], [0, 0, 1]])
    estimate = DepthFile(saved(tmp_path, depth=depth, intrinsics=intrinsics)).estimate(PICTURE)
    assert np.array_equal(estimate.depth, depth) and np.array_equal(estimate.intrinsics, intrinsics)
    assert estimate.metric and "depth.npz" in estimate.source


def test_known_lens_goes_before_the_file_s(tmp_path):
    path = saved(tmp_path, depth=slope(), intrinsics=np.diag([150.0, 150, 1]))
    known = np.array([[99.0, 0, 80], [0, 99, 48], [0, 0, 1]])
    for estimator in (DepthFile(path), create_estimator("layout", path, blend=True)):
        estimate = estimator.estimate(PICTURE, known)
        assert np.array_equal(estimate.intrinsics, known)
        assert any("150 px" in note and "99 px" in note for note in estimate.notes)
        assert not any(
            "150 px" in note for note in estimator.estimate(PICTURE, np.diag([150.5, 150, 1])).notes
        )


def test_depth_without_a_lens_takes_the_one_that_the_network_sees(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, PICTURE.shape).astype(np.uint8)
    estimate = DepthFile(saved(tmp_path, depth=slope())).estimate(picture)
    seen = create_estimator("builtin").estimate(picture).intrinsics
    assert estimate.intrinsics[0, 0] == pytest.approx(seen[0, 0], rel=0.3)
    assert estimate.intrinsics[0, 2] == 80 and any("lens is estimated" in note for note in estimate.notes)


def test_depth_of_the_source_size_gets_the_picture_s_crop(tmp_path):
    source_hw = (720, 1280)
    picture = fit(np.zeros((*source_hw, 3), np.uint8))
    intrinsics = np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])
    path = saved(tmp_path, depth=slope(*source_hw), intrinsics=intrinsics)
    estimate = create_estimator("auto", path, source_hw=source_hw).estimate(picture.image)
    assert np.allclose(estimate.intrinsics, fit_intrinsics(intrinsics, source_hw, (480, 832)))
    y, x = np.mgrid[0:480, 0:832] + 0.5
    x, y = (x + (1280 / 1.5 - 832) / 2) * 1.5, y * 1.5
    assert np.allclose(1 / estimate.depth, 0.05 + 0.2 * y / 720 + 0.05 * x / 1280, rtol=1e-3)


@pytest.mark.parametrize("source", [(240, 416), (960, 1664), (300, 900)])
def test_no_depth_between_two_surfaces(source):
    depth = np.full(source, 2.0, np.float32)
    depth[:, source[1] // 3 :] = 9
    depth[: source[0] // 4] = np.inf
    assert set(np.unique(fitted_depth(depth, (480, 832)))) == {2.0, 9.0, np.inf}


@pytest.mark.parametrize(("stored", "shows"), [((594, 1050), "whole"), ((240, 416), "crop")])
def test_another_size_of_the_picture_s_aspect_is_scaled(tmp_path, stored, shows):
    """Of the picture as it was given (16:9, rounded to patches by a tool), or as it was fitted."""
    y, x = np.mgrid[0:480, 0:832] + 0.5
    y, x = y / 480, x / 832
    if shows == "whole":
        x = (x * 832 + (480 * 16 / 9 - 832) / 2) / (480 * 16 / 9)
    lens = np.array(
        [[900.0 * stored[1] / 1280, 0, stored[1] / 2], [0, 900 * stored[0] / 720, stored[0] / 2], [0, 0, 1]]
    )
    path = saved(tmp_path, depth=slope(*stored), intrinsics=lens)
    estimate = DepthFile(path, source_hw=(1080, 1920)).estimate(np.zeros((480, 832, 3), np.uint8))
    inner = np.s_[4:-4, 4:-4]
    assert np.allclose(1 / estimate.depth[inner], (0.05 + 0.2 * y + 0.05 * x)[inner], rtol=2e-3)
    if shows == "whole":
        assert np.allclose(estimate.intrinsics[[0, 1], [0, 1]], 900 / 1.5)
    assert any(f"{stored[1]}x{stored[0]}; it was scaled" in note for note in estimate.notes)


def test_another_aspect_quotes_both(tmp_path):
    path = saved(tmp_path, depth=slope(100, 100))
    with pytest.raises(InvalidInputError, match=r"100x100.*160x96"):
        DepthFile(path).estimate(PICTURE)
    with pytest.raises(InvalidInputError, match=r"100x100.*1280x720 or 160x96"):
        DepthFile(path, source_hw=(720, 1280)).estimate(PICTURE)


def test_unknown_depth_is_filled_and_said(tmp_path):
    depth = slope()
    depth[40:44, 50:60] = 0
    estimate = DepthFile(saved(tmp_path, depth=depth)).estimate(PICTURE)
    assert np.all(estimate.depth > 0)
    assert np.abs(np.log(estimate.depth / slope())).max() < 0.2
    assert any("filled" in note for note in estimate.notes)


@pytest.mark.parametrize("seed", range(5))
def test_holes_take_the_nearest_known_depth_of_the_whole_picture(tmp_path, seed):
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.random((96, 160)), 0.5 + seed)
    depth = slope()
    depth[(blobs < np.quantile(blobs, 0.3)) & (np.arange(96) > 3)[:, None]] = 0
    filled = DepthFile(saved(tmp_path, depth=depth)).stored.depth
    np.testing.assert_array_equal(filled, filled_from_nearest(depth, depth > 0))


def test_zeros_at_the_upper_edge_are_sky(tmp_path):
    depth = slope()
    depth[:30] = 0
    estimate = DepthFile(saved(tmp_path, depth=depth)).estimate(PICTURE)
    assert np.isinf(estimate.depth[:30]).all() and np.isfinite(estimate.depth[30:]).all()
    assert any("sky" in note for note in estimate.notes)


@pytest.mark.parametrize(
    ("depth", "words"),
    [
        (-slope(), "goes down to -"),
        (np.zeros((96, 160), np.float32), "0 everywhere"),
        (np.full((96, 160), np.inf), "infinite everywhere"),
        (np.full((96, 160), 1e5), r"1e\+05 to 1e\+05; in metres .* 0\.001 and 60000"),
        (slope() * 1e-5, "in metres it must be"),
        (np.where(slope() > 10, np.nan, slope()), "not a number"),
        (np.ones((96, 160, 3), np.float32), r"\(96, 160, 3\)"),
        (np.full((4, 4), "far"), "type"),
    ],
)
def test_bad_values(tmp_path, depth, words):
    with pytest.raises(InvalidInputError, match=words):
        DepthFile(saved(tmp_path, depth=depth))


@pytest.mark.parametrize("depth", [slope() / slope().max(), np.rint(slope() * 1000).astype(np.uint16)])
def test_values_that_are_hardly_metres_are_said(tmp_path, depth):
    """All within a metre, as what was stretched to 1; all beyond a kilometre, as millimetres."""
    notes = DepthFile(saved(tmp_path, depth=depth)).estimate(PICTURE).notes
    assert any("If these are not metres" in note and "--depth-values inverse" in note for note in notes)
    assert not any("not metres" in note for note in DepthFile(saved(tmp_path, depth=slope())).stored.notes)


def test_depth_beyond_what_worlds_keep_is_said(tmp_path):
    """Centimetres: what is 600 m away would silently be sky."""
    estimate = sanitise(DepthFile(saved(tmp_path, depth=slope() * 5000)).estimate(PICTURE))
    beyond = slope() * 5000 > 6e4
    assert beyond.any() and np.array_equal(estimate.sky, beyond)
    assert any(f"{beyond.mean():.1%} of the depth is beyond 60 km" in note for note in estimate.notes)


def test_a_blockout_of_nothing_but_sky(tmp_path):
    with pytest.raises(InvalidInputError, match="infinite everywhere"):
        DepthFile(saved(tmp_path, depth=np.full((96, 160), np.inf)), blend=True)
    half = np.full((96, 160), np.nan)
    half[:40] = np.inf
    assert np.isinf(DepthFile(saved(tmp_path, depth=half), blend=True).stored.depth[:40]).all()


def test_bad_files(tmp_path):
    with pytest.raises(InvalidInputError, match="There is no depth file"):
        DepthFile(tmp_path / "none.npz")
    with pytest.raises(InvalidInputError, match=r"give \.npz"):
        DepthFile(tmp_path / "depth.tiff")
    for suffix in (".npz", ".exr", ".png"):
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(b"nothing of the kind")
        with pytest.raises(InvalidInputError, match="broken"):
            DepthFile(broken)
    with pytest.raises(InvalidInputError, match="`depth` is needed"):
        DepthFile(saved(tmp_path, disparity=slope()))
    with pytest.raises(InvalidInputError, match="intrinsics are"):
        DepthFile(saved(tmp_path, depth=slope(), intrinsics=-np.eye(3)))


def test_pickled_arrays_are_refused(tmp_path):
    with pytest.raises(InvalidInputError):
        DepthFile(saved(tmp_path, depth=np.array([{"a": 1}], dtype=object)))


def test_png_is_in_millimetres(tmp_path):
    steps = np.rint(slope() * 1000).astype(np.uint16)
    steps[:10] = 65535
    path = tmp_path / "depth.png"
    Image.fromarray(steps).save(path)
    estimate = DepthFile(path).estimate(PICTURE)
    assert np.isinf(estimate.depth[:10]).all()
    assert np.abs(estimate.depth[10:] - slope()[10:]).max() < 6e-4
    assert DepthFile(path, unit=0.01).estimate(PICTURE).depth[50, 50] == pytest.approx(steps[50, 50] / 100)


def test_eight_bit_png_is_refused(tmp_path):
    path = tmp_path / "depth.png"
    Image.fromarray(np.zeros((96, 160), np.uint8)).save(path)
    with pytest.raises(InvalidInputError, match="16-bit"):
        DepthFile(path)


# ------------------------------------------------------------------------------------------- files made by Blender
@pytest.mark.parametrize("name", ["45_zip_32", "45_rle_16", "52_zips_32", "52_none_16"])
def test_exr_from_blender(name):
    """A plane 10 m ahead of the camera, sky around it: z-depth is 10 all over the plane."""
    stored = read_depth(DATA / f"blender{name}.exr")
    assert stored.depth.shape == (32, 48)
    plane = np.isfinite(stored.depth)
    assert 0.2 < plane.mean() < 0.6 and plane[16, 24] and not plane[0, 0]
    assert np.allclose(stored.depth[plane], 10, atol=1e-5)
    assert any("Depth.Z" in note for note in stored.notes)


def test_exr_colours_agree_with_a_foreign_reader():
    path = DATA / "blender45_rgb_zip.exr"
    channels = exr.read_channels(path)
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        assert frame.format.name == "gbrpf16le"
        for plane, channel in zip(frame.planes, "GBR", strict=True):
            foreign = np.frombuffer(plane, np.float16).reshape(frame.height, -1)[:, : frame.width]
            assert np.array_equal(channels[channel], foreign)


def test_exr_of_another_compression_is_read(monkeypatch):
    monkeypatch.setattr("lyra.media.header.MIN_SIDE", 16)
    zipped, other = (load_image(DATA / f"blender45_rgb_{codec}.exr").pixels for codec in ("zip", "piz"))
    assert np.abs(zipped.astype(int) - other).max() <= 1
    planes = [exr.read_channels(DATA / f"blender45_rgb_{codec}.exr") for codec in ("zip", "piz")]
    assert all(np.array_equal(plane, planes[1][name]) for name, plane in planes[0].items())


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        # As Blender 4.5 lists them with Denoising Data on, which has depth along the ray.
        (["View.Denoising Depth.Z", "View.Depth.Z", "View.Mist.Z", "View.Position.Z"], "View.Depth.Z"),
        (["Combined.R", "Combined.G", "Combined.B", "Depth.V"], "Depth.V"),
        (["R", "G", "B", "Queue_WorldDepth.R", "Queue_WorldDepth.G"], "Queue_WorldDepth.R"),
        (["R", "G", "B", "Z", "Denoising Depth.Z"], "Z"),
        (["R", "G", "B"], "R"),
        (["View.Image.V"], "View.Image.V"),
    ],
)
def test_the_channel_of_depth_is_found(names, chosen):
    assert _depth_channel(names) == chosen


@pytest.mark.parametrize("names", [["View.Denoising Depth.Z"], ["View.Mist.Z", "View.Position.Z"]])
def test_without_z_depth_the_pass_is_asked_for(names):
    with pytest.raises(InvalidInputError, match=r"switch on the Z \(depth\) pass"):
        _depth_channel(names)


def test_colour_exr_is_no_depth():
    with pytest.raises(InvalidInputError, match="colour picture"):
        DepthFile(DATA / "blender45_rgb_zip.exr")


@pytest.mark.parametrize("name", ["45_zip_32", "45_rle_16", "52_zips_32", "52_none_16"])
def test_damaged_exr_is_refused_or_read_but_never_crashes(name):
    whole = (DATA / f"blender{name}.exr").read_bytes()
    rng = np.random.default_rng(3)
    for cut in rng.integers(4, len(whole), 25):
        with pytest.raises(InvalidInputError):
            exr.read_channels(whole[:cut])
    for _ in range(60):
        damaged = bytearray(whole)
        for at in rng.integers(4, len(whole), 4):
            damaged[at] = rng.integers(256)
        try:
            exr.read_channels(bytes(damaged))
        except InvalidInputError:
            continue
