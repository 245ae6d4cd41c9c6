import numpy as np

from lyra.mesh.grid import BrickGrid, bricks_near, pack, unpack


def test_keys_are_unique_and_reversible():
    coordinates = np.random.default_rng(0).integers(-(2**20), 2**20, (5000, 3))
    assert np.array_equal(unpack(pack(coordinates)), coordinates)
    order = np.argsort(pack(coordinates))
    assert np.array_equal(order, np.lexsort(coordinates.T[::-1]))


def test_every_voxel_near_a_point_has_its_brick():
    generator = np.random.default_rng(1)
    points, voxel_size, margin = generator.uniform(-2, 2, (50, 3)), 0.05, 3.5
    grid = BrickGrid(bricks_near(points, voxel_size, margin), voxel_size)
    voxels = np.floor(points / voxel_size)
    for _ in range(20):
        near = voxels + generator.integers(-3, 4, points.shape)
        assert (grid.find(near // 8) >= 0).all()


def test_find_tells_what_is_missing():
    grid = BrickGrid(pack(np.array([[0, 0, 0], [0, 0, 5]])), 1.0)
    assert grid.find(np.array([[0, 0, 5], [0, 0, 4], [9, 9, 9]])).tolist() == [1, -1, -1]


def test_padded_bricks_hold_their_neighbours_first_voxels():
    grid = BrickGrid(np.sort(pack(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1]]))), 1.0)
    grid.distances[:] = np.random.default_rng(0).normal(size=grid.distances.shape)
    grid.weights[:] = 1
    first, diagonal, right = (grid.find(np.array([c]))[0] for c in ([0, 0, 0], [0, 1, 1], [1, 0, 0]))
    padded = grid.padded(first, first + 1)[0]
    assert np.array_equal(padded[:8, :8, :8], grid.distances[first])
    assert np.array_equal(padded[8, :8, :8], grid.distances[right][0])
    assert np.array_equal(padded[:8, 8, 8], grid.distances[diagonal][:, 0, 0])
    assert np.isnan(padded[:8, 8, :8]).all()
    grid.weights[first, 2, 3, 4] = 0
    assert np.isnan(grid.padded(first, first + 1)[0, 2, 3, 4])
