"""The path under way in a world folder: what an interrupted run goes on with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import whole_file
from lyra.geometry.cameras import Trajectory
from lyra.world.chunks import read_json
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions

FACTS, CAMERAS = "pending.json", "pending.npz"


@dataclass(frozen=True)
class Plan:
    """A path under way: the whole prepared `trajectory` (1 + 80k), from chunk `first_chunk` (from 0) on.

    `options` are what the user chose of the engine.
    """

    trajectory: Trajectory
    first_chunk: int
    captions: dict[int, str]
    seed: int
    options: EngineOptions = DEFAULT_OPTIONS

    def save(self, folder: Path) -> None:
        """Writes it into the world `folder`, in place of one that is there, the cameras first."""
        # Cameras of one path must not stand beside the facts of another when this is stopped in the middle.
        self.clear(folder)
        with whole_file(folder / CAMERAS) as path:
            self.trajectory.save(path)
        facts = {
            "first_chunk": self.first_chunk,
            "seed": self.seed,
            "captions": {str(key): text for key, text in self.captions.items()},
            "options": asdict(self.options),
        }
        with whole_file(folder / FACTS) as path:
            path.write_text(json.dumps(facts, indent=2), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Plan | None:
        """The path that lies in the world `folder`, or None. Raises InvalidInputError for a damaged one."""
        path = folder / FACTS
        if not path.exists():
            return None
        data = read_json(path)
        try:
            captions = {int(key): str(text) for key, text in data["captions"].items()}
            trajectory = Trajectory.load(folder / CAMERAS)
            # Older plans have none.
            options = EngineOptions(**data.get("options", {})).checked()
            return cls(trajectory, int(data["first_chunk"]), captions, int(data["seed"]), options)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(
                f"{path} is damaged ({error}); delete it and extend the world again."
            ) from error

    @staticmethod
    def clear(folder: Path) -> None:
        """Forgets the path that lies in the world `folder`, if one does."""
        (folder / FACTS).unlink(missing_ok=True)
        (folder / CAMERAS).unlink(missing_ok=True)
