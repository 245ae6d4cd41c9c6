"""State of a preview world: layers, witnesses and depth range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lyra.engines.preview.background import behind_things
from lyra.engines.preview.depth_fill import Witness
from lyra.engines.preview.ground import GroundPlane, find_ground_plane
from lyra.engines.preview.layers import Layer, PlacedLayer, pack, unpack
from lyra.engines.preview.mirror_extension import mirror_surfaces
from lyra.engines.preview.sharpen import sharpened
from lyra.engines.preview.surroundings import place_of, surround, without_things
from lyra.geometry.raster import Surface
from lyra.geometry.views import View
from lyra.memory import CoverageSettings, GeometryCache, GreedyCoverage

# What is made up behind and around the source image is hidden by what is seen up to this share farther.
PREPARED_WEIGHT = 0.87
# Of what is made up behind and around the source image.
PLACE_SEED = 20_240
# Remembered views, besides the source image, that are consulted as witnesses of a fill.
WITNESSES = 6


@dataclass(frozen=True)
class Space:
    """Depth range of the source image: the disparities `typical` and `far`, and the depth `near`."""

    typical: float
    far: float
    near: float
    ground: GroundPlane | None

    @classmethod
    def of(cls, view: View) -> Space:
        solid = view.depth[np.isfinite(view.depth)]
        if len(solid) == 0:
            return cls(1.0, 0.0, 1e-3, None)
        nearest, typical, far = np.percentile(solid, [1, 50, 80])
        return cls(1 / float(typical), 1 / float(far), 0.02 * float(nearest), find_ground_plane(view))


class PreviewScene:
    """Layers of one world in the order of creation, the source image first.

    Witnesses are past views with their depth, kept in a geometry memory and retrieved by coverage.
    """

    def __init__(self, view: View, device: str):
        self.device = device
        self.height, self.width = view.depth.shape
        depth = sharpened(view.depth)
        self.view = View.at_origin(view.image, depth, np.array(view.intrinsics, np.float64))
        self.disparity = (1 / depth).astype(np.float32)
        self.space = Space.of(self.view)
        self.seed_surface = Surface(
            view.image, self.disparity, np.eye(4), self.view.intrinsics, device=device
        )
        # Only worlds that were begun without surroundings have it.
        self.mirrored: list[Surface] = []
        self.placed: list[PlacedLayer] = []
        self.memory = GeometryCache(self.height, self.width, device=device)
        self.frames = 1

    def add_layer(self, layer: Layer, weight: float = 1.0) -> None:
        self.placed.append(PlacedLayer(layer, self.device, weight))

    def prepare(self, tick: Callable[[], None]) -> list[Layer]:
        """Adds what lies behind the things of the source image and around it, once and before the first chunk.

        It depends on the source image alone, so that all takes of a world agree on it. Returns the layers.
        """
        view, space = self.view, self.space
        place = place_of(view, self.disparity, space.ground)
        tick()
        background = behind_things(
            view.image,
            self.disparity,
            view.intrinsics,
            place.ground,
            space.ground,
            space.typical,
            space.far,
            PLACE_SEED,
            tick,
            self.device,
        )
        place = without_things(place, background.image, background.disparity, background.filled)
        layers = [background.layer] if background.layer else []
        layers += surround(place, background.filled, PLACE_SEED, tick, self.device)
        self._add_prepared(layers)
        return layers

    def _add_prepared(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            self.add_layer(layer, PREPARED_WEIGHT)

    def mirror(self) -> None:
        """Continues the source image by reflection, as worlds were begun before they had surroundings."""
        self.mirrored = mirror_surfaces(self.view, self.disparity, self.space.ground, self.device)

    def surfaces(self, w2c, intrinsics, height: int, width: int) -> list[Surface]:
        """The surfaces in view of a camera with frames of this size."""
        shown = [layer.surface for layer in self.placed if layer.in_view(w2c, intrinsics, height, width)]
        return [self.seed_surface, *shown]

    def add_witness(self, frame: int, depth: np.ndarray, w2c: np.ndarray, intrinsics: np.ndarray) -> None:
        """Remembers a view as a witness; `depth` (H, W) float16."""
        self.memory.add(frame, depth, w2c, intrinsics)

    def witnesses(self, w2c: np.ndarray, intrinsics: np.ndarray) -> list[Witness]:
        """The source image and the remembered views that together cover most of this view."""
        chosen = [Witness(self.disparity, np.eye(4), self.view.intrinsics)]
        if len(self.memory):
            coverage = GreedyCoverage(
                CoverageSettings(tolerance=0.0, relative_tolerance=0.05, exclude_newest=False)
            )
            for frame in self.memory.retrieve(w2c[None], intrinsics[None], WITNESSES, coverage):
                entry = self.memory[frame]
                seen = (1 / entry.depth.astype(np.float32)).astype(np.float32)
                chosen.append(Witness(seen, entry.w2c, entry.intrinsics))
        return chosen

    def packed(self, layers: list[Layer], first_witness: int, prepared: int) -> dict[str, np.ndarray]:
        """The additions of one chunk for `add_packed`: its layers, and the witnesses from `first_witness` on.

        The first `prepared` of its layers lie behind and around the source image.
        """
        entries = self.memory.entries[first_witness:]
        return pack(layers) | {
            "prepared": np.array(prepared, np.int64),
            "witness_frame": np.array([entry.frame_id for entry in entries], np.int64),
            "witness_depth": np.array([entry.depth for entry in entries], np.float16).reshape(
                -1, self.height, self.width
            ),
            "witness_w2c": np.array([entry.w2c for entry in entries], np.float64).reshape(-1, 4, 4),
            "witness_intrinsics": np.array([entry.intrinsics for entry in entries], np.float64).reshape(
                -1, 3, 3
            ),
        }

    def add_packed(self, state: Mapping[str, np.ndarray]) -> None:
        """Adds what `packed` gave of the next chunk. A first chunk without `prepared` is of an older world."""
        if self.frames == 1 and "prepared" not in state:
            self.mirror()
        layers, prepared = unpack(state), int(state.get("prepared", 0))
        self._add_prepared(layers[:prepared])
        for layer in layers[prepared:]:
            self.add_layer(layer)
        for frame, depth, w2c, intrinsics in zip(
            state["witness_frame"],
            state["witness_depth"],
            state["witness_w2c"],
            state["witness_intrinsics"],
            strict=True,
        ):
            self.add_witness(int(frame), depth, w2c, intrinsics)
