"""Texts of a walkthrough: a caption from each of some frames on."""

from __future__ import annotations

from pathlib import Path

from lyra.common.errors import InvalidInputError
from lyra.common.json_file import read_json
from lyra.common.quoting import place, value
from lyra.geometry.cameras import CHUNK_FRAMES


def caption_for(captions: dict[int, str], chunk: int) -> str:
    """The caption of chunk `chunk` (from 0): the one with the largest starting frame <= 80 chunk + 1."""
    if not captions:
        return ""
    starts = sorted(captions)
    due = [start for start in starts if start <= CHUNK_FRAMES * chunk + 1]
    return captions[due[-1] if due else starts[0]]


def load_captions(path: str | Path) -> dict[int, str]:
    """Reads {starting frame: caption} JSON, the published format; an error quotes a bad key."""
    try:
        data = read_json(path, fault="is no captions file (JSON in UTF-8)")
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"There is no captions file (JSON in UTF-8) at {place(path)}; give another path."
        ) from error
    return check_captions(data, place(path))


def check_captions(data: object, where: str) -> dict[int, str]:
    """Captions from untrusted data."""
    if not isinstance(data, dict) or not data:
        raise InvalidInputError(f'{where} must hold an object such as {{"0": "a street", "81": "a square"}}.')
    captions = {}
    for key, text in data.items():
        if not (isinstance(key, str) and key.isdecimal() and len(key) < 9):
            raise InvalidInputError(
                f'{where} has the key {value(key)}; keys are starting frames such as "0" or "81".'
            )
        if not isinstance(text, str):
            raise InvalidInputError(f"{where} has {value(text)} under {value(key)}; a caption is a text.")
        captions[int(key)] = text
    return captions
