"""Foreign names, values and errors quoted in one-line messages, cut to a length."""

from __future__ import annotations

from pathlib import Path

MESSAGE_LENGTH = 300
PLACE_LENGTH = 120
VALUE_LENGTH = 60


def one_line(text: object, limit: int = MESSAGE_LENGTH) -> str:
    """`text` on one line of at most `limit` characters, cut in the middle, with what cannot be printed escaped."""
    # Of what is much too long only the ends are looked at.
    whole = str(text)
    if len(whole) > 4 * limit:
        whole = f"{whole[: 2 * limit]}{whole[-limit:]}"
    flat = " ".join(whole.split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in flat)
    if len(line) <= limit:
        return line
    tail = (limit - 3) // 3
    return f"{line[: limit - 3 - tail]}...{line[len(line) - tail :]}"


def place(path: str | Path) -> str:
    """A path as it stands in a message; of a long one the end, which tells most."""
    line = one_line(path, 4096)
    return line if len(line) <= PLACE_LENGTH else f"...{line[3 - PLACE_LENGTH :]}"


def value(given: object) -> str:
    """A foreign value as it stands in a message. Nothing that it holds is written out beyond what is shown."""
    if isinstance(given, (str, bytes)):
        return one_line(repr(given[:VALUE_LENGTH]), VALUE_LENGTH)
    if isinstance(given, (list, tuple, dict)) and len(given) > 8:
        return f"a {type(given).__name__} of {len(given)}"
    if isinstance(given, int) and abs(given) >= 10**40:
        return "a number of more than 40 digits"
    return one_line(repr(given), VALUE_LENGTH)
