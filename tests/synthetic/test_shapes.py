"""Each solid's ray intersection against its twin: point-in-solid tests along the ray."""

import numpy as np
import pytest

from lyra.synthetic import shape_kernels as shapes
from lyra.synthetic.render import Stage
from lyra.synthetic.scene import Scene, turn

HALF = np.array([1.4, 0.8, 1.1])
CENTRE = np.array([0.3, 4.0, 0.5])
STEP = 0.002


def _radius(p):
    return np.hypot(p[..., 0], p[..., 1])


def _ball(p):
    return (p**2).sum(-1) < 1


def _box(p):
    return (np.abs(p) < 1).all(-1)


def _portal(p, width=0.5, sill=-0.6, spring=0.2, rise=0.5):
    x, z = p[..., 0], p[..., 2]
    straight = (np.abs(x) < width) & (z > sill) & (z < spring)
    head = ((x / width) ** 2 + ((z - spring) / rise) ** 2 < 1) & (z >= spring)
    return _box(p) & ~(straight | head)


def _roof(p, ridge=0.6):
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    high = (z + 1) / 2
    return _box(p) & (np.abs(x) < 1 - high) & (np.abs(y) < 1 - (1 - ridge) * high)


def _torus(p, ratio=0.3):
    major = 1 / (1 + ratio)
    ring = np.hypot(p[..., 0], p[..., 2]) - major
    return np.hypot(ring, p[..., 1]) < ratio * major


TWINS = {
    "box": (shapes.BOX, (), _box),
    "ellipsoid": (shapes.ELLIPSOID, (), _ball),
    "cylinder": (shapes.FRUSTUM, (1.0,), lambda p: (_radius(p) < 1) & (np.abs(p[..., 2]) < 1)),
    "cone": (
        shapes.FRUSTUM,
        (0.1,),
        lambda p: (_radius(p) < 0.55 - 0.45 * p[..., 2]) & (np.abs(p[..., 2]) < 1),
    ),
    "funnel": (
        shapes.FRUSTUM,
        (1.5,),
        lambda p: (_radius(p) < 1.25 + 0.25 * p[..., 2]) & (np.abs(p[..., 2]) < 1),
    ),
    "roof": (shapes.ROOF, (0.6,), _roof),
    "portal": (shapes.PORTAL, (0.5, -0.6, 0.2, 0.5), _portal),
    "ring": (
        shapes.RING,
        (0.7, -0.3),
        lambda p: (_radius(p) < 1) & (np.abs(p[..., 2]) < 1) & ~((_radius(p) < 0.7) & (p[..., 2] > -0.3)),
    ),
    "dome": (shapes.DOME, (0.8, -0.2), lambda p: _ball(p) & (p[..., 2] > -0.2) & ~_ball(p / 0.8)),
    "torus": (shapes.TORUS, (0.3,), _torus),
}


@pytest.mark.parametrize("name", TWINS)
def test_rays_meet_solids_where_their_inside_begins(name):
    kind, shape, inside = TWINS[name]
    angles = (0.4, 0.2, -0.3)
    scene = Scene("test", np.random.default_rng(0))
    scene.solid(kind, tuple(CENTRE), tuple(HALF), scene.material(cell=(1, 1)), *angles, shape=shape)
    rng = np.random.default_rng(1)
    origins = rng.normal((0, -1, 0.5), 0.4, (12, 3))
    rays = np.concatenate([rng.normal(0, 0.18, (40, 1)), np.ones((40, 1)), rng.normal(0, 0.18, (40, 1))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    found = Stage([scene]).clearance(0, origins, rays)

    t = np.arange(0, 9, STEP)
    points = origins[:, None, None] + t[:, None] * rays[:, None]
    local = (points - CENTRE) @ turn(*angles) / HALF
    solid = inside(local)
    expected = np.where(solid.any(-1), t[solid.argmax(-1)], np.inf)

    hit = np.isfinite(expected)
    assert hit.sum() > 50
    # A grazing ray may be counted differently by the two; few do.
    agree = (found < 100) == hit
    assert agree.mean() > 0.97
    both = hit & (found < 100)
    assert np.median(np.abs(found - expected)[both]) < 2 * STEP
    assert (np.abs(found - expected)[both] < 0.03).mean() > 0.97


def test_foliage_lets_some_rays_through():
    def hits(cut):
        scene = Scene("test", np.random.default_rng(0))
        scene.ball((0, 4, 0), 1.0, scene.material(cell=(1, 1)), cut=cut, cut_size=0.1, cut_share=0.5)
        side = np.linspace(-0.15, 0.15, 20)
        rays = np.stack(np.broadcast_arrays(side[:, None], 1.0, side), -1).reshape(-1, 3)
        return (Stage([scene]).clearance(0, np.zeros((1, 3)), rays) < 100).mean()

    assert hits(shapes.WHOLE) == 1
    assert 0.3 < hits(shapes.FOLIAGE) < 0.98
