"""All layouts by name, with how often each is drawn."""

from __future__ import annotations

from collections.abc import Callable

from lyra.training.synthetic import layouts_city as city
from lyra.training.synthetic import layouts_indoor as indoor
from lyra.training.synthetic import layouts_nature as nature
from lyra.training.synthetic.scene import Scene

LAYOUTS: dict[str, tuple[Callable[[Scene], None], float]] = {
    "room": (indoor.room, 2.0),
    "corridor": (indoor.corridor, 1.0),
    "hall": (indoor.hall, 2.0),
    "cave": (indoor.cave, 0.7),
    "street": (city.street, 3.0),
    "valley": (nature.valley, 3.0),
    "forest": (nature.forest, 2.0),
}
KINDS = tuple(LAYOUTS)
