import numpy as np
import pytest

from lyra.common.errors import InvalidInputError
from lyra.depth.align import (
    CAMERAS,
    PREVIOUS,
    SCALE,
    SCALE_AND_SHIFT,
    UNCHANGED,
    AlignmentSettings,
    DepthAligner,
    without_speckle,
)
from lyra.depth.fit import InverseFit
from lyra.depth.frames import FrameByFrame
from lyra.depth.layout_prior import LayoutPrior
from lyra.evaluation.scenes import RenderedScene
from lyra.memory import GeometryCache, MemorySettings

from .views import INTRINSICS, SIZE, camera, true_depth


def memory(*cameras, settings=None) -> GeometryCache:
    cache = GeometryCache(*SIZE, settings)
    for n, w2c in enumerate(cameras):
        cache.add(n, true_depth(w2c), w2c, INTRINSICS)
    return cache


def aligned(cache, cameras, depth, **options):
    lenses = np.tile(INTRINSICS, (len(cameras), 1, 1))
    return DepthAligner(options.pop("settings", AlignmentSettings())).align(
        cache, np.stack(depth), np.stack(cameras), lenses, **options
    )


def error(result, cameras) -> np.ndarray:
    """Median relative error of each frame."""
    return np.array(
        [
            np.median(np.abs(depth / true_depth(w2c) - 1))
            for depth, w2c in zip(result.depth, cameras, strict=True)
        ]
    )


PATHS = {
    "forward": [camera(0.05 * n, 0, 0.3 * n) for n in range(1, 6)],
    "turning on the spot": [camera(yaw=8 * n) for n in range(1, 6)],
    "aside": [camera(-0.2 * n, 0.05 * n, 0, 2 * n) for n in range(1, 6)],
}


@pytest.mark.parametrize("name", PATHS)
def test_every_frame_gets_the_memory_s_scale(name):
    cameras = PATHS[name]
    rng = np.random.default_rng(2)
    scales = np.exp(rng.uniform(np.log(0.7), np.log(1.4), len(cameras)))
    depth = [
        true_depth(w2c) * s * (1 + 0.05 * rng.standard_normal(SIZE))
        for w2c, s in zip(cameras, scales, strict=True)
    ]
    result = aligned(memory(camera()), cameras, depth)
    assert error(result, cameras).max() < 0.03
    assert result.depth.dtype == np.float32 and not result.notes()
    assert all(frame.overlap > 0.3 for frame in result.frames)
    found = [1 / frame.fit.gain for frame in result.frames]
    assert np.allclose(np.array(found) * scales, 1, atol=0.01) or np.allclose(found, scales, rtol=0.02)


def test_shift_of_inverse_depth_is_taken_out():
    cameras = PATHS["forward"]
    depth = [1 / (0.8 / true_depth(w2c) + 0.06) for w2c in cameras]
    result = aligned(memory(camera()), cameras, depth)
    assert {frame.method for frame in result.frames} == {SCALE_AND_SHIFT}
    assert error(result, cameras).max() < 0.01


def test_bent_depth_is_corrected_locally():
    """A smooth error over the picture, which no scale and shift takes out."""
    cameras = PATHS["aside"]
    bend = np.exp(0.15 * np.sin(np.linspace(0, 2 * np.pi, SIZE[1])))
    depth = [true_depth(w2c) * bend for w2c in cameras]
    with_field = aligned(memory(camera()), cameras, depth)
    without = aligned(memory(camera()), cameras, depth, settings=AlignmentSettings(local=None))
    assert error(with_field, cameras).max() < 0.025 < error(without, cameras).min()


def test_what_the_memory_does_not_know_does_not_mislead():
    """A third of each new frame shows something else, much nearer."""
    cameras = PATHS["forward"]
    depth = [1.3 * true_depth(w2c) for w2c in cameras]
    for frame in depth:
        frame[:, :32] = 1.0
    result = aligned(memory(camera()), cameras, depth)
    for frame, w2c in zip(result.depth, cameras, strict=True):
        assert np.median(np.abs(frame / true_depth(w2c) - 1)[:, 32:]) < 0.02


def test_a_guess_becomes_useful_where_it_was_seen_before(request):
    """The layout prior on true frames of the example, brought to the seed's true depth."""
    example = RenderedScene(request.config.rootpath / "examples" / "courtyard")
    frames = example.frames[:2]
    images, truth = zip(*(example.truth(frame) for frame in frames), strict=True)
    w2c, lenses = example.trajectory.w2c[frames], example.trajectory.intrinsics[frames]
    guess = FrameByFrame(LayoutPrior()).estimate_window(np.stack(images), w2c, lenses)
    cache = GeometryCache(*truth[0].shape)
    cache.add(0, example.first.depth, np.eye(4), example.first.intrinsics)
    result = DepthAligner().align(cache, guess.depth, w2c, lenses)
    for before, after, true in zip(guess.depth, result.depth, truth, strict=True):
        solid = np.isfinite(before) & np.isfinite(true)
        off = [np.median(np.abs(depth[solid] / true[solid] - 1)) for depth in (before, after)]
        assert off[0] > 0.15 and off[1] < 0.08


def test_confidence_rules_out_what_is_wrong():
    cameras = PATHS["aside"]
    depth, confidence = [true_depth(w2c) for w2c in cameras], np.ones((len(cameras), *SIZE), np.float32)
    for frame in depth:
        frame[:, :60] *= 2
    confidence[:, :, :60] = 0
    result = aligned(
        memory(camera()), cameras, depth, confidence=confidence, settings=AlignmentSettings(local=None)
    )
    for frame, w2c in zip(result.depth, cameras, strict=True):
        assert np.median(np.abs(frame / true_depth(w2c) - 1)[:, 64:]) < 0.01


def test_sky_stays_sky():
    w2c = camera(0.1, 0, 0.2)
    depth = 1.2 * true_depth(w2c)
    depth[:20] = np.inf
    known = true_depth(camera())
    known[:18] = np.inf
    cache = GeometryCache(*SIZE)
    cache.add(0, known, camera(), INTRINSICS)
    result = aligned(cache, [w2c], [depth])
    assert np.isinf(result.depth[0, :20]).all() and np.isfinite(result.depth[0, 20:]).all()
    assert np.median(np.abs(result.depth[0] / true_depth(w2c) - 1)[20:]) < 0.01


def test_published_memory_with_its_pixel_offset():
    def lens(w2c):
        # The published ray goes through the integer index: the same picture with the centre moved by half a pixel.
        shifted = INTRINSICS.copy()
        shifted[:2, 2] -= 0.5
        return shifted

    cache = GeometryCache(*SIZE, MemorySettings.published())
    cache.add(0, true_depth(camera()), camera(), lens(camera()))
    w2c = camera(0.2, 0, 0.4, 6)
    result = DepthAligner(AlignmentSettings(local=None)).align(
        cache, 0.8 * true_depth(w2c)[None], w2c[None], lens(w2c)[None]
    )
    assert error(result, [w2c]).max() < 2e-3


# ------------------------------------------------------------------------------------------ too little is remembered
def sliver(width: int):
    """A memory that knows only a strip of the picture."""
    cache = GeometryCache(*SIZE)
    known = true_depth(camera())
    known[:, width:] = np.inf
    cache.add(0, known, camera(), INTRINSICS)
    return cache


def test_a_sliver_of_overlap_gives_a_scale_only():
    settings = AlignmentSettings(full_overlap=0.5)
    result = aligned(sliver(24), [camera()], [1.3 * true_depth(camera())], settings=settings)
    assert result.frames[0].method == SCALE and 0 < result.frames[0].overlap < 0.5
    assert error(result, [camera()]).max() < 0.01


def test_order_of_what_is_taken_without_overlap():
    away, depth = camera(yaw=180), np.full(SIZE, 3.0, np.float32)
    own = aligned(memory(camera()), [away], [depth])
    assert own.frames[0].method == UNCHANGED and np.array_equal(own.depth[0], depth)
    assert "1 of 1 frames kept" in own.notes()[0]
    scaled = aligned(memory(camera()), [away], [depth], scaled_by_cameras=True)
    assert scaled.frames[0].method == CAMERAS and np.array_equal(scaled.depth[0], depth)
    before = aligned(memory(camera()), [away], [depth], scaled_by_cameras=True, previous=InverseFit(2.0, 0.0))
    assert before.frames[0].method == PREVIOUS and np.allclose(before.depth[0], 1.5)
    both = aligned(memory(camera()), [camera(yaw=3), away], [1.25 * true_depth(camera(yaw=3)), depth])
    assert both.frames[1].method == PREVIOUS and np.allclose(both.depth[1], 3 / 1.25, rtol=0.01)


def test_an_empty_memory_changes_nothing():
    depth = true_depth(camera())
    result = aligned(GeometryCache(*SIZE), [camera()], [depth])
    assert result.frames[0].method == UNCHANGED and np.array_equal(result.depth[0], depth)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_sky_everywhere_and_one_depth_everywhere():
    for depth in (np.full(SIZE, np.inf, np.float32), np.full(SIZE, 2.0, np.float32)):
        result = aligned(memory(camera()), [camera()], [depth])
        assert not np.isnan(result.depth).any() and (result.depth > 0).all()
        assert np.array_equal(np.isinf(result.depth[0]), np.isinf(depth))


def test_frames_already_aligned_carry_on_where_the_memory_ends():
    """A turn by 100 degrees: the last frames see nothing of frame 0."""
    cameras = [camera(yaw=10 * n) for n in range(1, 5)]
    scales = [0.8, 1.3, 0.9, 1.2]
    depth = [s * true_depth(w2c) for s, w2c in zip(scales, cameras, strict=True)]
    cache = sliver(96)
    assert error(aligned(cache, cameras, depth), cameras).max() < 0.02


def test_bad_shapes_and_values():
    depth = true_depth(camera())
    with pytest.raises(InvalidInputError, match="depth has shape"):
        aligned(memory(camera()), [camera()], [depth[:10]])
    with pytest.raises(InvalidInputError, match=r"w2c has shape \(1, 4, 4\)"):
        DepthAligner().align(
            memory(camera()), np.stack([depth, depth]), camera()[None], np.tile(INTRINSICS, (2, 1, 1))
        )
    depth[3, 4] = np.nan
    with pytest.raises(InvalidInputError, match=r"1 depths .*sanitise"):
        aligned(memory(camera()), [camera()], [depth])


def test_speckle_is_taken_out_and_edges_stay():
    rng = np.random.default_rng(3)
    depth = np.full((48, 80), 2.0)
    depth[:, 40:] = 6
    depth[:10] = np.inf
    noisy = depth * (1 + 0.05 * rng.standard_normal(depth.shape))
    calm = without_speckle(noisy, 0.01)
    solid = np.isfinite(depth)
    assert np.array_equal(np.isinf(calm), ~solid)
    assert np.median(np.abs(calm[solid] / depth[solid] - 1)) < 0.015
    assert (np.abs(np.log(calm[solid] / depth[solid])) > 0.5).mean() < 0.005
    assert without_speckle(depth, 0.01) is depth
