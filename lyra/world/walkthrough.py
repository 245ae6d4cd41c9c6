"""walkthrough.mp4 is joined from what each chunk holds encoded, so that a world that grows is not encoded anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lyra.common.files import is_link, whole_file
from lyra.common.progress import SILENT, Progress
from lyra.geometry.cameras import CHUNK_FRAMES
from lyra.media import video
from lyra.world.chunks import Chunk

STAGE = "video"


def encode_part(
    path: Path, index: int, frames: np.ndarray, first: np.ndarray, progress: Progress = SILENT
) -> None:
    """Encodes the frames (80, H, W, 3) of chunk `index` (from 1); before those of chunk 1 comes the world's `first`."""

    def images() -> Iterator[np.ndarray]:
        if index == 1:
            yield first
        for number, image in enumerate(frames):
            progress.update(STAGE, number / len(frames))
            yield image

    video.write_watchable(path, images(), *first.shape[:2])


def write(target: Path, chunks: Sequence[Chunk], first: np.ndarray, progress: Progress = SILENT) -> None:
    """Writes the walkthrough of some chunks, whole or not at all; `first` is frame 0 (H, W, 3).

    Chunks of older worlds hold nothing encoded: that is made up for. Raises CancelledError when the user asked to stop.
    """
    kinds = [_encoded_as(chunk) for chunk in chunks]
    missing = [chunk for chunk, kind in zip(chunks, kinds, strict=True) if kind is None]
    _encode(missing, first, progress.part(0, 0.5))
    if len({*filter(None, kinds), *map(_encoded_as, missing)}) > 1:
        # By another release of the encoder, with other settings of its own.
        _encode(chunks, first, progress.part(0.5, 0.9))

    def parts() -> Iterator[Path]:
        for number, chunk in enumerate(chunks):
            progress.update(STAGE, 0.9 + 0.1 * number / len(chunks))
            yield chunk.watchable

    with whole_file(target) as path:
        video.join_watchable(path, parts())


def _encoded_as(chunk: Chunk) -> bytes | None:
    if is_link(chunk.watchable) or not chunk.watchable.is_file():
        return None
    return video.encoded_as(chunk.watchable, CHUNK_FRAMES + (chunk.index == 1))


def _encode(chunks: Sequence[Chunk], first: np.ndarray, progress: Progress) -> None:
    for number, chunk in enumerate(chunks):
        share = progress.part(number / len(chunks), (number + 1) / len(chunks))
        with whole_file(chunk.watchable) as path:
            encode_part(path, chunk.index, chunk.load_frames(), first, share)
