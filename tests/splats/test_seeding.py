import numpy as np
import torch

from lyra.geometry.planes import fit_planes
from lyra.geometry.views import View
from lyra.splats.seeding import FOOTPRINT, SkyShell, seed_gaussians, settled_inverse_depth
from tests.splats.scenes import make_views
from tests.splats.twin import project

HEIGHT, WIDTH = 60, 104
SHELL = SkyShell(np.array([0.3, 0.0, 0.1]), 150.0)
EVERYTHING = np.ones((HEIGHT, WIDTH), bool)


def test_every_gaussian_covers_its_own_pixel():
    view = make_views(3, HEIGHT, WIDTH)[2]
    planes = fit_planes(view.depth)
    cloud = seed_gaussians(view, planes, SHELL, EVERYTHING)
    assert len(cloud) == HEIGHT * WIDTH
    at, _, cov = project(cloud, view.w2c, view.intrinsics, HEIGHT, WIDTH, low_pass=0.0)
    fraction = (at - torch.floor(at)).numpy()
    assert np.abs(fraction - 0.5).max() < 0.02
    # Where the lean is not limited the footprint in its own view is a circle; the thin axis adds a little.
    width = torch.linalg.eigvalsh(cov).sqrt().numpy()
    assert np.quantile(np.abs(width - FOOTPRINT), 0.8) < 0.05 * FOOTPRINT
    on_edges = planes.edge.ravel()
    assert np.median(width[on_edges]) < 0.6 * FOOTPRINT < np.median(width[~on_edges])


def test_rotations_are_unit_and_the_thin_axis_is_the_normal():
    view = make_views(2, HEIGHT, WIDTH)[0]
    cloud = seed_gaussians(view, fit_planes(view.depth), SHELL, EVERYTHING)
    assert np.allclose(np.linalg.norm(cloud.rotations, axis=1), 1, atol=1e-5)
    assert (cloud.log_scales.argmin(1) == 2).all()
    floor = np.abs(cloud.means[:, 1] - 1.5) < 1e-2
    w, x, y, z = cloud.rotations[floor].T
    normal_y = 2 * (y * z - w * x)
    assert floor.sum() > 500
    assert np.median(np.abs(normal_y)) > 0.99


def test_sky_lies_on_the_shell():
    view = make_views(2, HEIGHT, WIDTH)[1]
    sky = np.isinf(view.depth)
    cloud = seed_gaussians(view, fit_planes(view.depth), SHELL, sky)
    assert len(cloud) == sky.sum() > 0
    distances = np.linalg.norm(cloud.means - SHELL.center, axis=1)
    assert np.allclose(distances, SHELL.radius, rtol=1e-5)


def test_flying_pixels_go_to_a_neighbouring_surface():
    depth = np.full((20, 30), 2.0, np.float32)
    depth[:, 15:] = 6.0
    depth[:, 15] = 3.1
    inverse = settled_inverse_depth(fit_planes(depth))
    assert np.allclose(inverse[:, 15], 1 / 6, atol=1e-3)


def test_something_thin_keeps_its_depth():
    depth = np.full((20, 30), 6.0, np.float32)
    depth[:, 15] = 3.0
    planes = fit_planes(depth)
    assert np.allclose(settled_inverse_depth(planes)[:, 15], 1 / 3)
    assert np.allclose(planes.slope_u, 0, atol=1e-6)


def test_spacing_widens_the_gaussians():
    view = make_views(2, HEIGHT, WIDTH)[0]
    planes = fit_planes(view.depth)
    one = np.zeros_like(EVERYTHING)
    one[40, 50] = True
    fine, coarse = (seed_gaussians(view, planes, SHELL, one, spacing) for spacing in (1, 3))
    assert np.allclose(coarse.log_scales - fine.log_scales, np.log(3), atol=1e-5)


def test_no_wanted_pixels_give_an_empty_cloud():
    view: View = make_views(1, HEIGHT, WIDTH)[0]
    cloud = seed_gaussians(view, fit_planes(view.depth), SHELL, ~EVERYTHING)
    assert len(cloud) == 0 and cloud.sh.shape == (0, 1, 3)
