import numpy as np

from lyra.geometry.planes import fit_planes


def tilted(height=30, width=40, a=0.002, b=-0.003, c=0.4):
    """Depth of a plane: 1/z = a u + b v + c at pixel centres."""
    v, u = np.mgrid[:height, :width] + 0.5
    return (1 / (a * u + b * v + c)).astype(np.float32)


def test_a_plane_is_found_exactly():
    depth = tilted()
    planes = fit_planes(depth)
    assert np.allclose(planes.inverse_depth, 1 / depth, rtol=1e-4)
    assert np.allclose(planes.slope_u, 0.002, atol=1e-5)
    assert np.allclose(planes.slope_v, -0.003, atol=1e-5)
    assert planes.supported.all() and not planes.edge.any()


def test_rounding_is_smoothed_away():
    depth = tilted()
    rounded = depth.astype(np.float16).astype(np.float32)
    planes = fit_planes(rounded)
    before = np.abs(1 / rounded - 1 / depth).mean()
    assert np.abs(planes.inverse_depth - 1 / depth).mean() < 0.6 * before
    assert np.abs(planes.slope_u - 0.002).max() < 2e-4


def test_a_step_is_an_edge_on_both_sides_and_does_not_bend_the_planes():
    depth = tilted()
    depth[:, 20:] *= 2
    planes = fit_planes(depth)
    assert planes.edge[:, 19:21].all()
    assert not planes.edge[:, :19].any() and not planes.edge[:, 21:].any()
    assert np.allclose(planes.slope_u[:, :20], 0.002, atol=2e-5)
    assert np.allclose(planes.slope_u[:, 20:], 0.001, atol=2e-5)


def test_sky_has_no_plane_and_borders_are_edges():
    depth = tilted()
    depth[:10] = np.inf
    planes = fit_planes(depth)
    assert (planes.inverse_depth[:10] == 0).all() and not planes.supported[:10].any()
    assert planes.edge[10].all() and planes.supported[10:].all()


def test_a_lonely_pixel_is_not_supported():
    depth = tilted()
    depth[15, 20] *= 0.5
    planes = fit_planes(depth)
    assert not planes.supported[15, 20]
    assert planes.supported.sum() == depth.size - 1
