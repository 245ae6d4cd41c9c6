"""Texts for the user: stage of a job, time left, sizes in bytes, wrapped lines. Needs no Blender."""

from __future__ import annotations

import math

from .resources import Job

# Characters that fit into a line of the sidebar at its usual width.
WIDTH = 34
_STAGES = {
    "depth": "Estimating Depth",
    "frames": "Making Frames",
    "splats": "Making Splats",
    "mesh": "Making the Mesh",
    "video": "Writing the Video",
    "export": "Packing",
    "download": "Downloading",
    "convert": "Converting Weights",
    "verify": "Checking Weights",
}
_STATES = {
    "queued": "Waiting in the Queue",
    "cancelling": "Cancelling",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "interrupted": "Interrupted",
    "done": "Done",
}


def stage(job: Job) -> str:
    """What a job does now, in title case."""
    if job.state != "running":
        return _STATES[job.state]
    return _STAGES.get(job.stage, (job.stage or "starting").replace("_", " ").title())


def time_left(seconds: float | None) -> str:
    """`about 2 min left`, or nothing while it is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"about {max(1, math.ceil(seconds))} s left"
    return f"about {math.ceil(seconds / 60)} min left"


def wrapped(text: str, width: int = WIDTH) -> list[str]:
    """A text in lines of at most `width` characters; a longer word is broken."""
    lines, line = [], ""
    for word in text.split():
        while len(word) > width:
            head, word = word[: width - len(line) - bool(line)], word[width - len(line) - bool(line) :]
            lines.append(f"{line} {head}".strip())
            line = ""
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line] if line else lines


def byte_size(byte_count: int) -> str:
    """Bytes in decimal units: `0.3 MB`, `340 MB`, `98 GB`."""
    if byte_count < 1e7:
        return f"{byte_count / 1e6:.1f} MB"
    return f"{byte_count / 1e9:.0f} GB" if byte_count >= 1e9 else f"{byte_count / 1e6:.0f} MB"
