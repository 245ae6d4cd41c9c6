"""Arrays of numbers in JSON: read by NumPy in one step, with one error that says where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import numpy as np
from pydantic import PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError


def numbers(given: object) -> np.ndarray:
    """A float64 array of nested lists of numbers, of whatever shape; one that is empty, too.

    Raises ValidationError about the first entry that is no number, or leaves the others' shape.
    """
    shape: list[int] = []
    flat: Sequence = [given]
    while set(map(type, flat)) == {list}:
        lengths = list(map(len, flat))
        if len(set(lengths)) > 1:
            odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
            raise _at(
                odd, shape, flat, f"it has {lengths[odd]} entries and others {lengths[0]}: one is no number"
            )
        shape.append(lengths[0])
        flat = list(chain.from_iterable(flat))
    if not shape:
        raise _at(0, shape, flat, "an array of numbers is needed")
    if not set(map(type, flat)) <= {int, float}:
        odd = next(i for i, value in enumerate(flat) if type(value) not in (int, float))
        raise _at(odd, shape, flat, "a number is needed")
    try:
        return np.array(flat, np.float64).reshape(shape)
    except OverflowError:
        odd = next(i for i, value in enumerate(flat) if abs(value) > np.finfo(np.float64).max)
        raise _at(odd, shape, flat, "the number is too large") from None


def _at(position: int, shape: list[int], flat: Sequence, what: str) -> ValidationError:
    place = tuple(int(i) for i in np.unravel_index(position, shape)) if shape else ()
    fault = PydanticCustomError("numbers", "{what}", {"what": what})
    return ValidationError.from_exception_data(
        "numbers", [{"type": fault, "loc": place, "input": flat[position]}]
    )


def _schema(dimensions: int) -> dict:
    return {"type": "number"} if dimensions == 0 else {"type": "array", "items": _schema(dimensions - 1)}


# (N, 4, 4) or (N, 3, 3) as an array; (3, 3) as lists, which can be saved as JSON again.
Matrices = Annotated[Any, PlainValidator(numbers), WithJsonSchema(_schema(3))]
MatrixLists = Annotated[
    Any, PlainValidator(lambda given: numbers(given).tolist()), WithJsonSchema(_schema(2))
]
