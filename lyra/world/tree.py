"""The tree of a world's chunks: each names the chunk it follows, and the first ones follow the first frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.world.chunks import Chunk
from lyra.world.files import numbered_folders
from lyra.world.settings import Head

# In place of a chunk's id: the world's first frame alone.
FIRST_FRAME = 0
LAST_ID = 9999


@dataclass(frozen=True)
class ChunkTree:
    """`chunks`: by id, ascending, those that lead back to the first frame. A chunk's id is larger than its parent's.

    `strays` are folders of chunks that follow one that is gone; they belong to no line.
    """

    chunks: dict[int, Chunk]
    strays: tuple[Path, ...] = ()

    @classmethod
    def read(cls, folder: Path, size: tuple[int, int]) -> ChunkTree:
        """That of the world `folder` with frames of `size`, (height, width).

        Raises InvalidInputError for a damaged chunk and for a link in the place of one.
        """
        chunks: dict[int, Chunk] = {}
        strays = []
        for path in numbered_folders(folder):
            before = int(path.name) - 1
            try:
                chunk = Chunk.open(path, size)
            except InvalidInputError:
                # In a plain sequence it would lie behind a gap.
                if before != FIRST_FRAME and before not in chunks:
                    strays.append(path)
                    continue
                raise
            if chunk.parent == FIRST_FRAME or chunk.parent in chunks:
                index = 1 + (chunks[chunk.parent].index if chunk.parent else 0)
                chunks[chunk.id] = chunk.at(index)
            else:
                strays.append(path)
        return cls(chunks, tuple(strays))

    @property
    def newest(self) -> int:
        """The largest id; 0 where there is no chunk."""
        return max(self.chunks, default=FIRST_FRAME)

    def head(self, recorded: Head | None) -> int:
        """Id of the chunk at which the world ends: the recorded one, unless it is gone or a newer one was made since.

        So a chunk that is added becomes the head by being there.
        """
        if recorded is None or self.newest > recorded.newest:
            return self.newest
        return recorded.chunk if recorded.chunk in (FIRST_FRAME, *self.chunks) else self.newest

    def line(self, chunk_id: int) -> list[Chunk]:
        """The chunks from the first frame to this one. Raises InvalidInputError where there is no such chunk."""
        if chunk_id != FIRST_FRAME and chunk_id not in self.chunks:
            known = f"0 to {self.newest}" if self.chunks else "0, the first frame alone"
            raise InvalidInputError(
                f"The world has no take {chunk_id}; `lyra takes WORLD` lists them ({known})."
            )
        line = []
        while chunk_id != FIRST_FRAME:
            line.append(self.chunks[chunk_id])
            chunk_id = line[-1].parent
        return line[::-1]

    def free_id(self, recorded: Head | None) -> int:
        """An id for the next chunk, larger than every one before, those of removed chunks included."""
        taken: Iterable[int] = (*self.chunks, *(int(path.name) for path in self.strays))
        free = 1 + max(taken, default=0)
        free = free if recorded is None else max(free, recorded.newest + 1)
        if free > LAST_ID:
            raise InvalidInputError(
                f"The world has used all {LAST_ID} chunk ids; go on in a copy of its head's line."
            )
        return free
