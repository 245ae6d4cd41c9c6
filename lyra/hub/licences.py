"""Licences of weights, and which of them the user has accepted.

A licence that limits what may be done with the weights, or with what they make, is accepted once and per user.
The acceptance is kept in the user's settings folder together with a digest of the text that was shown, so that a
changed text is shown again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lyra.common.errors import EngineNotReadyError, InvalidInputError
from lyra.common.files import whole_file
from lyra.common.folders import settings_folder
from lyra.common.json_file import read_object
from lyra.common.quoting import place


@dataclass(frozen=True)
class Licence:
    """`summary` and `consequences` are this project's words about the licence; the licence itself is the holder's.

    `where` is the file or page that holds the full text. `notice` goes into every world that was made with the
    weights; empty where the licence asks for none. Only licences with `must_accept` have to be accepted.
    """

    id: str
    label: str
    summary: str
    consequences: tuple[str, ...]
    where: str
    notice: str = ""
    must_accept: bool = True

    @property
    def text(self) -> str:
        """What the user reads before accepting."""
        lines = [self.label, "", self.summary, "", *(f"  - {line}" for line in self.consequences)]
        return "\n".join([*lines, "", f"Full text: {self.where}"])

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


LICENCES: dict[str, Licence] = {
    licence.id: licence
    for licence in (
        Licence(
            "nvidia-lyra-2.0",
            "NVIDIA licence of the Lyra 2.0 weights (internal scientific research and development)",
            "The Lyra 2.0 network and its LoRA files may be used for research and development only.",
            (
                "No commercial use, neither of the weights nor of the videos, splats and meshes made with them.",
                "The weights may not be passed on; everyone downloads them from NVIDIA's repository.",
                "Every world made with them carries a notice that says so.",
            ),
            "the licence file of the repository nvidia/Lyra-2.0",
            "NVIDIA Lyra 2.0 weights: research and development only, no commercial use of weights or outputs.",
        ),
        Licence(
            "cc-by-nc-4.0",
            "Creative Commons Attribution-NonCommercial 4.0 (CC BY-NC 4.0)",
            "These weights may be used and passed on with attribution, for non-commercial purposes only.",
            (
                "No commercial use of the weights; whether depth made with them falls under it is for you to judge.",
                "Attribution: name the authors and the licence wherever the weights are passed on.",
            ),
            "creativecommons.org/licenses/by-nc/4.0",
            "Depth by weights under CC BY-NC 4.0: non-commercial use only.",
        ),
        Licence(
            "apache-2.0",
            "Apache License 2.0",
            "These weights may be used for any purpose.",
            ("The licence text stays with copies that are passed on.",),
            "apache.org/licenses/LICENSE-2.0",
            must_accept=False,
        ),
        Licence(
            "mit",
            "MIT License",
            "These weights may be used for any purpose.",
            ("The copyright notice and the licence text stay with copies that are passed on.",),
            "opensource.org/license/mit, or the file LICENSE beside the weights",
            must_accept=False,
        ),
    )
}


def licence(licence_id: str) -> Licence:
    """Raises InvalidInputError for an unknown licence."""
    if licence_id not in LICENCES:
        raise InvalidInputError(f"There is no licence {licence_id!r}; choose one of {', '.join(LICENCES)}.")
    return LICENCES[licence_id]


class AcceptedLicences:
    """What this user has accepted, in a small JSON file.

    `folder` is the user's settings folder by default.
    """

    def __init__(self, folder: Path | None = None):
        self.file = (folder or settings_folder()) / "licences.json"

    def accepted(self, licence_id: str) -> bool:
        """Whether the user accepted this licence in its present words, or need not."""
        entry = licence(licence_id)
        return not entry.must_accept or self._read().get(licence_id, {}).get("digest") == entry.digest

    def accept(self, licence_id: str) -> None:
        """Remembers that the user read the text and accepted it."""
        entry = licence(licence_id)
        record = {"digest": entry.digest, "accepted": datetime.now(UTC).isoformat(timespec="seconds")}
        self._write(self._read() | {licence_id: record})

    def missing(self, licence_ids: Iterable[str]) -> tuple[Licence, ...]:
        """Those of `licence_ids` that still have to be accepted, each once."""
        return tuple(licence(i) for i in dict.fromkeys(licence_ids) if not self.accepted(i))

    def require(self, licence_ids: Iterable[str]) -> None:
        """Raises EngineNotReadyError naming what has to be accepted and how."""
        missing = self.missing(licence_ids)
        if missing:
            names = " ".join(entry.id for entry in missing)
            raise EngineNotReadyError(
                f"Licence not accepted: {'; '.join(entry.label for entry in missing)}. "
                f"Read it and accept it with: lyra models licence {names} --accept"
            )

    def _read(self) -> dict[str, dict]:
        try:
            entries = read_object(self.file, advice="delete it and accept the licences again")
        except FileNotFoundError:
            return {}
        if not all(isinstance(entry, dict) for entry in entries.values()):
            raise InvalidInputError(
                f"{place(self.file)} is damaged; delete it and accept the licences again."
            )
        return entries

    def _write(self, entries: dict[str, dict]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.file) as temporary:
            temporary.write_text(json.dumps(entries, indent=1), "utf-8")
