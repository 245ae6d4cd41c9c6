"""Topology of triangle meshes as Blender stores it: without duplicate faces, and with every edge once. NumPy only.

Blender's own function takes one call that blocks its interface. Here the faces or edges are sorted in groups that
share no key; the functions are generators that pause after each group.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np

# About so many keys make a group: some milliseconds of sorting.
GROUP = 60_000


def without_duplicates(faces: np.ndarray) -> Generator[None, None, np.ndarray]:
    """The triangles (F, 3) without duplicates: those with the same three vertices as an earlier one, in any order.

    Thin walls have such pairs, and Blender calls a mesh with them invalid.
    """
    corners = np.sort(faces, axis=1)
    keys = _pairs(corners[:, 0], corners[:, 2])
    again = np.zeros(len(faces), bool)
    yield
    for group in _groups(keys):
        order = group[np.lexsort((corners[group, 1], keys[group]))]
        ordered = corners[order]
        again[order[1:]] = (ordered[1:] == ordered[:-1]).all(1)
        yield
    return faces[~again]


def edges(faces: np.ndarray) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
    """Edges (E, 2) int32 of triangles (F, 3), and for each corner the edge that leads on from it, (3 F,) int32."""
    here, there = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    keys = _pairs(np.minimum(here, there), np.maximum(here, there))
    at_corner = np.empty(len(keys), np.int32)
    found = [np.empty(0, np.int64)]
    count = 0
    yield
    for group in _groups(keys):
        unique, inverse = np.unique(keys[group], return_inverse=True)
        at_corner[group] = count + inverse
        found.append(unique)
        count += len(unique)
        yield
    joined = np.concatenate(found)
    return np.stack([joined >> 32, joined & 0xFFFFFFFF], 1).astype(np.int32), at_corner


def _groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Indices into keys (M,), group by group: equal keys are in one group, and later groups have larger keys."""
    count = -(-len(keys) // GROUP)
    sample = np.sort(keys[:: max(1, count)])
    borders = np.unique(sample[np.arange(1, count) * len(sample) // max(1, count)])
    number = np.searchsorted(borders, keys, side="right")
    for i in range(len(borders) + 1 if count else 0):
        yield np.flatnonzero(number == i)


def _pairs(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Two vertex numbers in one, (M,) int64, ordered by the first."""
    return low.astype(np.int64) << 32 | high
