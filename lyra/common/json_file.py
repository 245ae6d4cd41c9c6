"""Untrusted JSON files: bounded, valid UTF-8, finite numbers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from lyra.common.errors import InvalidInputError
from lyra.common.files import open_given
from lyra.common.quoting import one_line, place, value

MB = 1_000_000
MAX_DEPTH = 64
MAX_DIGITS = 40
AGAIN = "save it again as JSON in UTF-8"
FAULT = "is damaged"
# Half of a pair of code units, the only way for JSON in UTF-8 to hold what is no character.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(path: str | Path, *, limit: int = 4 * MB, advice: str = AGAIN, fault: str = FAULT) -> object:
    """What a JSON file holds. Raises FileNotFoundError, and InvalidInputError as `parse_json`."""
    name = place(path)
    try:
        with open_given(path)[0] as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        why = one_line(getattr(error, "strerror", None) or error, 80)
        raise InvalidInputError(one_line(f"{name} cannot be read ({why}); {advice}.")) from error
    return parse_json(data, name, limit=limit, advice=advice, fault=fault)


def read_object(path: str | Path, *, limit: int = 4 * MB, advice: str = AGAIN, fault: str = FAULT) -> dict:
    """The object in a JSON file; otherwise as `read_json`."""
    data = read_json(path, limit=limit, advice=advice, fault=fault)
    if not isinstance(data, dict):
        raise InvalidInputError(
            one_line(f"{place(path)} {fault} ({value(data)} where an object is needed); {advice}.")
        )
    return data


def parse_json(
    data: bytes | str, name: str, *, limit: int = 4 * MB, advice: str = AGAIN, fault: str = FAULT
) -> Any:
    """What JSON text holds. `name` stands for it in messages, `fault` is what is
    wrong with it, `advice` the next step.

    Raises InvalidInputError, one line, for more than `limit` bytes, other than UTF-8 (a mark before it is skipped),
    numbers that are not finite or have more than 40 digits, and nesting of more than 64.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        if len(raw) > limit:
            raise ValueError(f"more than {limit / MB:g} MB, which is all that is read")
        parsed = json.loads(
            raw.decode("utf-8-sig"), parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
        _check_depth(parsed, raw)
        _check_texts(parsed, raw)
    except RecursionError as error:
        raise InvalidInputError(
            one_line(f"{name} {fault} (nested more than {MAX_DEPTH} deep); {advice}.")
        ) from error
    except ValueError as error:
        raise InvalidInputError(one_line(f"{name} {fault} ({_reason(error)}); {advice}.")) from error
    return parsed


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"no UTF-8 at byte {error.start}"
    return one_line(error, 80)


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{one_line(text, 30)} is too large a number")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _check_depth(parsed: object, raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    layer, depth = [parsed], 0
    while layer:
        nested = [item for item in layer if isinstance(item, (dict, list))]
        depth += bool(nested)
        if depth > MAX_DEPTH:
            raise RecursionError
        layer = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]


def _check_texts(parsed: object, raw: bytes) -> None:
    """Raises ValueError for half a character written as an escape; written out it is no UTF-8 anyway."""
    if not _SURROGATE.search(raw):
        return
    stack = [parsed]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise ValueError("a text that is no Unicode") from error
        elif isinstance(item, dict):
            stack += [*item, *item.values()]
        elif isinstance(item, list):
            stack += item
