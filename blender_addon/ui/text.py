"""Wrapped text in a panel."""

from __future__ import annotations

from ..service.wording import wrapped

# A panel draws no more of a text: it does so many times a second.
MOST_LINES = 40


def say(layout, text: str, icon: str = "NONE") -> None:
    """A text over several lines, the icon beside the first."""
    column = layout.column(align=True)
    for i, line in enumerate(wrapped(text)[:MOST_LINES]):
        column.label(text=line, icon=icon if i == 0 else "BLANK1" if icon != "NONE" else "NONE")
