"""Prompts for single chunks as the captions of the API: texts by the frame from which they hold."""

from __future__ import annotations

from collections.abc import Iterable

from ..camera.trajectory import CHUNK_FRAMES


def first_frame(chunk: int) -> int:
    """The frame of the whole world at which a chunk, counted from 1, begins: 0, 81, 161, ..."""
    return 0 if chunk == 1 else CHUNK_FRAMES * (chunk - 1) + 1


def captions(entries: Iterable[tuple[int, str]], prompt: str, chunks: int) -> dict[str, str]:
    """Texts by the frame they begin at, for a world that will have so many chunks.

    `entries` are (chunk, text): a text holds from its chunk on, until the next one; `prompt` holds before the first.
    Of two for one chunk the later one counts. Empty when there is no entry within the world.
    """
    texts = {chunk: text for chunk, text in entries if chunk <= chunks}
    if not texts:
        return {}
    texts.setdefault(1, prompt)
    return {str(first_frame(chunk)): texts[chunk] for chunk in sorted(texts)}
