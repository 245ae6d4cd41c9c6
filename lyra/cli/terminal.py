"""What the commands show in a terminal: a progress bar that Ctrl-C stops between two pieces, and notes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from tqdm import tqdm

from lyra.common.progress import Progress


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr; Ctrl-C or SIGTERM cancels at the next update instead of tearing the work apart.

    A second one does not wait for the update, which may be minutes away where a large network computes.
    """
    stopped = False

    def stop(number, frame):
        nonlocal stopped
        if stopped:
            raise KeyboardInterrupt
        stopped = True
        # Not through Python's stream, which the signal may have caught in the middle of a line; there may be none.
        with contextlib.suppress(AttributeError, OSError):
            os.write(
                sys.stderr.fileno(), b"\nstopping after the piece under way; Ctrl-C again stops at once\n"
            )

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    bar = tqdm(
        total=100,
        bar_format="{desc:<10} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
        leave=True,
        # A log need not have every step.
        mininterval=0.1 if sys.stderr.isatty() else 10,
    )

    def show(stage, fraction, frame):
        bar.set_description_str(stage, refresh=False)
        bar.update(max(100 * fraction - bar.n, 0))

    try:
        yield Progress(show, lambda: stopped)
    finally:
        bar.close()
        for number, handler in previous.items():
            signal.signal(number, handler)


def note(text: str) -> None:
    """Tells the user at once, above a bar that is shown."""
    tqdm.write(f"note: {text}", file=sys.stderr)
