"""Video encoding and decoding: lossless FFV1 for storage, H.264 for viewing."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from lyra.common.errors import InvalidInputError
from lyra.common.quoting import one_line, place

FRAMES_PER_SECOND = 16  # what the published model is trained on
_PLAYED_FROM_THE_START = {"movflags": "+faststart"}
# Rec. 709 in the codes of ITU-T H.273: primaries, transfer and matrix. A player guesses what is left out.
_REC_709 = 1


def write_lossless(path: Path, frames: np.ndarray) -> None:
    """Writes (N, H, W, 3) uint8 frames as FFV1 in Matroska, bit by bit recoverable."""
    with av.open(_plain(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=FRAMES_PER_SECOND)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        stream.codec_context.options = {"level": "3", "slices": "4", "context": "0"}
        stream.codec_context.thread_count = 0
        _encode(container, stream, frames, "bgr0")


def read_lossless(path: Path) -> np.ndarray:
    """All frames of a file from `write_lossless` (N, H, W, 3) uint8."""
    try:
        with _opened(path) as container:
            container.streams.video[0].thread_type = "AUTO"
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise InvalidInputError(
            f"{place(path)} cannot be read as video: {one_line(error, 80)}. Revert the world before this chunk."
        ) from error


def write_watchable(path: Path, frames: Iterable[np.ndarray], height: int, width: int) -> None:
    """Writes (H, W, 3) uint8 sRGB frames as H.264 that every player and Blender read."""
    with av.open(_plain(path), "w", format="mp4", options=_PLAYED_FROM_THE_START) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p"
        # Short groups of pictures keep scrubbing in Blender quick; files without B-frames can be joined.
        stream.codec_context.options = {"crf": "16", "preset": "veryfast", "g": "16", "bf": "0"}
        _say_colors(stream.codec_context)
        _encode(container, stream, frames, "yuv420p")


def _say_colors(context: av.VideoCodecContext) -> None:
    """Has the encoder write its colours into the stream; the container takes them from there."""
    context.color_primaries = context.color_trc = context.colorspace = _REC_709
    context.color_range = av.video.reformatter.ColorRange.MPEG


def _says_colors(context: av.VideoCodecContext) -> bool:
    """Whether a player need not guess at any part of the colours."""
    said = (context.color_primaries, context.color_trc, context.colorspace)
    return said == (_REC_709,) * 3 and context.color_range == av.video.reformatter.ColorRange.MPEG


def _opened(path: Path) -> av.container.InputContainer:
    """A file to read; texts in it that are no UTF-8 do not matter here."""
    return av.open(_plain(path), metadata_errors="replace")


def _plain(path: Path) -> str:
    """FFmpeg takes what stands before a colon for a protocol, in names that begin with neither slash nor drive."""
    return str(path.absolute())


def encoded_as(path: Path, frames: int) -> bytes | None:
    """What players need to know of a file from `write_watchable`; those that agree in it can be joined.

    None where there is no such file, not so many frames in it, or its colours are not said, as in those of older
    releases.
    """
    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:
                return None
            # Counted, as a file that is cut off says at its start that it has them all.
            found = sum(bool(packet.size) and not packet.is_corrupt for packet in container.demux(stream))
            whole = found == frames and _says_colors(stream.codec_context)
            return bytes(stream.codec_context.extradata or b"") if whole else None
    except (av.error.FFmpegError, IndexError):
        return None


def frame_count(path: Path) -> int:
    """How many frames a file from `join_watchable` says it has; 0 where it cannot be read."""
    try:
        with _opened(path) as container:
            return container.streams.video[0].frames
    except (av.error.FFmpegError, IndexError):
        return 0


def join_watchable(path: Path, parts: Iterable[Path]) -> None:
    """Puts files from `write_watchable` behind each other without encoding them again; `encoded_as` is the same."""
    stream, number = None, 0
    with av.open(_plain(path), "w", format="mp4", options=_PLAYED_FROM_THE_START) as container:
        for part in parts:
            with _opened(part) as source:
                given = source.streams.video[0]
                if stream is None:
                    stream = container.add_stream_from_template(given)
                # The last packet is empty and only says that there are no more.
                for packet in filter(lambda packet: packet.size, source.demux(given)):
                    packet.stream, packet.time_base = stream, Fraction(1, FRAMES_PER_SECOND)
                    packet.pts = packet.dts = number
                    packet.duration = 1
                    container.mux(packet)
                    number += 1


def _encode(container: Any, stream: Any, frames: Iterable[np.ndarray], pixel_format: str) -> None:
    for image in frames:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        if pixel_format == "yuv420p":
            frame = frame.reformat(format=pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
        else:
            frame = frame.reformat(format=pixel_format)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
