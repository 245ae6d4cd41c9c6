"""All layouts by name, with their sampling weights."""

from __future__ import annotations

from collections.abc import Callable

from lyra.synthetic import layouts_city as city
from lyra.synthetic import layouts_indoor as indoor
from lyra.synthetic import layouts_mixed as mixed
from lyra.synthetic import layouts_nature as nature
from lyra.synthetic import layouts_objects as objects
from lyra.synthetic import layouts_old as old
from lyra.synthetic import layouts_open as wide
from lyra.synthetic import layouts_places as places
from lyra.synthetic.scene import Scene

LAYOUTS: dict[str, tuple[Callable[[Scene], None], float]] = {
    "room": (indoor.room, 2.0),
    "corridor": (indoor.corridor, 1.0),
    "hall": (indoor.hall, 2.0),
    "cave": (indoor.cave, 0.7),
    "street": (city.street, 3.0),
    "square": (city.square, 1.5),
    "gate": (places.gate, 1.0),
    "bridge": (places.bridge, 1.5),
    "terrace": (places.terrace, 1.5),
    "castle": (old.castle, 1.5),
    "ruins": (old.ruins, 1.5),
    "harbour": (places.harbour, 1.2),
    "rooftops": (city.rooftops, 1.2),
    "valley": (nature.valley, 3.0),
    "object": (objects.object_, 3.0),
    "strange": (objects.strange, 1.5),
    "coast": (wide.coast, 1.5),
    "canyon": (wide.canyon, 1.0),
    "desert": (wide.desert, 1.0),
    "cloud sea": (wide.cloud_sea, 1.0),
    "path": (wide.path, 1.5),
    "stairs": (mixed.stairs, 1.2),
    "pavilion": (mixed.pavilion, 1.2),
    "village": (mixed.village, 1.5),
    "hangar": (mixed.hangar, 1.2),
    "forest": (nature.forest, 2.0),
}
KINDS = tuple(LAYOUTS)
