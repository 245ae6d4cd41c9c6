"""All layouts by name, with how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable

from lyra.training.synthetic import layouts_city as city
from lyra.training.synthetic import layouts_indoor as indoor
from lyra.training.synthetic import layouts_nature as nature
from lyra.training.synthetic import layouts_places as places
from lyra.training.synthetic.scene import Scene

LAYOUTS: dict[str, tuple[Callable[[Scene], None], float]] = {
    "room": (indoor.room, 2.0),
    "corridor": (indoor.corridor, 1.0),
    "hall": (indoor.hall, 2.0),
    "cave": (indoor.cave, 0.7),
    "street": (city.street, 3.0),
    "square": (places.square, 1.5),
    "gate": (places.gate, 1.0),
    "bridge": (places.bridge, 1.5),
    "terrace": (places.terrace, 1.5),
    "castle": (places.castle, 1.5),
    "ruins": (places.ruins, 1.5),
    "harbour": (places.harbour, 1.2),
    "rooftops": (places.rooftops, 1.2),
    "valley": (nature.valley, 3.0),
    "forest": (nature.forest, 2.0),
}
KINDS = tuple(LAYOUTS)
