"""Texts for single pieces of a world. Plain data: the backend knows them by the frame at which they begin."""

from __future__ import annotations

from collections.abc import Iterable

from ..camera.trajectory import CHUNK_FRAMES


def first_frame(piece: int) -> int:
    """The frame of the whole world at which a piece, counted from 1, begins: 0, 81, 161, ..."""
    return 0 if piece == 1 else CHUNK_FRAMES * (piece - 1) + 1


def captions(entries: Iterable[tuple[int, str]], prompt: str, pieces: int) -> dict[str, str]:
    """Texts by the frame they begin at, for a world that will have so many pieces.

    `entries` are (piece, text): a text holds from its piece on, until the next one; `prompt` holds before the first.
    Of two for one piece the later one counts. Empty when there is no entry within the world.
    """
    texts = {piece: text for piece, text in entries if piece <= pieces}
    if not texts:
        return {}
    texts.setdefault(1, prompt)
    return {str(first_frame(piece)): texts[piece] for piece in sorted(texts)}
