"""Trajectories: checks at the border and the maths of moving, fitting and resampling them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lyra.common.errors import InvalidInputError
from lyra.geometry.cameras import Trajectory, cover_transform, fit_intrinsics, intrinsics_from_fov


def make(frames=81, height=72, width=128, seed=0):
    rng = np.random.default_rng(seed)
    w2c = np.tile(np.eye(4), (frames, 1, 1))
    w2c[:, :3, :3] = Rotation.from_rotvec(rng.normal(0, 0.3, (frames, 3))).as_matrix()
    w2c[:, :3, 3] = rng.normal(0, 1, (frames, 3))
    intrinsics = np.tile(intrinsics_from_fov(1.0, height, width), (frames, 1, 1))
    return Trajectory(w2c, intrinsics, height, width)


def test_save_and_load_round_trip(tmp_path):
    path = make()
    path.save(tmp_path / "path.npz")
    again = Trajectory.load(tmp_path / "path.npz")
    np.testing.assert_array_equal(again.w2c, path.w2c)
    np.testing.assert_array_equal(again.intrinsics, path.intrinsics)
    assert (again.height, again.width) == (72, 128)


def test_rebased_keeps_the_motion():
    path = make()
    target = make(1, seed=5).w2c[0]
    moved = path.rebased(target)
    np.testing.assert_allclose(moved.w2c[0], target, atol=1e-12)
    relative = path.w2c @ np.linalg.inv(path.w2c[0])
    np.testing.assert_allclose(moved.w2c @ np.linalg.inv(moved.w2c[0]), relative, atol=1e-12)


def test_scaled_multiplies_centers():
    path = make()
    np.testing.assert_allclose(path.scaled(2.5).centers, 2.5 * path.centers, atol=1e-12)


@pytest.mark.parametrize("source", [(720, 1280), (600, 600), (1000, 400)])
def test_fit_intrinsics_projects_where_the_crop_puts_the_pixel(source):
    k = intrinsics_from_fov(1.1, *source)
    fitted = fit_intrinsics(k, source, (480, 832))
    scale, offset_x, offset_y = cover_transform(source, (480, 832))
    point = np.array([0.3, -0.2, 2.0])
    before = (k @ point)[:2] / point[2]
    after = (fitted @ point)[:2] / point[2]
    np.testing.assert_allclose(after, before * scale - [offset_x, offset_y])
    assert fitted[0, 0] == pytest.approx(fitted[1, 1])
    assert min(offset_x, offset_y) == pytest.approx(0)
    assert max(offset_x, offset_y) >= 0


def test_longest_world_prefix():
    assert len(make(500).longest_world_prefix()) == 481
    with pytest.raises(InvalidInputError, match="50 frames"):
        make(50).longest_world_prefix()


@pytest.mark.parametrize("frames", [1, 80, 100, 160])
def test_other_lengths_are_refused_with_the_count_and_the_next_step(frames):
    with pytest.raises(InvalidInputError, match=rf"{frames} frames.*1 \+ 80k.*Export"):
        make(frames).require_world_length()


def broken(change):
    path = make(3)
    arrays = {"w2c": path.w2c.copy(), "intrinsics": path.intrinsics.copy(), "height": 72, "width": 128}
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["w2c"].__setitem__((1, 0, 0), np.nan), "frame 1 is not finite"),
        (lambda a: a["w2c"].__setitem__((2, slice(3), slice(3)), np.eye(3) * 2), "frame 2 is no rotation"),
        (
            lambda a: a["w2c"].__setitem__((2, slice(3), slice(3)), np.diag([1, 1, -1])),
            "frame 2 is no rotation",
        ),
        (lambda a: a["intrinsics"].__setitem__((1, 0, 0), 0), r"focal lengths of frame 1 are \[ *0"),
        (lambda a: a["intrinsics"].__setitem__((0, 1, 1), -5), "focal lengths of frame 0"),
        (lambda a: a["intrinsics"].__setitem__((0, 2, 2), 2), "no pinhole matrix"),
        (lambda a: a.update(w2c=a["w2c"][:, :3]), r"shape \(3, 3, 4\)"),
        (lambda a: a.update(intrinsics=a["intrinsics"][:2]), r"shape \(2, 3, 3\)"),
        (lambda a: a.update(height=0), "128x0"),
        (lambda a: a.update(w2c="nonsense"), "no number"),
    ],
)
def test_bad_arrays_are_quoted(change, message):
    with pytest.raises(InvalidInputError, match=message):
        Trajectory.checked(**broken(change))


def turned(w2c):
    """The same poses in other conventions, by name."""
    scaled, sheared, mirrored = w2c.copy(), w2c.copy(), w2c.copy()
    scaled[:, :3, :3] *= 0.01
    sheared[:, 0] += 0.2 * sheared[:, 1]
    mirrored[:, 1, :3] *= -1
    return {
        "transposed": w2c.transpose(0, 2, 1),
        "scaled by 0.01": scaled,
        "shear": sheared,
        "mirrored": mirrored,
    }


@pytest.mark.parametrize("words", ["transposed", "scaled by 0.01", "shear", "mirrored"])
def test_poses_of_other_conventions_are_recognised(words):
    path = make(3)
    with pytest.raises(InvalidInputError, match=rf"w2c of frame 0.*{words}") as caught:
        Trajectory.checked(turned(path.w2c)[words], path.intrinsics, 72, 128)
    assert len(str(caught.value)) <= 300


def test_poses_of_float32_and_huge_numbers():
    path = make(3)
    Trajectory.checked(path.w2c.astype(np.float32), path.intrinsics.astype(np.float32), 72, 128)
    for huge in (1e60, 1e200, 1e307):
        with pytest.raises(InvalidInputError, match="frame 0 is no rotation"):
            Trajectory.checked(path.w2c * huge, path.intrinsics, 72, 128)


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 3)])
def test_one_lens_is_that_of_all_frames(shape):
    path = make(5)
    read = Trajectory.checked(path.w2c, path.intrinsics[0].reshape(shape), 72, 128)
    np.testing.assert_array_equal(read.intrinsics, path.intrinsics)


@pytest.mark.parametrize("side", [72, 72.0, np.int64(72), np.array([72]), np.array([[72.0]])])
def test_a_side_may_be_an_array_of_one_number(side):
    path = make(3)
    assert Trajectory.checked(path.w2c, path.intrinsics, side, 128).height == 72


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(height=72.5), r"image_height is 72\.5; one whole number"),
        (lambda a: a.update(height=np.full(3, 72)), "image_height is array"),
        (lambda a: a.update(width="128"), "image_width is '128'"),
        (lambda a: a.update(width=10**400), "image_width is a number of more than 40 digits"),
        (lambda a: a.update(width=np.nan), "image_width is nan"),
        (lambda a: a.update(width=np.inf), "image size is 131072x72"),
        (lambda a: a.update(w2c=[[[10**400]]]), "w2c holds something that is no number"),
        (lambda a: a.update(w2c=[["x" * 5000]]), "w2c holds something that is no number"),
        (lambda a: a.update(w2c=[[1.0], [1.0, 2.0]]), "w2c holds something that is no number"),
        (lambda a: a.update(w2c=None), "w2c holds something that is no number"),
        (lambda a: a.update(w2c=a["w2c"].astype(complex)), "no number .type complex128"),
        (lambda a: a.update(w2c=[[[0.0]]] * 9000), "9000 frames; between 1 and 8001"),
        (lambda a: a.update(w2c=[]), r"shape \(0,\)"),
        (lambda a: a.update(intrinsics=np.ones((3, 4))), r"\(3, 4\); 3 poses need \(3, 3, 3\), each \[\[fx"),
        (lambda a: a.update(w2c=a["w2c"][:, :3]), "0, 0, 0, 1 as its last row"),
        (lambda a: a["intrinsics"].__setitem__((1, 0, 2), 64000), "frame 1 .*outside its 128x72"),
    ],
)
def test_what_clients_send_is_refused_in_one_short_line(change, message):
    with pytest.raises(InvalidInputError, match=message) as caught:
        Trajectory.checked(**broken(change))
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def test_a_path_longer_than_possible_is_refused_before_it_is_looked_at():
    class Counted(list):
        def __iter__(self):
            raise AssertionError("its frames were looked at")

    with pytest.raises(InvalidInputError, match="100000 frames"):
        Trajectory.checked(Counted([0.0] * 100_000), np.eye(3), 72, 128)


def test_bad_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=1)
    np.savez(tmp_path / "pickle.npz", w2c=np.array([{}], object), intrinsics=1, image_height=1, image_width=1)
    np.savez_compressed(
        tmp_path / "damaged.npz", w2c=np.zeros((500, 4, 4)), intrinsics=1, image_height=1, image_width=1
    )
    damaged = bytearray((tmp_path / "damaged.npz").read_bytes())
    damaged[60:90] = bytes([255]) * 30
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for name in ("text.npz", "other.npz", "pickle.npz", "damaged.npz", "absent.npz"):
        with pytest.raises(InvalidInputError, match=name):
            Trajectory.load(tmp_path / name)
