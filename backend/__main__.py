"""`python -m backend`: starts the service and runs it until it is stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.config import Config, default_log_file, default_state_file, default_worlds
from lyra.common.errors import LyraError
from lyra.common.folders import expanded


@dataclass(frozen=True)
class _Default:
    """A place that is found only where the user names no other, or asks for help."""

    find: Callable[[], Path]

    def __str__(self) -> str:
        try:
            return str(self.find())
        except LyraError as error:
            return str(error)


def parse(arguments: Sequence[str] | None = None) -> Config:
    parser = argparse.ArgumentParser(
        prog="lyra serve",
        description="The local service that Blender talks to. It listens on 127.0.0.1 only.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument(
        "--state-file", type=Path, default=_Default(default_state_file), metavar="FILE",
        help="where port and token are written for clients (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--worlds", type=Path, default=_Default(default_worlds), metavar="FOLDER", help="(%(default)s)"
    )
    parser.add_argument(
        "--log", type=Path, default=_Default(default_log_file), metavar="FILE", help="(%(default)s)"
    )
    parser.add_argument("--owner", default="user", metavar="NAME", help="who started it (user)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="by default cuda where there is one")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"port {options.port} is none; choose one of 0 ... 65535")
    return Config(
        worlds=_place(options.worlds),
        state_file=_place(options.state_file),
        log_file=_place(options.log),
        port=options.port,
        owner=options.owner,
        device=options.device,
    )


def _place(given: Path | _Default) -> Path:
    return (given.find() if isinstance(given, _Default) else expanded(given)).resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 stopped on request, 2 cannot start."""
    # Imported after --help has been answered.
    from backend.api.server import serve

    try:
        config = parse(arguments)
        if config.device is not None:
            # Imported for those who ask only: Warp takes a second to load.
            from lyra.engines import require_device

            require_device(config.device)
        serve(config)
    except LyraError as error:
        print(f"lyra serve: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # While it starts; from then on the service ends by itself.
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
