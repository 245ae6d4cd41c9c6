from dataclasses import replace

import numpy as np
import pytest

from lyra.evaluation.depth_alignment import (
    DISTURBANCES,
    PER_CHUNK,
    AlignmentLimits,
    Disturbance,
    alignment_table,
    evaluate_flight,
    flights,
    missed_alignment,
)

FLIGHTS = {flight.name: flight for flight in flights((56, 96))}


@pytest.fixture(scope="module")
def rows():
    return evaluate_flight(FLIGHTS["street"], DISTURBANCES[:2])


def test_one_scale_over_five_chunks(rows):
    """Scale 0.7 to 1.4 and 5 % noise per frame: within 3 % of truth in the median, no step at chunk borders."""
    for row in rows:
        assert row.before > 0.1
        assert row.median < 0.03 and row.worst < 0.03
        assert row.border < 0.01 and row.inside < 0.02 and row.drift < 0.02


def test_twice_round_the_scale_comes_back():
    """Twelve chunks with turns, columns close by and new views."""
    row = evaluate_flight(FLIGHTS["round"], DISTURBANCES[:1])[0]
    assert row.median < 0.02 and row.worst < 0.03 and row.border < 0.01 and row.drift < 0.02


def test_table_names_every_flight(rows):
    lines = alignment_table(rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert lines[1].startswith("street") and "smooth noise" in lines[2]


def test_what_the_aligner_misses_is_told_and_what_is_not_asked_is_left(rows):
    assert missed_alignment(rows) == []
    (line,) = missed_alignment([replace(rows[0], median=0.04)])
    assert "street" in line and "4.00%, at most 3.00%" in line
    assert len(missed_alignment([replace(rows[1], border=0.02), replace(rows[0], border=float("nan"))])) == 2
    assert len(missed_alignment(rows, AlignmentLimits(0, 1))) == 2
    poor = replace(rows[0], median=0.5, asked=False)
    assert missed_alignment([poor]) == [] and "(scale)" in alignment_table([poor])
    assert [d.name for d in DISTURBANCES if not d.asked] == ["poor estimate"]


def test_flight_has_five_chunks_and_one_only_turns():
    cameras = FLIGHTS["street"].cameras
    assert len(cameras.w2c) == 1 + 5 * PER_CHUNK
    centres = cameras.c2w[:, :3, 3]
    assert np.ptp(centres[PER_CHUNK : 2 * PER_CHUNK + 1], axis=0).max() < 1e-9
    assert np.linalg.norm(np.diff(centres, axis=0), axis=1)[:PER_CHUNK].min() > 0


def test_disturbances_are_as_large_as_they_say():
    rng = np.random.default_rng(0)
    depth = np.full((120, 200), 4.0)
    depth[:10] = np.inf
    for disturbance in (Disturbance("a", (1, 1)), Disturbance("b", (1, 1), patch=0.2)):
        ratio = disturbance.applied(depth, rng)[10:] / 4
        assert ratio.std() == pytest.approx(0.05, rel=0.1)
    scaled = Disturbance("c", noise=0).applied(depth, rng)
    assert np.isinf(scaled[:10]).all() and 0.7 <= scaled[20, 20] / 4 <= 1.4
