"""The path under way in a world folder: what an interrupted run goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.files import inside, whole_file
from lyra.common.quoting import one_line, place
from lyra.geometry.cameras import Trajectory
from lyra.world.chunks import Chunk, read_json
from lyra.world.files import remove_file
from lyra.world.options import DEFAULT_OPTIONS, EngineOptions

FACTS, CAMERAS = "pending.json", "pending.npz"


@dataclass(frozen=True)
class Plan:
    """A path under way: the whole prepared `trajectory` (1 + 80k), from chunk `first_chunk` (from 0) on.

    `options` are what the user chose of the engine. `job` is the id of the service's job that the chunks are for.
    `parent` is the id of the chunk that the path goes on from, 0 for the first frame; None in plans of older versions.
    """

    trajectory: Trajectory
    first_chunk: int
    captions: dict[int, str]
    seed: int
    options: EngineOptions = DEFAULT_OPTIONS
    job: str | None = None
    parent: int | None = None

    def follows(self, line: Sequence[Chunk]) -> bool:
        """Whether the path goes on from a chunk of this line, and from its place."""
        if not 0 <= self.first_chunk <= len(line) <= self.first_chunk + self.trajectory.chunks:
            return False
        before = line[self.first_chunk - 1].id if self.first_chunk else 0
        return self.parent in (None, before)

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
            "job": self.job,
        }
        if self.parent is not None:
            facts["parent"] = self.parent
        with whole_file(folder / FACTS) as path:
            path.write_text(json.dumps(facts, indent=2), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Plan | None:
        """The path that lies in the world `folder`, or None. Raises InvalidInputError for a damaged one."""
        path = inside(folder, FACTS)
        if not path.exists():
            return None
        data = read_json(path)
        try:
            trajectory = Trajectory.load(inside(folder, CAMERAS), fitted=True)
        except InvalidInputError as error:
            raise InvalidInputError(
                one_line(f"{one_line(error, 200)} Or delete {FACTS} beside it and extend the world again.")
            ) from error
        try:
            captions = {int(key): str(text) for key, text in data["captions"].items()}
            # Older plans have neither options nor a job.
            options = EngineOptions(**data.get("options", {})).checked()
            job = None if data.get("job") is None else str(data["job"])
            parent = None if data.get("parent") is None else int(data["parent"])
            return cls(
                trajectory, int(data["first_chunk"]), captions, int(data["seed"]), options, job, parent
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(
                f"{place(path)} is damaged ({one_line(error, 80)}); delete it and extend the world again."
            ) from error

    @staticmethod
    def clear(folder: Path) -> None:
        """Forgets the path that lies in the world `folder`, if one does."""
        remove_file(folder, FACTS)
        remove_file(folder, CAMERAS)

    @classmethod
    def sweep(cls, folder: Path) -> None:
        """Removes cameras without facts, which a run left that was killed while it wrote or cleared its plan."""
        if not os.path.lexists(folder / FACTS):
            remove_file(folder, CAMERAS)
