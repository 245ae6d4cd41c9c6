"""Engine options: what a user may choose of an engine, with ranges, choices and defaults.

Help of the command line, schema of the API, the messages of refusals and the engines' own defaults are derived from
the fields of `EngineOptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from lyra.common.errors import InvalidInputError

MemoryMode = Literal["resident", "fp8", "offload"]
MEMORY_MODES: tuple[str, ...] = get_args(MemoryMode)


@dataclass(frozen=True)
class Range:
    """A number's least and most value, and what is taken where the user chooses none."""

    default: float
    min: float
    max: float


@dataclass(frozen=True)
class Option:
    """One choice. `defaults` names the engines that have it, each with its default; None is left to the machine.

    `kind` is the type of its values. A number lies between `min` and `max`, and `at_least` says what its least value
    means; a word is one of `choices`. `unit` stands for the value in the command line's help.
    """

    help: str
    kind: type
    defaults: Mapping[str, Any]
    min: float | None = None
    max: float | None = None
    at_least: str = ""
    choices: tuple[str, ...] = ()
    unit: str | None = None

    def refusal(self, name: str, value: Any) -> str | None:
        """Why `value` is not possible, or None; not being chosen always is."""
        if value is None:
            return None
        if self.choices and value not in self.choices:
            words = name.replace("_", " ")
            return f"Unknown {words} {value!r}; choose one of {', '.join(self.choices)}, or leave it out."
        # Written so that NaN is refused as well.
        if self.min is not None and not self.min <= value <= self.max:
            least = f"{self.min:g}" + (f" ({self.at_least})" if self.at_least else "")
            return f"{name} is {value}; choose {least} to {self.max:g}, or leave it out."
        return None

    @property
    def described(self) -> str:
        """The help with what is possible and the default."""
        default = next((value for value in self.defaults.values() if self.min is not None), None)
        limits = f", {self.min:g} to {self.max:g}" if self.min is not None else ""
        return self.help + limits + (f" ({default:g})" if default is not None else "")


@dataclass(frozen=True)
class EngineOptions:
    """What a user chose of an engine; None leaves it to the engine. The preview engine has nothing to choose."""

    steps: int | None = field(
        default=None,
        metadata={
            "option": Option(
                help="denoising steps of lyra2", kind=int, defaults={"lyra2": 35}, min=1, max=200, unit="N"
            )
        },
    )
    guidance: float | None = field(
        default=None,
        metadata={
            "option": Option(
                help="how strongly lyra2 follows the text",
                kind=float,
                defaults={"lyra2": 5.0},
                min=1.0,
                max=30.0,
                at_least="the text leads nothing",
                unit="G",
            )
        },
    )
    # Published: 0.4 in the script that zooms, none in the one that follows a path.
    styles: float | None = field(
        default=None,
        metadata={
            "option": Option(
                help="strength of the published style LoRAs, realism and detail",
                kind=float,
                defaults={"lyra2": 0.0, "lyra2-fast": 0.0},
                min=0.0,
                max=1.0,
                at_least="without",
                unit="S",
            )
        },
    )
    memory_mode: MemoryMode | None = field(
        default=None,
        metadata={
            "option": Option(
                help="resident, fp8 or offload; by default the first that fits the GPU's memory",
                kind=str,
                defaults={"lyra2": None, "lyra2-fast": None},
                choices=MEMORY_MODES,
                unit="MODE",
            )
        },
    )
    compile: bool = field(
        default=False,
        metadata={
            "option": Option(
                help="compile the network first; takes minutes and makes every later step faster",
                kind=bool,
                defaults={"lyra2": False, "lyra2-fast": False},
            )
        },
    )

    def checked(self) -> EngineOptions:
        """Raises InvalidInputError for values that no engine has."""
        for name, option in OPTIONS.items():
            refusal = option.refusal(name, getattr(self, name))
            if refusal:
                raise InvalidInputError(refusal)
        return self

    def checked_for(self, engine_id: str) -> EngineOptions:
        """As `checked`; also raises InvalidInputError for an option that this engine does not have."""
        self.checked()
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if value not in (None, False) and engine_id not in option.defaults:
                raise InvalidInputError(
                    f"{name} is {value}, but the engine {engine_id!r} has none to choose; leave it out, or use 'lyra2'."
                )
        return self


OPTIONS: dict[str, Option] = {entry.name: entry.metadata["option"] for entry in fields(EngineOptions)}
DEFAULT_OPTIONS = EngineOptions()


def default_of(engine_id: str, name: str) -> Any:
    """What the engine takes where the user chooses nothing."""
    return OPTIONS[name].defaults[engine_id]


def ranges_of(engine_id: str) -> dict[str, Range | None]:
    """Every option that is a number, with its range for this engine; None where the engine does not have it."""
    return {
        name: Range(option.defaults[engine_id], option.min, option.max)
        if engine_id in option.defaults
        else None
        for name, option in OPTIONS.items()
        if option.min is not None and option.max is not None
    }
